;; kind: import does not fit
;; error: imports a\nb\x1b[31m.c
;; hint: functions are served from
(module
  (import "a\0ab\1b[31m" "c" (func))
  (memory (export "memory") 1)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 1024))
  (func (export "handle") (param i32) (result i32) (i32.const 0)))
