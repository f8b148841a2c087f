package meter

import "fmt"

const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
	numSections
)

const (
	kindFunc = iota
	kindTable
	kindMemory
	kindGlobal
)

var (
	sectionNames = [numSections]string{
		"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code",
		"data", "data count",
	}
	// sectionOrder ranks the sections: data count stands before code although its number is higher.
	sectionOrder = [numSections]int{
		secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secGlobal: 6, secExport: 7, secStart: 8,
		secElement: 9, secDataCount: 10, secCode: 11, secData: 12,
	}
	canonicalOrder = [...]byte{
		secType, secImport, secFunction, secTable, secMemory, secGlobal, secExport, secStart, secElement, secDataCount,
		secCode, secData,
	}
)

type span struct{ from, to int }

type funcType struct{ params, results []byte } // value types, views of the input

type limits struct {
	min, max uint32
	hasMax   bool
}

type table struct {
	elem byte
	limits
}

type custom struct {
	name  string
	after int  // the rank of the section it follows
	all   span // name included
	data  span
}

type export struct {
	name  string
	kind  byte
	index uint32
}

// module is what one pass over the input finds. Spans and slices of bytes point into the input.
type module struct {
	in       []byte
	opts     Options
	sections [numSections]span // contents; a section that is absent has to == 0
	customs  []custom

	types           []funcType
	canonical       []uint32 // for each type the first type equal to it
	imports         []Import
	importedFuncs   []uint32 // their types
	importSpan      span     // the entries, without the count
	tables          []table
	memory          *limits
	globals         []string // their types, imported ones included
	importedGlobals int
	importedTables  int
	exports         []export
	start           int64 // -1 when there is none
	funcs           []function
	indexes         []indexRef // function indices outside the code, in order of offset
	taken           []bool     // by defined function: its reference escapes into a table or a value

	segments   []uint32 // sizes of the data segments
	complexity int64
	checks     int // that assemble has written
	scan       scanState
	emptyType  uint32 // () -> (), appended
	helpers    []helper
	bulkType   uint32  // (i32, i32, i32) -> (), appended where there are helpers
	blockTypes []int32 // by type: the block type with the same results
}

// indexRef is a function index in the input that has to be shifted.
type indexRef struct {
	at    span
	index uint32
}

func (m *module) numFuncs() uint32 { return uint32(len(m.importedFuncs) + len(m.funcs)) }

func (m *module) typeOf(fn uint32) uint32 {
	if n := uint32(len(m.importedFuncs)); fn >= n {
		return m.funcs[fn-n].typ
	}
	return m.importedFuncs[fn]
}

func parse(in []byte, o Options) (*module, error) {
	m := &module{in: in, opts: o, start: -1}
	r := &reader{in: in, end: len(in), fn: -1}
	m.header(r)
	rank := 0
	for r.err == nil && r.left() > 0 {
		r.section = ""
		at := r.off
		id := r.byte()
		body := reader{in: in, fn: -1}
		size := r.u32()
		if id >= numSections {
			r.failAt(unknownSection(id), at, "unknown section %d", id)
			break
		}
		r.section, body.section = sectionNames[id], sectionNames[id]
		body.off = r.off
		r.bytes(size)
		body.end = r.off
		if r.err != nil {
			break
		}
		if id == secCustom {
			m.custom(&body, rank)
		} else if sectionOrder[id] <= rank {
			body.failAt(ErrMalformed, at, "section is out of order or appears twice")
		} else {
			rank = sectionOrder[id]
			m.sections[id] = span{body.off, body.end}
			m.section(&body, id)
			if body.err == nil && body.left() > 0 {
				body.fail(ErrMalformed, "%d bytes too many", body.left())
			}
		}
		r.err = body.err
	}
	if r.err == nil {
		m.complete(r)
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

func unknownSection(id byte) error {
	if id == 13 { // tags
		return ErrUnsupported
	}
	return ErrMalformed
}

func (m *module) header(r *reader) {
	switch in := m.in; {
	case len(in) > m.opts.MaxModuleSize:
		r.fail(ErrLimit, "the module has %d bytes, the limit is %d", len(in), m.opts.MaxModuleSize)
	case len(in) < 4 || string(in[:4]) != "\x00asm":
		r.fail(ErrNotWasm, "the first four bytes are not \\0asm")
	case len(in) < 8:
		r.fail(ErrMalformed, "unexpected end in the version")
	case string(in[4:8]) == "\x0d\x00\x01\x00":
		r.fail(ErrComponent, "build a core module instead (for Rust: --target wasm32-unknown-unknown; for Go: "+
			"GOOS=wasip1 with -buildmode=c-shared), or extract it with `wasm-tools component unbundle`")
	case string(in[4:8]) != "\x01\x00\x00\x00":
		r.fail(ErrVersion, "version bytes %x, only 01000000 is supported", in[4:8])
	default:
		r.off = 8
	}
}

func (m *module) section(r *reader, id byte) {
	switch id {
	case secType:
		m.typeSection(r)
	case secImport:
		m.importSection(r)
	case secFunction:
		m.functionSection(r)
	case secTable:
		m.tableSection(r)
	case secMemory:
		m.memorySection(r)
	case secGlobal:
		m.globalSection(r)
	case secExport:
		m.exportSection(r)
	case secStart:
		m.startSection(r)
	case secElement:
		m.elementSection(r)
	case secDataCount:
		r.u32()
	case secCode:
		m.codeSection(r)
	case secData:
		m.dataSection(r)
	}
}

// custom notes a custom section. Those with a name that is not UTF-8 are malformed; what they hold is theirs.
func (m *module) custom(r *reader, rank int) {
	all := span{r.off, r.end}
	name := r.name()
	if len(m.customs) >= m.opts.MaxSegments {
		r.fail(ErrLimit, "more than %d custom sections", m.opts.MaxSegments)
	}
	m.customs = append(m.customs, custom{name: name, after: rank, all: all, data: span{r.off, r.end}})
}

// complete checks what needs the whole module.
func (m *module) complete(r *reader) {
	r.section = sectionNames[secCode]
	if len(m.funcs) > 0 && m.sections[secCode].to == 0 {
		r.fail(ErrMalformed, "%d functions declared and no code section", len(m.funcs))
	}
	n := m.numFuncs()
	r.section = sectionNames[secExport]
	for _, e := range m.exports {
		if e.kind == kindFunc && e.index >= n || e.kind == kindGlobal && e.index >= uint32(len(m.globals)) {
			r.fail(ErrMalformed, "export %q of a function or global %d that does not exist", e.name, e.index)
		}
	}
	if m.start >= int64(n) {
		r.section = sectionNames[secStart]
		r.fail(ErrMalformed, "start function %d, there are %d", m.start, n)
	}
	m.taken = make([]bool, len(m.funcs))
	for _, x := range m.indexes {
		m.take(r, x.at.from, x.index)
	}
	for i := range m.scan.marks {
		if k := &m.scan.marks[i]; k.kind == markRefFunc {
			r.section = sectionNames[secCode]
			m.take(r, int(k.at), k.value)
		}
	}
}

// take records that a function's reference escapes: an indirect call may reach it.
func (m *module) take(r *reader, at int, index uint32) {
	if index >= m.numFuncs() {
		r.failAt(ErrMalformed, at, "reference to function %d, there are %d", index, m.numFuncs())
		return
	}
	if n := uint32(len(m.importedFuncs)); index >= n {
		m.taken[index-n] = true
	}
}

func valueTypeName(t byte) string {
	switch t {
	case 0x7f:
		return "i32"
	case 0x7e:
		return "i64"
	case 0x7d:
		return "f32"
	case 0x7c:
		return "f64"
	case 0x7b:
		return "v128"
	case 0x70:
		return "funcref"
	case 0x6f:
		return "externref"
	}
	return fmt.Sprintf("%#x", t)
}
