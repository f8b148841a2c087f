package meter

// emitter writes the new code section. The indices of what was added are fixed before.
type emitter struct {
	m    *module
	out  []byte
	fuel uint32 // the fuel global
	room uint32 // the global with what is left of the stack budget
	slow uint32 // the function behind every check

	helpers map[helper]uint32 // the functions behind large bulk operations
	checks  int               // written so far

	// Of the function being written:
	temp uint32 // a scratch i32, where it has bulk operations
	near uint32 // a local copy of the fuel, where it has loops without calls
	last int    // the copy is in use for the marks before this one
	copy bool   // the copy is in use
}

// added is how many imported functions come before the defined ones now, beyond those of the original.
const added = 2

func (m *module) shifted(fn uint32) uint32 {
	if fn >= uint32(len(m.importedFuncs)) {
		return fn + added
	}
	return fn
}

func (e *emitter) op(op byte, v uint32) { e.out = appendU32(append(e.out, op), v) }

func (e *emitter) i32(v uint32) { e.out = appendI64(append(e.out, opI32Const), int64(int32(v))) }

func (e *emitter) i64(v int64) { e.out = appendI64(append(e.out, opI64Const), v) }

func (e *emitter) function(f *function) {
	e.locals(f)
	e.last, e.copy = 0, false
	entry := &e.m.scan.marks[f.marks.from]
	if f.weight > 0 {
		e.takeStack(f, entry)
	}
	at := f.body
	for i := f.marks.from; i < f.marks.to; i++ {
		k := &e.m.scan.marks[i]
		e.out = append(e.out, e.m.in[at:k.at]...)
		at = int(k.at)
		e.copy = i < e.last
		if k == entry && f.weight > 0 {
			continue // takeStack has charged it
		}
		if e.mark(f, k, i) {
			at = int(k.end)
		}
	}
	e.out = append(e.out, e.m.in[at:f.code.to]...)
	if f.weight > 0 {
		e.giveStack(f)
	}
}

// locals copies the declarations and adds what the rewritten body needs.
func (e *emitter) locals(f *function) {
	var more []byte
	groups, next := f.groups, f.locals
	if f.bulk {
		e.temp = next
		more = append(more, 1, 0x7f)
		groups, next = groups+1, next+1
	}
	if f.tight {
		e.near = next
		more = append(more, 1, 0x7e)
		groups++
	}
	r := reader{in: e.m.in, off: f.code.from, end: f.body}
	r.u32()
	e.out = appendU32(e.out, groups)
	e.out = append(e.out, e.m.in[r.off:f.body]...)
	e.out = append(e.out, more...)
}

// mark writes what stands for a mark and says whether that replaces the original.
func (e *emitter) mark(f *function, k *mark, i int) bool {
	switch k.kind {
	case markCharge:
		if k.cost > 0 {
			e.charge(k.cost)
		}
	case markCheck:
		e.charge(k.cost)
		e.check()
	case markLoop:
		e.loop(k, i)
		return true
	case markCall, markRefFunc:
		e.out = appendU32(e.out, e.m.shifted(k.value))
		return true
	case markReturn:
		if f.weight > 0 {
			e.op(opBr, k.value)
			return true
		}
	case markBulk:
		e.bulk(k)
		return true
	}
	return false
}

// loop writes a loop instruction with its charge. Around a loop without calls nobody else touches the fuel, so the loop
// works on a copy in a local: the global is still written at each charge, but no longer read, which takes the memory's
// latency out of tight loops.
func (e *emitter) loop(k *mark, i int) {
	if k.value > 0 && !e.copy {
		e.copy, e.last = true, int(k.value)
		e.op(opGlobalGet, e.fuel)
		e.op(opLocalSet, e.near)
	}
	e.out = append(e.out, e.m.in[k.at:k.end]...)
	e.charge(k.cost)
	e.check()
}

// charge: fuel -= cost
func (e *emitter) charge(cost int64) {
	e.load()
	e.i64(cost)
	e.out = append(e.out, opI64Sub)
	if e.copy {
		e.op(opLocalTee, e.near)
	}
	e.op(opGlobalSet, e.fuel)
}

func (e *emitter) load() {
	if e.copy {
		e.op(opLocalGet, e.near)
	} else {
		e.op(opGlobalGet, e.fuel)
	}
}

func (e *emitter) check() {
	e.load()
	e.callIfNegative()
}

// callIfNegative: if x >= 0 {} else { check() }. The usual way comes first although it is empty: the engine's register
// allocator continues behind an if with the registers of its first branch, and those of the call are all spilled.
func (e *emitter) callIfNegative() {
	e.checks++
	e.i64(0)
	e.out = append(e.out, opI64GeS, opIf, 0x40, opElse)
	e.op(opCall, e.slow)
	if e.copy {
		e.op(opGlobalGet, e.fuel)
		e.op(opLocalSet, e.near)
	}
	e.out = append(e.out, opEnd)
}

// takeStack opens a function that may recurse: its frame comes off the stack budget, one check covers both the budget
// and the fuel, and the body becomes a block, so that every way out passes giveStack.
func (e *emitter) takeStack(f *function, entry *mark) {
	e.op(opGlobalGet, e.room)
	e.i64(f.weight)
	e.out = append(e.out, opI64Sub)
	e.op(opGlobalSet, e.room)
	if entry.cost > 0 {
		e.charge(entry.cost)
	}
	e.op(opGlobalGet, e.room)
	if entry.kind == markCheck {
		e.op(opGlobalGet, e.fuel)
		e.out = append(e.out, opI64Or)
	}
	e.callIfNegative()
	e.out = append(e.out, opBlock)
	e.out = appendI64(e.out, int64(e.m.blockTypes[f.typ]))
}

func (e *emitter) giveStack(f *function) {
	e.op(opGlobalGet, e.room)
	e.i64(f.weight)
	e.out = append(e.out, opI64Add)
	e.op(opGlobalSet, e.room)
	e.out = append(e.out, opEnd)
}

const (
	fillBytesShift    = 4     // bytes of memory.fill, copy and init to one unit of fuel, as a power of two
	tableElementsUnit = 1     // units for one element of table.fill, copy, init and grow
	growPageCost      = 65536 // units for one page of memory.grow
)

// bulk charges an operation by the size on top of the stack, before it runs. A grow beyond the cap fails at once and is
// not charged for its size; any other operation beyond its bounds traps. A large one is handed to its helper.
func (e *emitter) bulk(k *mark) {
	e.op(opLocalTee, e.temp)
	helper, ok := e.helpers[e.m.helperFor(k)]
	if ok {
		e.op(opLocalGet, e.temp)
		e.i32(e.m.opts.bulkChunk)
		e.out = appendI64(append(e.out, opI32GtU, opIf), int64(e.m.bulkType))
		e.op(opCall, helper)
		e.out = append(e.out, opElse)
	}
	e.op(opGlobalGet, e.fuel)
	e.op(opLocalGet, e.temp)
	switch k.value {
	case opMemoryGrow:
		e.zeroAbove(e.m.opts.MaxMemoryPages)
		e.scale(opI64Mul, growPageCost)
	case bulkTableGrow:
		e.zeroAbove(e.m.opts.MaxTableElements)
		e.scale(opI64Mul, tableElementsUnit)
	case bulkMemoryInit, bulkMemoryCopy, bulkMemoryFill:
		e.scale(opI64ShrU, fillBytesShift)
	default:
		e.scale(opI64Mul, tableElementsUnit)
	}
	e.out = append(e.out, opI64Sub)
	e.op(opGlobalSet, e.fuel)
	e.check()
	e.out = append(e.out, e.m.in[k.at:k.end]...)
	if ok {
		e.out = append(e.out, opEnd)
	}
}

// zeroAbove replaces a value above the cap by zero.
func (e *emitter) zeroAbove(limit uint32) {
	e.out = appendI64(append(e.out, opI32Const), 0)
	e.op(opLocalGet, e.temp)
	e.out = appendI64(append(e.out, opI32Const), int64(int32(limit)))
	e.out = append(e.out, opI32LeU, opSelect)
}

// scale widens the 32-bit size to 64 bits, where no factor used here can overflow.
func (e *emitter) scale(op byte, by int64) {
	e.out = append(e.out, opI64ExtendU)
	e.i64(by)
	e.out = append(e.out, op)
}

// slowBody is the code of the function behind every check: out of stack or out of fuel.
func (e *emitter) slowBody() []byte {
	n := uint32(len(e.m.importedFuncs))
	s := emitter{out: []byte{0}}
	s.op(opGlobalGet, e.room)
	s.i64(0)
	s.out = append(s.out, opI64LtS, opIf, 0x40)
	s.op(opCall, n+1)
	s.out = append(s.out, opUnreachable, opEnd)
	s.op(opCall, n)
	s.out = append(s.out, opEnd)
	return s.out
}
