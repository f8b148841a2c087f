;; case: key, collection and value over their limits
;; outcome: handled
;; document: c/k = [1,2,3]
(module
  (import "eshost_v1" "state_get" (func $state_get (param i32 i32 i32 i32 i32 i32) (result i64)))
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "state_scan" (func $state_scan (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 40)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 2097152))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (func $must (param i32) (if (i32.eqz (local.get 0)) (then (unreachable))))
  (func (export "handle") (param i32) (result i32)
    (memory.fill (i32.const 1024) (i32.const 49) (i32.const 1048577)) ;; ones: a name, and a number in JSON
    (call $must (i32.eq (call $state_set (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1025) (i32.const 2) (i32.const 7)) (i32.const -3)))
    (call $must (i32.eq (call $state_set (i32.const 1024) (i32.const 129) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 7)) (i32.const -3)))
    (call $must (i32.eq (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1024) (i32.const 1048577)) (i32.const -3)))
    (call $must (i64.eq (call $state_get (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1025) (i32.const 0) (i32.const 0)) (i64.const -3)))
    (call $must (i64.eq (call $state_scan (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1001) (i32.const 0) (i32.const 0)) (i64.const -3)))
    (call $must (i32.eqz (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 7))))
    (i32.const 0)))
