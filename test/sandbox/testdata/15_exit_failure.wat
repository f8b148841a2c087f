;; case: exit(1)
;; kind: trap
;; says: it called exit(1)
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (func (export "handle") (param i32) (result i32) (call $exit (i32.const 1)) (i32.const 0)))
