package meter

type scanState struct {
	marks   []mark
	frames  []frame
	regions []region
}

// splitAbove is how much code one charge may cover before the next label gets a charge of its own. A small value counts
// precisely, a large one runs faster.
const splitAbove = 64

type scanner struct {
	*reader
	*scanState
	m *module
	f *function

	straight bool  // nothing but plain instructions and block starts since the entry
	fold     int32 // the loop head right behind the entry, 0 when there is none
	segment  int32 // of the last memory.init
}

func (s *scanner) function() {
	s.frames = append(s.frames[:0], frame{op: opBlock})
	s.regions = append(s.regions[:0], region{charge: int32(len(s.marks))})
	s.insert(markCheck, s.off)
	for s.err == nil && len(s.frames) > 0 {
		s.instruction()
	}
	if s.err == nil && s.left() > 0 {
		s.fail(ErrMalformed, "code after the end of the function")
	}
	s.complexity()
	if entry := &s.marks[s.f.marks.from]; s.err == nil && s.fold > 0 {
		// The loop head behind the entry checks the fuel on every path, so the entry need not.
		entry.kind = markCharge
		if entry.cost <= foldBelow {
			s.marks[s.fold].cost += entry.cost
			entry.kind, entry.cost, entry.payer = markNothing, 0, s.fold
		}
	}
}

// complexity holds the function, and the module up to it, against the limits that keep compile time in bounds. The engine's
// time grows with the square of a function's size and of its blocks; the divisors make a unit some 10 µs of each.
func (s *scanner) complexity() {
	size := int64(s.f.code.to - s.f.body)
	c := int64(s.f.locals)*s.f.joins + s.f.values + size*size>>17 + s.f.joins*s.f.joins>>7
	if s.err == nil && c > int64(s.m.opts.MaxComplexity) {
		s.failAt(ErrLimit, s.f.code.from, "the function has a complexity of %d (%d locals times %d blocks, %d values, %d bytes), "+
			"the limit is %d", c, s.f.locals, s.f.joins, s.f.values, size, s.m.opts.MaxComplexity)
	}
	if s.m.complexity += c; s.m.complexity > int64(s.m.opts.MaxTotalComplexity) {
		s.failAt(ErrLimit, s.f.code.from, "the functions up to here have a complexity of %d together, the limit is %d",
			s.m.complexity, s.m.opts.MaxTotalComplexity)
	}
}

// foldBelow is the cost of an entry that the loop right behind it pays, on every turn, to save the entry's own charge.
const foldBelow = 8

func (s *scanner) insert(kind markKind, at int) {
	s.marks = append(s.marks, mark{at: int32(at), end: int32(at), kind: kind})
}

func (s *scanner) region() *region { return &s.regions[len(s.regions)-1] }

// pay adds a cost to the charge in force.
func (s *scanner) pay(cost int64) { s.marks[s.region().charge].cost += cost }

// charge starts a new charge for the rest of the region; the code up to here keeps the one before.
func (s *scanner) charge(at int) {
	s.region().charge = int32(len(s.marks))
	s.insert(markCharge, at)
	if n := len(s.frames); n > 0 {
		s.frames[n-1].split = true
	}
}

func (s *scanner) instruction() {
	at := s.off
	op := s.byte()
	o := opcodes[op]
	s.pay(int64(o.cost))
	switch o.imm {
	case immNone:
		s.plain(op, at)
	case immIndex:
		s.indexed(op, at)
	case immMemarg:
		s.u32()
		s.u32()
	case immI32:
		s.leb(32, true)
	case immI64:
		s.leb(64, true)
	case immBlock:
		s.open(op)
	case immIndex2:
		s.callIndirect()
	case immMemory:
		s.zero()
		if op == opMemoryGrow {
			s.bulk(at, opMemoryGrow, costGrow)
		}
	case immBytes4:
		s.skip(4)
	case immBytes8:
		s.skip(8)
	case immTable:
		s.branchTable()
	case immTypes:
		if s.u32() != 1 {
			s.failAt(ErrMalformed, at, "select with other than one type")
		}
		checkValueType(s.reader, s.byte())
	case immRefType:
		checkRefType(s.reader, s.byte())
	case immPrefixFC:
		s.prefixFC(at)
	case immPrefixFD:
		s.prefixFD(at)
	default:
		s.unknown(at, op)
	}
}

func (s *scanner) unknown(at int, op byte) {
	if proposal, ok := proposals[op]; ok {
		s.failAt(ErrUnsupported, at, "opcode %#x belongs to the %s proposal", op, proposal)
	} else {
		s.failAt(ErrMalformed, at, "unknown opcode %#x", op)
	}
}

// zero reads a memory index, which the engine takes for a single byte.
func (s *scanner) zero() {
	if b := s.byte(); s.err == nil && b != 0 {
		s.failAt(ErrUnsupported, s.off-1, "memory index %#x belongs to the multi-memory proposal", b)
	}
}

func (s *scanner) plain(op byte, at int) {
	switch op {
	case opEnd:
		s.close()
	case opElse:
		s.otherwise(at)
	case opReturn:
		s.straight = false
		s.insert(markReturn, at)
		k := &s.marks[len(s.marks)-1]
		k.end, k.value = int32(s.off), uint32(len(s.frames)-1)
	case opUnreachable:
		s.straight = false
	}
}

func (s *scanner) indexed(op byte, at int) {
	from := s.off
	v := s.u32()
	switch op {
	case opBr, opBrIf:
		s.straight = false
		s.target(v, at)
	case opCall:
		s.straight = false
		if v >= s.m.numFuncs() {
			s.failAt(ErrMalformed, at, "call of function %d, there are %d", v, s.m.numFuncs())
			return
		}
		s.callValues(s.m.typeOf(v))
		s.reindex(markCall, from, v)
		if int(v) < len(s.m.importedFuncs) {
			s.pay(costImport)
		}
	case opLocalGet, opLocalSet, opLocalTee: // beyond lies the scratch local
		if v >= s.f.locals {
			s.failAt(ErrMalformed, at, "local %d, there are %d", v, s.f.locals)
		}
	case opGlobalGet, opGlobalSet: // beyond lie the fuel and the stack budget
		if uint64(v) >= uint64(len(s.m.globals)) {
			s.failAt(ErrMalformed, at, "global %d, there are %d", v, len(s.m.globals))
		}
	case opRefFunc:
		s.reindex(markRefFunc, from, v)
	}
}

func (s *scanner) reindex(kind markKind, from int, v uint32) {
	s.frames[len(s.frames)-1].calls = true
	s.marks = append(s.marks, mark{
		at: int32(from), end: int32(s.off), kind: kind, value: v, payer: s.region().charge,
	})
}

func (s *scanner) callIndirect() {
	s.straight, s.f.indirect = false, true
	t := s.m.typeIndex(s.reader)
	s.u32()
	s.reindex(markIndirect, s.off, t)
	if s.err == nil {
		s.callValues(t)
	}
}

func (s *scanner) callValues(t uint32) {
	s.f.values += int64(len(s.m.types[t].params) + len(s.m.types[t].results))
}

// bulk marks an instruction that has been read, whose work depends on the operand on top of the stack.
func (s *scanner) bulk(at int, what uint32, cost int64) {
	s.straight, s.f.bulk = false, true
	s.frames[len(s.frames)-1].calls = true
	s.pay(cost)
	s.marks = append(s.marks, mark{at: int32(at), end: int32(s.off), kind: markBulk, value: what, payer: s.segment})
}

// target notes a branch. Only the function's own label and those of blocks and ifs are ends to jump to.
func (s *scanner) target(depth uint32, at int) {
	if uint64(depth) >= uint64(len(s.frames)) {
		s.failAt(ErrMalformed, at, "branch to depth %d, %d blocks are open", depth, len(s.frames))
		return
	}
	f := &s.frames[len(s.frames)-1-int(depth)]
	f.targeted = true
	s.f.values += 1 + int64(f.arity)
}

func (s *scanner) branchTable() {
	at := s.off
	s.straight = false
	n := s.count(s.m.opts.MaxBranchTargets, "labels of a br_table")
	for range n + 1 {
		s.target(s.u32(), at)
	}
}

func (s *scanner) open(op byte) {
	at := s.off - 1
	params, results := s.blockType()
	if len(s.frames) > s.m.opts.MaxNesting {
		s.fail(ErrLimit, "blocks nest more than %d deep", s.m.opts.MaxNesting)
		return
	}
	s.f.joins++
	s.f.values += int64(params + results)
	s.frames = append(s.frames, frame{op: op, arity: results})
	switch op {
	case opIf:
		s.straight = false
	case opLoop:
		s.frames[len(s.frames)-1].arity = params
		if s.straight {
			s.fold = int32(len(s.marks))
			s.straight = false
		}
		s.f.loops = true
		s.f.joins += int64(len(s.regions) - 1) // one is counted already
		s.regions = append(s.regions, region{charge: int32(len(s.marks)), head: int32(len(s.marks))})
		s.marks = append(s.marks, mark{at: int32(at), end: int32(s.off), kind: markLoop, cost: 1}) // never free
	}
}

// blockType reads the type of a block and returns how many parameters and results it has.
func (s *scanner) blockType() (params, results int) {
	at := s.off
	if b := s.byte(); b == 0x40 || s.err != nil {
		return 0, 0
	} else if b >= 0x41 && b < 0x80 {
		checkValueType(s.reader, b)
		return 0, 1
	}
	s.off = at
	t := s.leb(33, true)
	if s.err == nil && (t < 0 || t >= int64(len(s.m.types))) {
		s.failAt(ErrMalformed, at, "block type %d, there are %d types", t, len(s.m.types))
	}
	if s.err != nil {
		return 0, 0
	}
	return len(s.m.types[t].params), len(s.m.types[t].results)
}

// otherwise begins an else branch. The false edge of the if skipped the charges of the first branch, if there were any,
// so the second starts its own.
func (s *scanner) otherwise(at int) {
	f := &s.frames[len(s.frames)-1]
	if f.op != opIf {
		s.failAt(ErrMalformed, at, "else without if")
		return
	}
	f.op = opElse
	if f.split {
		s.charge(s.off)
	}
}

// close ends a block. Code behind a label can be reached by jumping over any charge inside the block; then it needs a
// charge of its own. It also gets one when the charge in force covers much already.
func (s *scanner) close() {
	f := s.frames[len(s.frames)-1]
	s.frames = s.frames[:len(s.frames)-1]
	if len(s.frames) == 0 {
		return
	}
	up := &s.frames[len(s.frames)-1]
	up.calls = up.calls || f.calls
	if f.op == opLoop {
		if !f.calls {
			s.f.tight = true
			s.marks[s.regions[len(s.regions)-1].head].value = uint32(len(s.marks))
		}
		s.regions = s.regions[:len(s.regions)-1]
		return
	}
	joined := f.targeted || f.op != opBlock // both ways around an if meet at its end
	switch {
	case joined && (f.split || s.marks[s.region().charge].cost >= splitAbove):
		s.charge(s.off)
	case f.split:
		up.split = true
	}
}
