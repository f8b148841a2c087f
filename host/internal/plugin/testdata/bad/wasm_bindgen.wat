;; kind: import does not fit
;; error: imports __wbindgen_placeholder__.__wbindgen_throw
;; hint: wasm-bindgen
(module
  (import "__wbindgen_placeholder__" "__wbindgen_throw" (func (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
