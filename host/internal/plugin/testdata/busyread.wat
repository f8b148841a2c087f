;; Twenty times, burns some fuel and reads a document.
(module
  (import "eshost_v1" "state_get" (func $state_get (param i32 i32 i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 2)
  (data (i32.const 16) "k")
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (func (export "handle") (param $len i32) (result i32)
    (local $i i32) (local $n i32)
    (loop $again
      (local.set $n (i32.const 60000))
      (loop $burn (br_if $burn (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (drop (call $state_get (i32.const 16) (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 0)))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))
    (i32.const 0)))
