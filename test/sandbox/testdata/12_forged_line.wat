;; case: newline, escape, broken UTF-8 in log and failure
;; kind: reject
;; says: first\nlevel=ERROR msg="forged"\x1b[31m\xff\u202e
;; log: first\\nlevel=ERROR
(module
  (import "eshost_v1" "log" (func $log (param i32 i32 i32)))
  (import "eshost_v1" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 0) "first\0alevel=ERROR msg=\22forged\22\1b[31m\ff\e2\80\ae")
  (func (export "handle") (param i32) (result i32)
    (call $log (i32.const 1) (i32.const 0) (i32.const 39))
    (call $fail (i32.const 0) (i32.const 39))
    (i32.const 2)))
