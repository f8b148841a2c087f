;; kind: other ABI version
;; error: speaks version 2 of the ABI, this host serves version 1
;; hint: SDK for version 1
(module
  (memory (export "memory") 1)
  (func (export "eshost_abi_v2"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
