//go:build wasip1

package eshost

import "unsafe"

// What a module exports: see abi/ABI.md.

//go:wasmexport eshost_abi_v1
func abiV1() {}

//go:wasmexport eshost_init
func initialize() int32 {
	if handler == nil {
		hostFail("no handler: call eshost.Handle in an init function")
		return 1
	}
	return 0
}

// inbox is the buffer that the host writes envelopes into.
var inbox []byte

//go:wasmexport eshost_inbox
func growInbox(atLeast uint32) unsafe.Pointer {
	if uint32(len(inbox)) < atLeast {
		inbox = make([]byte, atLeast)
	}
	return unsafe.Pointer(unsafe.SliceData(inbox))
}

//go:wasmexport handle
func handle(size uint32) int32 { return run(inbox[:size]) }
