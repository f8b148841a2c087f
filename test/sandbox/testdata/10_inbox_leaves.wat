;; case: a larger event, and eshost_inbox answers an address outside
;; kind: protocol
;; says: outside its memory
;; data: 9000
(module
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param $min i32) (result i32)
    (select (i32.const 65536) (i32.const -4096) (i32.le_u (local.get $min) (i32.const 4096))))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
