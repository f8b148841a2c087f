;; case: reads, lists, overwrites and deletes another plugin's documents
;; outcome: handled
;; document: c/k = [1,2,3]
(module
  (import "eshost_v1" "state_set" (func $state_set (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "eshost_v1" "state_get" (func $state_get (param i32 i32 i32 i32 i32 i32) (result i64)))
  (import "eshost_v1" "state_scan" (func $state_scan (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i64)))
  (import "eshost_v1" "config_get" (func $config_get (param i32 i32 i32 i32) (result i64)))
  (import "eshost_v1" "state_delete" (func $state_delete (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "eshost_abi_v1"))
  (func (export "eshost_inbox") (param i32) (result i32) (i32.const 65536))
  (data (i32.const 0) "c" "k" "[1,2,3]")
  (func $must (param i32) (if (i32.eqz (local.get 0)) (then (unreachable))))
  (data (i32.const 32) "balances" "healthy" "account-00000")
  (func (export "handle") (param i32) (result i32)
    ;; the collection and a key of the plugin beside it
    (call $must (i64.eq (call $state_get (i32.const 32) (i32.const 8) (i32.const 47) (i32.const 13) (i32.const 600) (i32.const 1000)) (i64.const -1)))
    (call $must (i64.eq (call $state_scan (i32.const 32) (i32.const 8) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 600) (i32.const 1000)) (i64.const 4)))
    (call $must (i32.eqz (i32.load (i32.const 600))))
    (call $must (i32.eqz (call $state_set (i32.const 32) (i32.const 8) (i32.const 47) (i32.const 13) (i32.const 2) (i32.const 7))))
    (call $must (i32.eqz (call $state_delete (i32.const 32) (i32.const 8) (i32.const 47) (i32.const 13))))
    (call $must (i64.eq (call $config_get (i32.const 32) (i32.const 8) (i32.const 600) (i32.const 100)) (i64.const -1)))
    (call $must (i32.eqz (call $state_set (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 7))))
    (i32.const 0)))
