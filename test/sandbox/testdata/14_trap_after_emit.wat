;; case: a trap after an emitted event
;; kind: trap
;; says: integer divide by zero
;; toml: allow = ["state", "log", "emit"]
(module
  (import "eshost_v1" "emit" (func $emit (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 1024) "EMT1@\00\00\00\06\00\00\00\00\00\00\00@\00\00\00\05\00\00\00E\00\00\00\00\00\00\00E\00\00\00\07\00\00\00L\00\00\00\02\00\00\00N\00\00\00\00\00\00\00N\00\00\00\00\00\00\00floodFlooded{}")
  (func (export "handle") (param i32) (result i32)
    (if (call $emit (i32.const 1024) (i32.const 78)) (then (unreachable)))
    (i32.div_u (i32.const 1) (i32.const 0))))
