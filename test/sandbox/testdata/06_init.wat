;; case: memory.init in a loop
;; kind: budget
;; says: it ran longer than its time limit
(module
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data $bytes "abc")
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 3))
      (br $again))
    (i32.const 0)))
