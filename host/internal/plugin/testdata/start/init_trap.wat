;; kind: trap
;; error: integer divide by zero
(module
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0))
  (func (export "eshost_init") (result i32) (i32.div_u (i32.const 1) (i32.const 0))))
