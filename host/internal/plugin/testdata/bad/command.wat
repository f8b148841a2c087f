;; kind: export does not fit
;; error: does not export the function eshost_abi_v1
;; hint: -buildmode=c-shared
(module
  (memory (export "memory") 1)
  (func (export "_start")))
