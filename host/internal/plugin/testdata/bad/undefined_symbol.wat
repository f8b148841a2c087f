;; kind: import does not fit
;; error: imports env.sqrt
;; hint: undefined when the module was linked
(module
  (import "env" "sqrt" (func (param f64) (result f64)))
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
