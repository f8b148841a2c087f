package meter

// prefixFC reads a saturating conversion or a bulk operation.
func (s *scanner) prefixFC(at int) {
	sub := s.u32()
	if s.err == nil && sub >= uint32(len(opcodesFC)) {
		s.failAt(ErrUnsupported, at, "opcode 0xfc %#x is beyond WebAssembly 2.0", sub)
		return
	}
	o := opcodesFC[sub]
	s.pay(int64(o.cost))
	switch sub {
	case bulkMemoryCopy:
		s.zero()
		s.zero()
	case bulkMemoryInit:
		s.segment = int32(s.u32())
		s.zero()
	default:
		s.prefixFCImmediate(o.imm)
	}
	switch sub {
	case bulkMemoryInit, bulkMemoryCopy, bulkMemoryFill, bulkTableInit, bulkTableCopy, bulkTableFill:
		s.bulk(at, sub, costBulk)
	case bulkTableGrow:
		s.bulk(at, sub, costGrow)
	}
}

func (s *scanner) prefixFCImmediate(imm immediate) {
	switch imm {
	case immIndex:
		s.u32()
	case immIndex2:
		s.u32()
		s.u32()
	case immMemory:
		s.zero()
	}
}

// prefixFD reads a vector instruction. The engine takes the opcode for a single byte and the 0x01 behind opcodes above
// 127 for a nop, so any other spelling is refused.
func (s *scanner) prefixFD(at int) {
	sub := s.byte()
	if sub >= 0x80 {
		if next := s.byte(); s.err == nil && next != 0x01 {
			s.failAt(ErrUnsupported, at, "vector opcode %#x %#x is beyond WebAssembly 2.0 or spelled too long", sub, next)
			return
		}
	}
	o := opcodesFD[sub]
	s.pay(int64(o.cost))
	switch o.imm {
	case immMemarg:
		s.u32()
		s.u32()
	case immMemLane:
		s.u32()
		s.u32()
		s.skip(1)
	case immLane:
		s.skip(1)
	case immBytes16:
		s.skip(16)
	}
}
