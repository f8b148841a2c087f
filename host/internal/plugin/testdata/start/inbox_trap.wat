;; kind: trap
;; error: unreachable
(module
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (unreachable))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
