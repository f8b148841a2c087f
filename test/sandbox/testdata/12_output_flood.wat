;; case: standard output without a line's end, without end
;; kind: budget
;; says: it ran longer than its time limit
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 0) "\10\00\00\00\00\f0\00\00") ;; one buffer: 61,440 bytes from 16
  (func (export "handle") (param i32) (result i32)
    (loop $again
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $again))
    (i32.const 0)))
