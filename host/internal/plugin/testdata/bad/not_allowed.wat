;; kind: not allowed
;; error: imports eshost_v1.emit, and the plugin is not allowed "emit"
;; hint: under [plugins.test], write: allow = ["state", "emit", "log"]
(module
  (import "eshost_v1" "emit" (func (param i32 i32) (result i32)))
  (import "eshost_v1" "log" (func (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
