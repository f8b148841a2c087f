;; case: a larger event, and eshost_inbox never returns
;; kind: budget
;; says: it ran longer than its time limit
;; data: 9000
(module
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param $min i32) (result i32)
    (if (i32.gt_u (local.get $min) (i32.const 4096)) (then (loop $again (br $again))))
    (i32.const 65536))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
