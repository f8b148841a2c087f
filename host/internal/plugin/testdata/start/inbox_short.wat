;; kind: protocol
;; error: outside its memory of 65536 bytes
(module
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65000))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
