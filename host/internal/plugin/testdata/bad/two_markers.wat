;; kind: other ABI version
;; error: exports the markers eshost_abi_v1 and eshost_abi_v2; a module speaks one version of the ABI, this host serves version 1
;; hint: one SDK
(module
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_abi_v2"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
