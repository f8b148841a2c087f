;; case: table.grow to 100,000,000 entries is refused to the guest
;; kind: trap
;; says: unreachable
(module
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (table $t 1 funcref)
  (func (export "handle") (param i32) (result i32)
    (if (i32.ne (table.grow $t (ref.null func) (i32.const 100000000)) (i32.const -1)) (then (return (i32.const 0))))
    (unreachable)))
