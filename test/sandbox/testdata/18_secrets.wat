;; case: looks for a secret in all of its memory, in WASI and in its configuration
;; outcome: handled
;; keeps: 20 MiB, an instance that may go on
;; toml: limits.time = "60s"
;; toml: limits.memory = "16MiB"
;; document: c/k = [1,2,3]
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "config_get" (func $config_get (param i32 i32 i32 i32) (result i64)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (func $must (param i32) (if (i32.eqz (local.get 0)) (then (unreachable))))
  (data (i32.const 32) "token" "DB_PASSWORD")
  (func (export "handle") (param i32) (result i32) (local $p i32) (local $end i32) (local $i i32) (local $key i32)
    ;; the event's data are 16 bytes: the secret, each byte exclusive-or 0x5a, so that the event itself is no find
    (local.set $key (i32.add (i32.const 65536) (i32.load (i32.const 65608))))
    (loop $grow (br_if $grow (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (local.set $end (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 16)))
    (loop $search
      (local.set $i (i32.const 0))
      (block $differs
        (loop $compare
          (br_if $differs (i32.ne (i32.load8_u (i32.add (local.get $p) (local.get $i)))
            (i32.xor (i32.load8_u (i32.add (local.get $key) (local.get $i))) (i32.const 0x5a))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $compare (i32.lt_u (local.get $i) (i32.const 16))))
        (unreachable)) ;; found
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br_if $search (i32.lt_u (local.get $p) (local.get $end))))
    (call $must (i32.eqz (call $environ_sizes_get (i32.const 512) (i32.const 516))))
    (call $must (i32.eqz (i32.load (i32.const 512))))
    (call $must (i64.eq (call $config_get (i32.const 32) (i32.const 5) (i32.const 600) (i32.const 100)) (i64.const -1)))
    (call $must (i64.eq (call $config_get (i32.const 37) (i32.const 11) (i32.const 600) (i32.const 100)) (i64.const -1)))
    (call $must (i32.eqz (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 7))))
    (i32.const 0)))
