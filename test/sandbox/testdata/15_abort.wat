;; case: AssemblyScript's abort with wild pointers
;; kind: trap
;; says: abort
(module
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (func (export "handle") (param i32) (result i32) (call $abort (i32.const -1) (i32.const 0xfffff0) (i32.const 1) (i32.const 2)) (i32.const 0)))
