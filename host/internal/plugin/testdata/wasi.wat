;; What the language runtimes ask WASI for. The first byte of the event's data says what to do; results go from 4096 on.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_res_get" (func $clock_res_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_get" (func $fd_filestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (import "env" "seed" (func $seed (result f64)))
  (memory (export "memory") 3)
  (data (i32.const 1024) "hello\0a")
  (data (i32.const 1040) "panic: it broke\0a\0agoroutine 1 [running]:\0aruntime.gopanic(0x1)\0a\09/go/src/runtime/panic.go:1 +0x10\0amain.handle(0x1, 0x2)\0a\09/src/plugin/main.go:42 +0x20\0a")
  (data (i32.const 2000) "\0a\00\00\00b\00r\00o\00k\00e\00") ;; AssemblyScript's "broke" at 2004
  (data (i32.const 2020) "\08\00\00\00a\00.\00t\00s\00")     ;; "a.ts" at 2024
  (global $start (mut i64) (i64.const 0))
  (func (export "_initialize") (drop (call $random_get (i32.const 4000) (i32.const 8))))
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (func $errno (param $at i32) (param $errno i32) (i32.store (local.get $at) (local.get $errno)))
  (func $print (param $fd i32) (param $from i32) (param $len i32) (param $times i32)
    (local $at i32) (local $i i32)
    (loop $next
      (local.set $at (i32.add (i32.const 8192) (i32.mul (local.get $i) (i32.const 8))))
      (i32.store (local.get $at) (local.get $from))
      (i32.store offset=4 (local.get $at) (local.get $len))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $times))))
    (call $errno (i32.const 4096) (call $fd_write (local.get $fd) (i32.const 8192) (local.get $times) (i32.const 4100))))
  (func (export "handle") (param $len i32) (result i32)
    (local $what i32)
    (local.set $what (i32.load8_u (i32.add (i32.const 65536) (i32.load (i32.const 65608)))))
    (if (i32.eq (local.get $what) (i32.const 0x72)) (then          ;; r: random and seed
      (call $errno (i32.const 4096) (call $random_get (i32.const 4104) (i32.const 32)))
      (f64.store (i32.const 4136) (call $seed))))
    (if (i32.eq (local.get $what) (i32.const 0x63)) (then          ;; c: clocks, and waiting an hour between two looks
      (call $errno (i32.const 4096) (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 4104)))
      (call $errno (i32.const 4100) (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 4112)))
      (i64.store (i32.const 3008) (i64.const 0))
      (i64.store (i32.const 3024) (i64.const 3600000000000))
      (call $errno (i32.const 4144) (call $poll_oneoff (i32.const 3000) (i32.const 3100) (i32.const 1) (i32.const 3200)))
      (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 4120)))
      (call $errno (i32.const 4148) (call $clock_time_get (i32.const 9) (i64.const 0) (i32.const 4128)))
      (call $errno (i32.const 4152) (call $clock_res_get (i32.const 0) (i32.const 4136)))))
    (if (i32.eq (local.get $what) (i32.const 0x66)) (then          ;; f: files
      (call $errno (i32.const 4096) (call $fd_prestat_get (i32.const 3) (i32.const 4200)))
      (call $errno (i32.const 4100) (call $fd_renumber (i32.const 1) (i32.const 0x7fffffff)))
      (call $errno (i32.const 4104) (call $fd_fdstat_get (i32.const 1) (i32.const 4200)))
      (call $errno (i32.const 4108) (call $fd_fdstat_get (i32.const 3) (i32.const 4200)))
      (call $errno (i32.const 4112) (call $fd_read (i32.const 0) (i32.const 8192) (i32.const 0) (i32.const 4204)))
      (call $errno (i32.const 4116) (call $args_sizes_get (i32.const 4208) (i32.const 4212)))
      (call $errno (i32.const 4120) (call $environ_sizes_get (i32.const 4216) (i32.const 4220)))
      (call $errno (i32.const 4124) (call $fd_filestat_get (i32.const 2) (i32.const 4300)))
      (call $errno (i32.const 4128) (call $poll_oneoff (i32.const 3000) (i32.const 3100) (i32.const 0x05555556) (i32.const 3200)))))
    (if (i32.eq (local.get $what) (i32.const 0x77)) (then (call $print (i32.const 1) (i32.const 1024) (i32.const 6) (i32.const 1))))     ;; w: write a line
    (if (i32.eq (local.get $what) (i32.const 0x70)) (then (call $print (i32.const 1) (i32.const 1024) (i32.const 3) (i32.const 1))))     ;; p: part of a line
    (if (i32.eq (local.get $what) (i32.const 0x6d)) (then (call $print (i32.const 2) (i32.const 0) (i32.const 131072) (i32.const 16384)))) ;; m: the same memory many times
    (if (i32.eq (local.get $what) (i32.const 0x67)) (then          ;; g: as a Go panic ends
      (call $print (i32.const 2) (i32.const 1040) (i32.const 166) (i32.const 1))
      (call $proc_exit (i32.const 2))))
    (if (i32.eq (local.get $what) (i32.const 0x65)) (then (call $proc_exit (i32.const 3))))                                                ;; e: exit
    (if (i32.eq (local.get $what) (i32.const 0x61)) (then (call $abort (i32.const 2004) (i32.const 2024) (i32.const 12) (i32.const 7))))   ;; a: abort
    (if (i32.eq (local.get $what) (i32.const 0x41)) (then (call $abort (i32.const -2) (i32.const 3) (i32.const 0) (i32.const 0))))         ;; A: abort with wild pointers
    (i32.const 0)))
