;; case: host calls in a loop
;; kind: budget
;; says: it ran longer than its time limit
(module
  (import "eshost_v1" "config_get" (func $config_get (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (drop (call $config_get (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))
      (br $again))
    (i32.const 0)))
