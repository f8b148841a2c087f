;; kind: budget
;; error: call stack is used up
(module
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0))
  (func $r (result i32) (i32.add (i32.const 1) (call $r)))
  (func (export "eshost_init") (result i32) (call $r)))
