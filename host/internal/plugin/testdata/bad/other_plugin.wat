;; kind: import does not fit
;; error: the module imports balances.handle, which this host does not have
;; hint: plugins and other modules cannot be imported
(module
  (import "balances" "handle" (func (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
