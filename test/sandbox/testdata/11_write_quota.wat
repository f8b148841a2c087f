;; case: the quota of writes ends a flood of documents
;; kind: reject
;; says: the quota of writes is used up
;; toml: limits.time = "20s"
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 40)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 2097152))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (data (i32.const 100) "the quota of writes is used up")
  (global $n (mut i32) (i32.const 0))
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (i32.store (i32.const 200) (i32.or (global.get $n) (i32.const 0x01010101)))
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (br_if $again (i32.ne (call $state_set (i32.const 0) (i32.const 1) (i32.const 200) (i32.const 2) (i32.const 2) (i32.const 7)) (i32.const -5))))
    (call $fail (i32.const 100) (i32.const 30))
    (i32.const 2)))
