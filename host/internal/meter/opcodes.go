package meter

// What follows an opcode in the code.
type immediate uint8

const (
	immInvalid immediate = iota
	immNone
	immBlock    // a block type
	immIndex    // one unsigned 32-bit index
	immIndex2   // two of them
	immMemarg   // alignment and offset
	immMemory   // a memory index, which must be the byte 0
	immI32      // a signed 32-bit number
	immI64      // a signed 64-bit number
	immBytes4   // 4 raw bytes
	immBytes8   // 8 raw bytes
	immBytes16  // 16 raw bytes
	immLane     // a lane index, one byte
	immMemLane  // a memarg, then a lane index
	immTable    // br_table's labels
	immTypes    // select's vector of types
	immRefType  // a reference type
	immPrefixFC // saturating conversions, bulk operations
	immPrefixFD // vectors
)

const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opSelect       = 0x1b
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32GtU       = 0x4b
	opI32LeU       = 0x4d
	opI64LtS       = 0x53
	opI64GtU       = 0x56
	opI64GeS       = 0x59
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Mul       = 0x7e
	opI64Or        = 0x84
	opI64Shl       = 0x86
	opI64ShrU      = 0x88
	opI64ExtendU   = 0xad
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opPrefixFC     = 0xfc
	opPrefixFD     = 0xfd

	vecConst = 12

	bulkMemoryInit = 8
	bulkMemoryCopy = 10
	bulkMemoryFill = 11
	bulkTableInit  = 12
	bulkTableCopy  = 14
	bulkTableGrow  = 15
	bulkTableFill  = 17
)

// opcode is one entry of the instruction tables: how to skip it, and what one execution costs. The unit of fuel is about
// one simple machine operation.
type opcode struct {
	imm  immediate
	cost uint8
}

const (
	costCall     = 8  // a frame, spills, and the reload of what the engine cached
	costIndirect = 12 // a call, a bounds check and a type check
	costImport   = 64 // the way out to Go and back
	costSlow     = 8  // divisions, square roots, reference and table accesses
	costBulk     = 32 // what a bulk operation costs however small it is
	costGrow     = 256
)

var (
	opcodes   = coreOpcodes()
	opcodesFC = bulkOpcodes()
	opcodesFD = vectorOpcodes()
	proposals = map[byte]string{ // opcodes of proposals beyond WebAssembly 2.0
		0x06: "exception handling", 0x07: "exception handling", 0x08: "exception handling", 0x09: "exception handling",
		0x0a: "exception handling", 0x18: "exception handling", 0x19: "exception handling", 0x1f: "exception handling",
		0x12: "tail calls", 0x13: "tail calls", 0x14: "typed function references", 0x15: "typed function references",
		0xd3: "garbage collection", 0xd4: "typed function references", 0xd5: "typed function references",
		0xd6: "typed function references", 0xfb: "garbage collection", 0xfe: "threads",
	}
)

func fill[T any](t []T, from, to int, v T) {
	for i := from; i <= to; i++ {
		t[i] = v
	}
}

func coreOpcodes() *[256]opcode {
	var t [256]opcode
	fill(t[:], opUnreachable, opNop, opcode{immNone, 0})
	fill(t[:], opBlock, opLoop, opcode{immBlock, 0})
	t[opIf] = opcode{immBlock, 1}
	t[opElse], t[opEnd] = opcode{immNone, 0}, opcode{immNone, 0}
	fill(t[:], opBr, opBrIf, opcode{immIndex, 1})
	t[opBrTable] = opcode{immTable, 2}
	t[opReturn] = opcode{immNone, 1}
	t[opCall] = opcode{immIndex, costCall}
	t[opCallIndirect] = opcode{immIndex2, costIndirect}
	fill(t[:], 0x1a, opSelect, opcode{immNone, 1})
	t[0x1c] = opcode{immTypes, 1}
	fill(t[:], opLocalGet, opGlobalSet, opcode{immIndex, 1})
	fill(t[:], 0x25, 0x26, opcode{immIndex, costSlow}) // table.get, table.set
	fill(t[:], 0x28, 0x3e, opcode{immMemarg, 1})
	t[0x3f] = opcode{immMemory, 1}
	t[opMemoryGrow] = opcode{immMemory, 1}
	t[opI32Const], t[opI64Const] = opcode{immI32, 1}, opcode{immI64, 1}
	t[opF32Const], t[opF64Const] = opcode{immBytes4, 1}, opcode{immBytes8, 1}
	fill(t[:], 0x45, 0xc4, opcode{immNone, 1})
	for _, op := range []int{0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3} {
		t[op].cost = costSlow // integer div and rem, float div and sqrt
	}
	t[opRefNull] = opcode{immRefType, 1}
	t[0xd1] = opcode{immNone, 1}
	t[opRefFunc] = opcode{immIndex, costSlow}
	t[opPrefixFC].imm, t[opPrefixFD].imm = immPrefixFC, immPrefixFD
	return &t
}

func bulkOpcodes() *[18]opcode {
	var t [18]opcode
	fill(t[:], 0, 7, opcode{immNone, 2})
	t[bulkMemoryInit] = opcode{immIndex2, 1}
	t[9] = opcode{immIndex, 1} // data.drop
	t[bulkMemoryCopy] = opcode{immIndex2, 1}
	t[bulkMemoryFill] = opcode{immMemory, 1}
	t[bulkTableInit] = opcode{immIndex2, 1}
	t[13] = opcode{immIndex, 1} // elem.drop
	t[bulkTableCopy] = opcode{immIndex2, 1}
	t[bulkTableGrow] = opcode{immIndex, 1}
	t[16] = opcode{immIndex, 1} // table.size
	t[bulkTableFill] = opcode{immIndex, 1}
	return &t
}

func vectorOpcodes() *[256]opcode {
	var t [256]opcode
	fill(t[:], 0, 11, opcode{immMemarg, 2})
	fill(t[:], vecConst, 13, opcode{immBytes16, 2}) // and i8x16.shuffle
	fill(t[:], 14, 20, opcode{immNone, 2})
	fill(t[:], 21, 34, opcode{immLane, 2})
	fill(t[:], 35, 83, opcode{immNone, 2})
	fill(t[:], 84, 91, opcode{immMemLane, 2})
	fill(t[:], 92, 93, opcode{immMemarg, 2})
	fill(t[:], 94, 255, opcode{immNone, 2})
	return &t
}
