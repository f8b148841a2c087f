package meter

// A function body is read once. The pass checks that it consists of instructions this package knows, and leaves behind
// marks: the places where the rewritten body will differ.
type markKind uint8

const (
	markCharge   markKind = iota // subtract cost
	markCheck                    // subtract cost and call the host when the fuel is used up
	markLoop                     // a loop head: replaces the loop instruction by itself and a markCheck
	markNothing                  // a charge that turned out to be needless
	markCall                     // a direct call: shift the function index
	markIndirect                 // an indirect call, value is the type
	markRefFunc                  // shift the function index
	markReturn                   // becomes a branch out of the body when the function has an epilogue; value is the depth
	markBulk                     // charge by the operand on top of the stack; value is the instruction, payer memory.init's segment
)

type mark struct {
	at, end int32 // what is replaced; at == end inserts
	kind    markKind
	value   uint32 // of a loop without calls: the number of the first mark behind it; 0 for other loops
	cost    int64  // of a charge
	payer   int32  // of a call: the charge that pays for it
}

type function struct {
	typ      uint32
	code     span // from the local declarations to the last end
	body     int  // where the instructions start
	groups   uint32
	locals   uint32 // parameters included
	words    uint32 // the locals' size in 8-byte words
	marks    span   // of scanState.marks
	loops    bool
	tight    bool // has a loop without calls
	bulk     bool
	indirect bool
	joins    int64 // blocks, loops and ifs
	values   int64 // what calls, blocks and branches hand on

	cost     int64 // what a caller pays for it; 0 when the function pays for itself
	weight   int64 // bytes taken from the stack budget on entry; 0 when it cannot recurse
	absorbed bool
}

// frame is an open block. A branch to a block or an if jumps forward to its end, a branch to a loop back to its head.
type frame struct {
	op       byte
	targeted bool // some branch jumps to the end
	split    bool // a charge stands inside, in the region the block is part of
	arity    int  // the values a branch to it carries
	calls    bool // something inside may change the fuel elsewhere: a call, a bulk operation
}

// region is what a loop head or the function entry pays for: the code it dominates, less inner loops. Within a region,
// charge is the mark that pays for the code being read.
type region struct {
	charge int32
	head   int32 // the first of them
}

func (m *module) codeSection(r *reader) {
	at := r.off
	n := r.count(m.opts.MaxFunctions, "function bodies")
	if r.err == nil && n != len(m.funcs) {
		r.failAt(ErrMalformed, at, "%d function bodies for %d functions", n, len(m.funcs))
	}
	m.scan.marks = make([]mark, 0, r.left()/16)
	for i := range m.funcs {
		f := &m.funcs[i]
		r.fn = len(m.importedFuncs) + i
		size := r.u32()
		if uint64(size) > uint64(m.opts.MaxFunctionSize) {
			r.fail(ErrLimit, "the body has %d bytes, the limit is %d", size, m.opts.MaxFunctionSize)
		}
		f.code.from = r.off
		r.bytes(size)
		f.code.to = r.off
		if r.err != nil {
			return
		}
		end := r.end
		r.off, r.end = f.code.from, f.code.to
		m.locals(r, f)
		f.body = r.off
		f.marks.from = len(m.scan.marks)
		s := scanner{reader: r, m: m, scanState: &m.scan, f: f, straight: true}
		s.function()
		f.marks.to = len(m.scan.marks)
		if r.err != nil {
			return
		}
		r.end = end
	}
	r.fn = -1
}

func (m *module) locals(r *reader, f *function) {
	t := m.types[f.typ]
	total := uint64(len(t.params))
	words := uint64(typeWords(t.params) + typeWords(t.results))
	f.groups = uint32(r.count(m.opts.MaxLocals, "groups of locals"))
	for range f.groups {
		n, typ := r.u32(), r.byte()
		checkValueType(r, typ)
		total += uint64(n)
		words += uint64(n) * uint64(typeWords([]byte{typ}))
		if total > uint64(m.opts.MaxLocals) {
			r.fail(ErrLimit, "%d locals, the limit is %d", total, m.opts.MaxLocals)
			return
		}
	}
	f.locals, f.words = uint32(total), uint32(words)
}

// typeWords is the size of values in 8-byte words.
func typeWords(types []byte) int {
	n := len(types)
	for _, t := range types {
		if t == 0x7b {
			n++
		}
	}
	return n
}
