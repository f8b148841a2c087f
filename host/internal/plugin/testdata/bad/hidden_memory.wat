;; kind: export does not fit
;; error: does not export its memory as "memory"
;; hint: SDK
(module
  (memory (export "mem") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
