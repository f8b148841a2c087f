;; case: grow to the limit, touch all of it, trap
;; kind: budget
;; says: its memory of 65536 KiB is full
;; toml: limits.memory = "64MiB"
;; toml: limits.time = "20s"
(module
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x4000000))
    (unreachable)))
