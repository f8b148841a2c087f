;; kind: protocol
;; error: eshost_inbox gave no buffer of 4096 bytes
(module
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 0))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
