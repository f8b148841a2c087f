package plugin

import (
	"fmt"
	"unicode/utf16"

	"eshost/abi"
	"eshost/host/event"
)

// assemblyScriptFuncs are what AssemblyScript's runtime imports by itself.
func assemblyScriptFuncs() []hostFunc {
	return []hostFunc{
		{module: "env", name: "abort", params: types("iiii"), call: abort},
		{module: "env", name: "seed", results: types("F"), call: seed},
	}
}

// abort(message, file, line, column) is how AssemblyScript ends on an exception or a failed check.
func abort(in *Instance, stack []uint64) {
	message := in.assemblyScriptString(uint32(stack[0]))
	if message == "" {
		message = "abort"
	}
	if file := in.assemblyScriptString(uint32(stack[1])); file != "" {
		message = fmt.Sprintf("%s (%s:%d:%d)", message, file, uint32(stack[2]), uint32(stack[3]))
	}
	in.job.abort = printable(message, maxMessage)
	in.stop(&event.Failure{Kind: event.FailTrap, Message: in.said("")})
}

// assemblyScriptString reads a UTF-16 string, whose length in bytes lies before it. It is "" for whatever is no string.
func (in *Instance) assemblyScriptString(at uint32) string {
	if at < 4 {
		return ""
	}
	size, ok := in.mem.ReadUint32Le(at - 4)
	if !ok {
		return ""
	}
	b, ok := in.mem.Read(at, min(size, 2*abi.MaxFailText)&^1)
	if !ok {
		return ""
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return string(utf16.Decode(units))
}

// seed is what Math.random starts from: a number from 1 up to 2, whose low bits AssemblyScript uses.
func seed(in *Instance, stack []uint64) {
	stack[0] = 0x3ff<<52 | in.randomness().Uint64()&(1<<52-1)
}
