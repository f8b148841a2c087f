package meter

// A single instruction may fill or copy all of memory, and nothing in between can call the host. So an operation on more
// than Options.bulkChunk bytes is handed to a helper, a function added to the module, that does it a piece at a time and
// checks the fuel before each piece. Tables are small enough to be done at once.

// helper is one such function: the instruction it stands for, and the segment of a memory.init.
type helper struct {
	what    uint32
	segment int32
}

// helperFor is the helper that a marked instruction can be handed to, if there is such a one.
func (m *module) helperFor(k *mark) helper {
	if k.value == bulkMemoryInit {
		return helper{k.value, k.payer}
	}
	return helper{what: k.value}
}

// findHelpers lists the helpers that the module needs and numbers their functions from first on. A segment of no more
// than a piece never needs one.
func (m *module) findHelpers(first uint32) map[helper]uint32 {
	index := make(map[helper]uint32)
	for i := range m.scan.marks {
		k := &m.scan.marks[i]
		if k.kind != markBulk {
			continue
		}
		switch k.value {
		case bulkMemoryFill, bulkMemoryCopy:
		case bulkMemoryInit:
			if int(k.payer) >= len(m.segments) || m.segments[k.payer] <= m.opts.bulkChunk {
				continue
			}
		default:
			continue
		}
		h := m.helperFor(k)
		if _, ok := index[h]; !ok {
			index[h] = first + uint32(len(m.helpers))
			m.helpers = append(m.helpers, h)
		}
	}
	return index
}

// The parameters of a helper, as the instruction has them: where to, where from (or what with), how much.
const (
	bulkTo = iota
	bulkFrom
	bulkSize
)

// helperBody is the code of a helper. What does not fit is given to the instruction as it is, which traps before it has
// done anything.
func (e *emitter) helperBody(h helper) []byte {
	b := emitter{m: e.m, fuel: e.fuel, slow: e.slow, out: []byte{0}}
	b.fits(h, bulkTo, b.memorySize)
	switch h.what {
	case bulkMemoryCopy:
		b.fits(h, bulkFrom, b.memorySize)
		b.op(opLocalGet, bulkTo)
		b.op(opLocalGet, bulkFrom)
		b.out = append(b.out, opI32GtU, opIf, 0x40) // overlapping or not, up goes from the end and down from the start
		b.piecewise(h, true)
		b.out = append(b.out, opElse)
		b.piecewise(h, false)
		b.out = append(b.out, opEnd)
	case bulkMemoryInit:
		size := int64(e.m.segments[h.segment])
		b.fits(h, bulkFrom, func() { b.i64(size) })
		b.piecewise(h, false)
	default:
		b.piecewise(h, false)
	}
	b.op(opGlobalGet, b.fuel)
	b.op(opLocalGet, bulkSize)
	b.scale(opI64ShrU, fillBytesShift)
	b.out = append(b.out, opI64Sub)
	b.op(opGlobalSet, b.fuel)
	b.check()
	b.instruct(h, func() { b.op(opLocalGet, bulkTo) }, func() { b.op(opLocalGet, bulkFrom) }, func() { b.op(opLocalGet, bulkSize) })
	b.out = append(b.out, opEnd)
	return b.out
}

func (e *emitter) memorySize() {
	e.out = append(e.out, opMemorySize, 0, opI64ExtendU)
	e.i64(16)
	e.out = append(e.out, opI64Shl)
}

// fits runs the whole instruction if the range that begins at a parameter does not lie below a limit.
func (e *emitter) fits(h helper, begin uint32, limit func()) {
	e.op(opLocalGet, begin)
	e.out = append(e.out, opI64ExtendU)
	e.op(opLocalGet, bulkSize)
	e.out = append(e.out, opI64ExtendU, opI64Add)
	limit()
	e.out = append(e.out, opI64GtU, opIf, 0x40)
	e.instruct(h, func() { e.op(opLocalGet, bulkTo) }, func() { e.op(opLocalGet, bulkFrom) }, func() { e.op(opLocalGet, bulkSize) })
	e.out = append(e.out, opEnd)
}

// piecewise does pieces until no more than one is left at the addresses in the parameters.
func (e *emitter) piecewise(h helper, fromEnd bool) {
	chunk := e.m.opts.bulkChunk
	e.out = append(e.out, opLoop, 0x40)
	e.charge(int64(chunk >> fillBytesShift))
	e.check()
	at := func(base uint32) func() {
		return func() {
			if e.op(opLocalGet, base); fromEnd {
				e.op(opLocalGet, bulkSize)
				e.out = append(e.out, opI32Add)
			}
		}
	}
	if fromEnd {
		e.step(bulkSize, opI32Sub)
	}
	e.instruct(h, at(bulkTo), at(bulkFrom), func() { e.i32(chunk) })
	if !fromEnd {
		e.step(bulkTo, opI32Add)
		if h.what != bulkMemoryFill {
			e.step(bulkFrom, opI32Add)
		}
		e.step(bulkSize, opI32Sub)
	}
	e.op(opLocalGet, bulkSize)
	e.i32(chunk)
	e.out = append(e.out, opI32GtU, opBrIf, 0, opEnd)
}

// step moves a parameter by one piece.
func (e *emitter) step(parameter uint32, op byte) {
	e.op(opLocalGet, parameter)
	e.i32(e.m.opts.bulkChunk)
	e.out = append(e.out, op)
	e.op(opLocalSet, parameter)
}

// instruct writes the instruction with its three operands.
func (e *emitter) instruct(h helper, to, from, size func()) {
	to()
	from()
	size()
	e.out = append(e.out, opPrefixFC, byte(h.what))
	switch h.what {
	case bulkMemoryCopy:
		e.out = append(e.out, 0, 0)
	case bulkMemoryInit:
		e.out = append(appendU32(e.out, uint32(h.segment)), 0)
	default:
		e.out = append(e.out, 0)
	}
}
