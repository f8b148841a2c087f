;; case: memory.copy of 64 MiB, overlapping, in a loop
;; kind: budget
;; says: it ran longer than its time limit
;; toml: limits.memory = "64MiB"
(module
  (memory (export "memory") 1024)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x3ffffff))
      (memory.copy (i32.const 0) (i32.const 1) (i32.const 0x3ffffff))
      (br $again))
    (i32.const 0)))
