//go:build wasip1

package eshost

import "unsafe"

// All that a module imports from the host: eshost_v1 in abi/ABI.md. The linker drops what a plugin does
// not use, so it needs no grant for it. stub_abi.go has the same functions for native tests.

//go:wasmimport eshost_v1 state_get
//go:noescape
func hostStateGet(collection, key string, buf unsafe.Pointer, size uint32) int64

//go:wasmimport eshost_v1 state_set
//go:noescape
func hostStateSet(collection, key string, value unsafe.Pointer, size uint32) int32

//go:wasmimport eshost_v1 state_delete
//go:noescape
func hostStateDelete(collection, key string) int32

//go:wasmimport eshost_v1 state_scan
//go:noescape
func hostStateScan(collection, prefix, after string, limit uint32, buf unsafe.Pointer, size uint32) int64

//go:wasmimport eshost_v1 emit
//go:noescape
func hostEmit(argument unsafe.Pointer, size uint32) int32

//go:wasmimport eshost_v1 log
//go:noescape
func hostLog(level int32, text string)

//go:wasmimport eshost_v1 fail
//go:noescape
func hostFail(text string)

//go:wasmimport eshost_v1 config_get
//go:noescape
func hostConfigGet(key string, buf unsafe.Pointer, size uint32) int64

//go:wasmimport eshost_v1 result_read
//go:noescape
func hostResultRead(buf unsafe.Pointer, size, offset uint32) int32
