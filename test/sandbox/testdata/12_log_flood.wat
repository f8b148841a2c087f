;; case: log lines without end
;; kind: budget
;; says: it ran longer than its time limit
;; log: the plugin logs too much, lines are dropped
;; toml: limits.time = "300ms"
(module
  (import "eshost_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 0) "flood")
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (call $log (i32.const 3) (i32.const 0) (i32.const 5))
      (br $again))
    (i32.const 0)))
