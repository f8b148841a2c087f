;; kind: reject
;; error: no such account table
(module
  (import "eshost_v1" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0))
  (data (i32.const 8) "no such account table")
  (func (export "eshost_init") (result i32) (call $fail (i32.const 8) (i32.const 21)) (i32.const 5)))
