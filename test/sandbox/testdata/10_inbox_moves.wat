;; case: eshost_inbox answers another address each time
;; outcome: handled
;; events: 3
;; data: 9000
;; document: c/k = [1,2,3]
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (memory (export "memory") 16)
  (func (export "eshost_abi_v1"))
  (global $at (mut i32) (i32.const 65536))
  (func (export "eshost_inbox") (param i32) (result i32)
    (global.set $at (i32.add (global.get $at) (i32.const 65536)))
    (global.get $at))
  (func (export "handle") (param i32) (result i32)
    (if (i32.ne (i32.load (global.get $at)) (i32.const 0x31485345)) (then (unreachable)))
    (drop (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 7)))
    (i32.const 0)))
