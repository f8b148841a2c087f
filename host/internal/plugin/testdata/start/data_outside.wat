;; kind: trap
;; error: out of bounds
(module
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0))
  (data (i32.const 65530) "more than six bytes"))
