;; case: emits the event that it handles
;; kind: loop
;; says: emit
;; outcome: chain
;; toml: allow = ["state", "log", "emit"]
(module
  (import "eshost_v1" "emit" (func $emit (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 1024) "EMT1@\00\00\00\06\00\00\00\00\00\00\00@\00\00\00\03\00\00\00C\00\00\00\00\00\00\00C\00\00\00\03\00\00\00F\00\00\00\02\00\00\00H\00\00\00\00\00\00\00H\00\00\00\00\00\00\00badBad{}")
  (func (export "handle") (param i32) (result i32)
    (call $emit (i32.const 1024) (i32.const 72))))
