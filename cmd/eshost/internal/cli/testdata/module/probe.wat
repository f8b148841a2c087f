;; Does what the event's data says, by the first letter of that text: "count", "emit", "log", "patient", "refuse", "trap".
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "emit" (func $emit (param i32 i32) (result i32)))
  (import "eshost_v1" "log" (func $log (param i32 i32 i32)))
  (import "eshost_v1" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 2)
  (global $count (mut i32) (i32.const 0))
  (data (i32.const 1024) "docs")
  (data (i32.const 1040) "total")
  (data (i32.const 1056) "{\"count\":0}")
  (data (i32.const 1072) "not this one")
  (data (i32.const 1088) "a line")
  (data (i32.const 1104) "not yet")
  ;; an event to emit: EMT1, 64 bytes of header, 6 slots, then its texts
  (data (i32.const 1152) "EMT1\40\00\00\00\06\00\00\00\00\00\00\00"
    "\40\00\00\00\03\00\00\00" "\40\00\00\00\00\00\00\00" "\43\00\00\00\07\00\00\00"
    "\4a\00\00\00\07\00\00\00" "\40\00\00\00\00\00\00\00" "\40\00\00\00\00\00\00\00"
    "out" "Noticed" "{\"n\":1}")
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param $min i32) (result i32) (i32.const 65536))
  (func $write
    (i32.store8 (i32.const 1065) (i32.add (i32.const 48) (i32.rem_u (global.get $count) (i32.const 10))))
    (drop (call $state_set (i32.const 1024) (i32.const 4) (i32.const 1040) (i32.const 5) (i32.const 1056) (i32.const 11))))
  (func $broken (unreachable))
  (func (export "handle") (param $len i32) (result i32)
    (local $what i32)
    ;; slot 4 of the envelope is data; its first byte is the quote
    (local.set $what (i32.load8_u (i32.add (i32.const 65537) (i32.load (i32.const 65608)))))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (if (i32.eq (local.get $what) (i32.const 0x63)) (then (call $write)))                                        ;; c
    (if (i32.eq (local.get $what) (i32.const 0x65)) (then (drop (call $emit (i32.const 1152) (i32.const 81)))))  ;; e
    (if (i32.eq (local.get $what) (i32.const 0x6c)) (then (call $log (i32.const 2) (i32.const 1088) (i32.const 6)))) ;; l
    (if (i32.eq (local.get $what) (i32.const 0x70)) (then                                                        ;; p: the third attempt is fine
      (if (i32.lt_u (i32.load (i32.const 65568)) (i32.const 3)) (then
        (call $fail (i32.const 1104) (i32.const 7))
        (return (i32.const 1))))))
    (if (i32.eq (local.get $what) (i32.const 0x72)) (then                                                        ;; r
      (call $fail (i32.const 1072) (i32.const 12))
      (return (i32.const 2))))
    (if (i32.eq (local.get $what) (i32.const 0x74)) (then (call $write) (call $broken)))                         ;; t
    (i32.const 0)))
