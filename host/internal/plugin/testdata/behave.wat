;; Does what the first byte of the event's data says.
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "fail" (func $fail (param i32 i32)))
  (import "eshost_v1" "log" (func $log (param i32 i32 i32)))
  (import "eshost_v1" "config_get" (func $config_get (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 2)
  (table $t 2 funcref)
  (elem (i32.const 0) $other)
  (type $none (func))
  (data (i32.const 1024) "docs")
  (data (i32.const 1040) "key")
  (data (i32.const 1056) "{}")
  (data (i32.const 1072) "the reason\0a\1b[31m\ff")
  (func $other (param i32))
  (func (export "eshost_abi_v1"))
  (func $inbox (export "eshost_inbox") (param $min i32) (result i32)
    (local $need i32)
    (local.set $need (i32.shr_u (i32.add (local.get $min) (i32.const 131071)) (i32.const 16)))
    (if (i32.gt_u (local.get $need) (memory.size))
      (then (drop (memory.grow (i32.sub (local.get $need) (memory.size))))))
    (i32.const 65536))
  (func $recurse (param $n i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (i32.add (local.get $n) (i32.const 1)))))
  (func $spin (loop $again (br $again)))
  (func $level3 (unreachable))
  (func $level2 (call $level3))
  (func $set (drop (call $state_set (i32.const 1024) (i32.const 4) (i32.const 1040) (i32.const 3) (i32.const 1056) (i32.const 2))))
  (func $say (call $fail (i32.const 1072) (i32.const 17)))
  (func (export "handle") (param $len i32) (result i32)
    (local $what i32)
    (local.set $what (i32.load8_u (i32.add (i32.const 65536) (i32.load (i32.const 65608)))))
    (if (i32.eq (local.get $what) (i32.const 0x75)) (then (call $level2)))                                   ;; u: unreachable
    (if (i32.eq (local.get $what) (i32.const 0x64)) (then (drop (i32.div_u (i32.const 1) (i32.const 0)))))   ;; d: divide by zero
    (if (i32.eq (local.get $what) (i32.const 0x6f)) (then (drop (i32.load (i32.const -8)))))                 ;; o: out of bounds
    (if (i32.eq (local.get $what) (i32.const 0x63)) (then (call_indirect $t (type $none) (i32.const 0))))    ;; c: wrong type
    (if (i32.eq (local.get $what) (i32.const 0x6c)) (then (call $spin)))                                     ;; l: loop
    (if (i32.eq (local.get $what) (i32.const 0x72)) (then (drop (call $recurse (i32.const 0)))))             ;; r: recursion
    (if (i32.eq (local.get $what) (i32.const 0x67)) (then                                                    ;; g: grow, then give up
      (loop $grow (br_if $grow (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (unreachable)))
    (if (i32.eq (local.get $what) (i32.const 0x6b)) (then                                                    ;; k: grow, then go on
      (loop $grow2 (br_if $grow2 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))))
    (if (i32.eq (local.get $what) (i32.const 0x66)) (then                                                    ;; f: fill memory for ever
      (loop $fill (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br $fill))))
    (if (i32.eq (local.get $what) (i32.const 0x68)) (then                                                    ;; h: call the host for ever
      (loop $host (drop (call $config_get (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 0))) (br $host))))
    (if (i32.eq (local.get $what) (i32.const 0x6a)) (then                                                    ;; j: have the host do work for ever
      (loop $work (drop (call $state_set (i32.const 1024) (i32.const 4) (i32.const 1040) (i32.const 3) (i32.const 0) (i32.const 65536))) (br $work))))
    (if (i32.eq (local.get $what) (i32.const 0x73)) (then (call $set) (return (i32.const 7))))               ;; s: set, then no status
    (if (i32.eq (local.get $what) (i32.const 0x74)) (then (call $set) (call $say) (unreachable)))            ;; t: set, say, trap
    (if (i32.eq (local.get $what) (i32.const 0x31)) (then (call $set) (call $say) (return (i32.const 1))))   ;; 1: set, say, retry
    (if (i32.eq (local.get $what) (i32.const 0x32)) (then (call $set) (return (i32.const 2))))               ;; 2: set, reject
    (if (i32.eq (local.get $what) (i32.const 0x6e)) (then                                                    ;; n: log a thousand lines
      (local.set $what (i32.const 1000))
      (loop $logs
        (call $log (i32.const 1) (i32.const 1072) (i32.const 16))
        (br_if $logs (local.tee $what (i32.sub (local.get $what) (i32.const 1)))))))
    (if (i32.eq (local.get $what) (i32.const 0x77)) (then                                                    ;; w: a while of work
      (local.set $what (i32.const 1000000))
      (loop $busy (br_if $busy (local.tee $what (i32.sub (local.get $what) (i32.const 1)))))))
    (if (i32.eq (local.get $what) (i32.const 0x78)) (then (call $set)))                                      ;; x: set, ok
    (i32.const 0)))
