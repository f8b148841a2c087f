;; case: recursion through a table
;; kind: budget
;; says: its call stack is used up
(module
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (type $t (func (result i32)))
  (table 1 funcref)
  (elem (i32.const 0) $deeper)
  (func $deeper (type $t) (i32.add (call_indirect (type $t) (i32.const 0)) (i32.const 1)))
  (func (export "handle") (param i32) (result i32) (call $deeper)))
