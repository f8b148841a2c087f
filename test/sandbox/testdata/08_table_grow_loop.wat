;; case: table.grow in a loop
;; kind: budget
;; says: it ran longer than its time limit
(module
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (table $t 1 funcref)
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (drop (table.grow $t (ref.null func) (i32.const 1)))
      (br $again))
    (i32.const 0)))
