;; kind: import does not fit
;; error: imports eshost_v1.state_gte, which this host does not have
;; hint: did you mean eshost_v1.state_get?
(module
  (import "eshost_v1" "state_gte" (func (param i32)))
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
