package meter

// emitter writes the new code section. The indices of what was added are fixed before.
type emitter struct {
	m    *module
	out  []byte
	fuel uint32 // the fuel global
	room uint32 // the global with what is left of the stack budget
	slow uint32 // the function behind every check
	temp uint32 // the function's scratch local
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

func (e *emitter) i64(v int64) { e.out = appendI64(append(e.out, opI64Const), v) }

func (e *emitter) function(f *function) {
	e.locals(f)
	marks := e.m.scan.marks[f.marks.from:f.marks.to]
	if f.weight > 0 {
		e.takeStack(f, &marks[0])
	}
	at := f.body
	for i := range marks {
		k := &marks[i]
		if int(k.at) > at {
			e.out = append(e.out, e.m.in[at:k.at]...)
			at = int(k.at)
		}
		if e.mark(f, k) {
			at = int(k.end)
		}
	}
	e.out = append(e.out, e.m.in[at:f.code.to]...)
	if f.weight > 0 {
		e.giveStack(f)
	}
}

// locals copies the declarations and adds a scratch i32 where bulk operations need one.
func (e *emitter) locals(f *function) {
	if !f.bulk {
		e.out = append(e.out, e.m.in[f.code.from:f.body]...)
		return
	}
	e.temp = f.locals
	r := reader{in: e.m.in, off: f.code.from, end: f.body}
	r.u32()
	e.out = appendU32(e.out, f.groups+1)
	e.out = append(e.out, e.m.in[r.off:f.body]...)
	e.out = append(e.out, 1, 0x7f)
}

// mark writes what stands for a mark and says whether that replaces the original.
func (e *emitter) mark(f *function, k *mark) bool {
	switch k.kind {
	case markCharge:
		if k.cost > 0 {
			e.charge(k.cost)
		}
	case markCheck:
		e.charge(k.cost)
		e.check()
	case markCall, markRefFunc:
		e.out = appendU32(e.out, e.m.shifted(k.value))
		return true
	case markReturn:
		if f.weight > 0 {
			e.op(opBr, k.value)
			return true
		}
	case markBulk:
		e.bulk(k.value)
	}
	return false
}

// charge: fuel -= cost
func (e *emitter) charge(cost int64) {
	e.op(opGlobalGet, e.fuel)
	e.i64(cost)
	e.out = append(e.out, opI64Sub)
	e.op(opGlobalSet, e.fuel)
}

// check: if fuel < 0 { slow() }
func (e *emitter) check() {
	e.op(opGlobalGet, e.fuel)
	e.ifNegative()
}

func (e *emitter) ifNegative() {
	e.i64(0)
	e.out = append(e.out, opI64LtS, opIf, 0x40)
	e.op(opCall, e.slow)
	e.out = append(e.out, opEnd)
}

// takeStack opens a function that may recurse: its frame comes off the stack budget, one check covers both the budget
// and the fuel, and the body becomes a block, so that every way out passes giveStack.
func (e *emitter) takeStack(f *function, entry *mark) {
	e.op(opGlobalGet, e.room)
	e.i64(f.weight)
	e.out = append(e.out, opI64Sub)
	e.op(opGlobalSet, e.room)
	e.op(opGlobalGet, e.room)
	if entry.kind == markCheck {
		e.charge(entry.cost)
		e.op(opGlobalGet, e.fuel)
		e.out = append(e.out, opI64Or)
		entry.kind = markNothing
	}
	e.ifNegative()
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
	growPageCost      = 16384 // units for one page of memory.grow
)

// bulk charges an operation by the size on top of the stack, before it runs. A grow beyond the cap fails at once and is
// not charged for its size; any other operation beyond its bounds traps.
func (e *emitter) bulk(what uint32) {
	e.op(opLocalTee, e.temp)
	e.op(opGlobalGet, e.fuel)
	e.op(opLocalGet, e.temp)
	switch what {
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
