//go:build wasip1

// A guest that does what its event says with Go's own runtime.
package main

import (
	"encoding/binary"
	"os"
	"time"
)

var (
	inbox []byte
	sink  [][]byte
)

func main() {}

//go:wasmexport eshost_abi_v1
func marker() {}

//go:wasmexport eshost_inbox
func grow(size int32) *byte {
	inbox = make([]byte, size)
	return &inbox[0]
}

//go:wasmexport handle
func handle(size int32) int32 {
	at, n := binary.LittleEndian.Uint32(inbox[72:]), binary.LittleEndian.Uint32(inbox[76:])
	switch string(inbox[at : at+n]) {
	case "print":
		os.Stdout.WriteString("the time is " + time.Now().UTC().Format(time.RFC3339Nano) + "\n")
	case "sleep":
		began := time.Now()
		time.Sleep(time.Hour)
		if time.Since(began) < time.Hour {
			return 1
		}
	case "panic":
		os.Stderr.WriteString("\x1b[31mabout to\n")
		panic("the account is gone")
	case "nil":
		var p *int
		*p = 1
	case "deadlock":
		select {}
	case "exit":
		os.Exit(5)
	case "recurse":
		return recurse(size)
	case "memory":
		for {
			sink = append(sink, make([]byte, 1<<20))
		}
	}
	return 0
}

func recurse(n int32) int32 {
	var room [256]byte
	room[n&255] = byte(n)
	return recurse(n+1) + int32(room[n&127])
}
