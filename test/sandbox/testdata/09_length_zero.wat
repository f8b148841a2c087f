;; case: length 0, at any address
;; outcome: handled
;; document: c/k = [1,2,3]
(module
  (import "eshost_v1" "state_get" (func $state_get (param i32 i32 i32 i32 i32 i32) (result i64)))
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "result_read" (func $result_read (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (func $must (param i32) (if (i32.eqz (local.get 0)) (then (unreachable))))
  (func (export "handle") (param i32) (result i32)
    ;; an empty key is no key, an empty value no JSON, an empty range beyond the memory no range
    (call $must (i64.eq (call $state_get (i32.const 0) (i32.const 1) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0)) (i64.const -7)))
    (call $must (i32.eq (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 131072) (i32.const 0)) (i32.const -7)))
    (call $must (i32.eq (call $result_read (i32.const 131072) (i32.const 0) (i32.const 0)) (i32.const 0)))
    (call $must (i32.eqz (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 7))))
    ;; a buffer without room: the length is answered, nothing is written
    (call $must (i64.eq (call $state_get (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 0)) (i64.const 7)))
    (i32.const 0)))
