;; case: having the host check JSON of 1 MiB in a loop
;; kind: budget
;; says: it ran longer than its time limit
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 32)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1114112))
  (func (export "handle") (param i32) (result i32)
    (memory.fill (i32.const 1) (i32.const 49) (i32.const 1048000)) ;; a long number
    (loop $again
      (drop (call $state_set (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1048000)))
      (br $again))
    (i32.const 0)))
