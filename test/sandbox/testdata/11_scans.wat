;; case: scans until the quota, then for ever
;; kind: budget
;; says: it ran longer than its time limit
;; toml: limits.time = "500ms"
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "state_scan" (func $state_scan (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 40)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 2097152))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (global $n (mut i32) (i32.const 0))
  (func (export "handle") (param i32) (result i32)
    ;; a thousand documents of 1 KiB under keys of four bytes
    (memory.fill (i32.const 2048) (i32.const 49) (i32.const 1024))
    (loop $more
      (i32.store (i32.const 100) (i32.add (i32.const 0x30303030)
        (i32.or (i32.and (global.get $n) (i32.const 15)) (i32.or
          (i32.shl (i32.and (global.get $n) (i32.const 0xf0)) (i32.const 4))
          (i32.shl (i32.and (global.get $n) (i32.const 0x300)) (i32.const 8))))))
      (drop (call $state_set (i32.const 0) (i32.const 1) (i32.const 100) (i32.const 4) (i32.const 2048) (i32.const 1000)))
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (br_if $more (i32.lt_u (global.get $n) (i32.const 1000))))
    (loop $again
      (drop (call $state_scan (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 0) (i32.const 0)))
      (br $again))
    (i32.const 0)))
