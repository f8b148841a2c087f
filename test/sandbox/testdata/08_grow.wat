;; case: memory.grow until it fails, then for ever
;; kind: budget
;; says: it ran longer than its time limit
;; toml: limits.memory = "64MiB"
(module
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (drop (memory.grow (i32.const 1)))
      (br $again))
    (i32.const 0)))
