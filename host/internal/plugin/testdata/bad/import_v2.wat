;; kind: other ABI version
;; error: speaks version 2 of the ABI, this host serves version 1
;; hint: SDK for version 1
(module
  (import "eshost_v2" "state_get" (func (param i32)))
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
