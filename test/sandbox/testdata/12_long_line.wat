;; case: a log line and a failure of 1 MB
;; kind: reject
;; says: 1111
;; log: 1111
(module
  (import "eshost_v1" "log" (func $log (param i32 i32 i32)))
  (import "eshost_v1" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 40)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 2097152))
  (func (export "handle") (param i32) (result i32)
    (memory.fill (i32.const 1024) (i32.const 49) (i32.const 1000000))
    (call $log (i32.const 1) (i32.const 1024) (i32.const 1000000))
    (call $fail (i32.const 1024) (i32.const 1000000))
    (i32.const 2)))
