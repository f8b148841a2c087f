;; case: answers of 1 MiB that nobody reads
;; outcome: handled
;; document: c/k = [1,2,3]
;; toml: limits.time = "20s"
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "state_get" (func $state_get (param i32 i32 i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 40)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 2097152))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (func $must (param i32) (if (i32.eqz (local.get 0)) (then (unreachable))))
  (global $n (mut i32) (i32.const 1000))
  (func (export "handle") (param i32) (result i32)
    (memory.fill (i32.const 1024) (i32.const 49) (i32.const 1048576))
    (call $must (i32.eqz (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1024) (i32.const 1048576))))
    (loop $again
      (call $must (i64.eq (call $state_get (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 0)) (i64.const 1048576)))
      (br_if $again (global.set $n (i32.sub (global.get $n) (i32.const 1))) (global.get $n)))
    (call $must (i32.eqz (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 7))))
    (i32.const 0)))
