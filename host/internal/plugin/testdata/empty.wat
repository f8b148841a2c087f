;; The smallest module: it accepts every event. $calls also makes one host call an event.
(module
  (import "eshost_v1" "result_read" (func $result_read (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (func (export "handle") (param $len i32) (result i32)
    (local $n i32)
    ;; The event's version is how many host calls to make.
    (local.set $n (i32.load (i32.const 65552)))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (drop (call $result_read (i32.const 0) (i32.const 0) (i32.const 0)))
        (br $more)))
    (i32.const 0)))
