;; case: the quota of documents read ends scans
;; kind: reject
;; says: the quota of reads is used up
;; toml: limits.time = "20s"
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "state_scan" (func $state_scan (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i64)))
  (import "eshost_v1" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 40)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 2097152))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (data (i32.const 100) "the quota of reads is used up")
  (func (export "handle") (param i32) (result i32)
    (drop (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 7)))
    (loop $again
      (br_if $again (i64.ge_s (call $state_scan (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 0) (i32.const 0)) (i64.const 0))))
    (call $fail (i32.const 100) (i32.const 29))
    (i32.const 2)))
