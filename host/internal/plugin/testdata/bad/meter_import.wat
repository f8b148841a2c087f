;; kind: 
;; error: eshost_meter
;; hint: 
(module
  (import "eshost_meter" "refuel" (func))
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
