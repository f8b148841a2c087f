;; case: a flood of emitted events ends at the quota
;; kind: reject
;; says: the quota of emitted events is used up
;; toml: allow = ["state", "log", "emit"]
;; toml: limits.time = "20s"
(module
  (import "eshost_v1" "emit" (func $emit (param i32 i32) (result i32)))
  (import "eshost_v1" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 40)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 2097152))
  (data (i32.const 100) "the quota of emitted events is used up")
  (data (i32.const 1024) "EMT1@\00\00\00\06\00\00\00\00\00\00\00@\00\00\00\05\00\00\00E\00\00\00\00\00\00\00E\00\00\00\07\00\00\00L\00\00\00\02\00\00\00N\00\00\00\00\00\00\00N\00\00\00\00\00\00\00floodFlooded{}")
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (br_if $again (i32.ne (call $emit (i32.const 1024) (i32.const 78)) (i32.const -5))))
    (call $fail (i32.const 100) (i32.const 38))
    (i32.const 2)))
