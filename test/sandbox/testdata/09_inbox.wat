;; case: the answer is written over the inbox
;; outcome: handled
;; document: c/k = [1,2,3]
(module
  (import "eshost_v1" "state_get" (func $state_get (param i32 i32 i32 i32 i32 i32) (result i64)))
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (func $must (param i32) (if (i32.eqz (local.get 0)) (then (unreachable))))
  (func (export "handle") (param i32) (result i32)
    (call $must (i32.eqz (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 7))))
    (call $must (i64.eq (call $state_get (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 65536) (i32.const 4096)) (i64.const 7)))
    (call $must (i32.eq (i32.load8_u (i32.const 65536)) (i32.const 91)))
    (i32.const 0)))
