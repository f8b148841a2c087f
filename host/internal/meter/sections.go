package meter

import "strings"

func (m *module) typeSection(r *reader) {
	n := r.count(m.opts.MaxTypes, "types")
	first := make(map[string]uint32)
	values := 0
	for i := range n {
		if form := r.byte(); r.err == nil && form != 0x60 {
			r.failAt(ErrUnsupported, r.off-1, "type %d has the form %#x, not a function type", i, form)
		}
		t := funcType{params: m.valueTypes(r, "parameters"), results: m.valueTypes(r, "results")}
		if r.err != nil {
			return
		}
		if values += len(t.params) + len(t.results); values > m.opts.MaxTypeValues {
			r.fail(ErrLimit, "the types have %d parameters and results together, the limit is %d", values, m.opts.MaxTypeValues)
			return
		}
		key := string(t.params) + "\x00" + string(t.results)
		if _, ok := first[key]; !ok {
			first[key] = uint32(i)
		}
		m.types = append(m.types, t)
		m.canonical = append(m.canonical, first[key])
	}
}

func (m *module) valueTypes(r *reader, what string) []byte {
	types := r.bytes(uint32(r.count(m.opts.MaxParams, what)))
	for _, t := range types {
		checkValueType(r, t)
	}
	return types
}

func checkValueType(r *reader, t byte) {
	switch t {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
	case 0x63, 0x64:
		r.fail(ErrUnsupported, "value type %#x belongs to the typed function references proposal", t)
	case 0x69, 0x68:
		r.fail(ErrUnsupported, "value type %#x belongs to the exception handling proposal", t)
	case 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, 0x72, 0x73, 0x74:
		r.fail(ErrUnsupported, "value type %#x belongs to the garbage collection proposal", t)
	default:
		r.fail(ErrMalformed, "invalid value type %#x", t)
	}
}

func checkRefType(r *reader, t byte) {
	if checkValueType(r, t); r.err == nil && t != 0x70 && t != 0x6f {
		r.fail(ErrMalformed, "%s is no reference type", valueTypeName(t))
	}
}

func (m *module) importSection(r *reader) {
	n := r.count(m.opts.MaxImports, "imports")
	m.importSpan.from = r.off
	for range n {
		m.importEntry(r)
	}
	m.importSpan.to = r.off
}

func (m *module) importEntry(r *reader) {
	at := r.off
	imp := Import{Module: r.name(), Name: r.name()}
	if imp.Module == ImportModule || strings.HasPrefix(imp.Name, reservedPrefix) {
		r.failAt(ErrReserved, at, "the import %q.%q belongs to the host", imp.Module, imp.Name)
	}
	kind := r.byte()
	switch kind {
	case kindFunc:
		t := m.typeIndex(r)
		m.importedFuncs = append(m.importedFuncs, t)
		imp.Kind, imp.Type = "function", m.signature(t)
	case kindTable:
		imp.Kind = "table"
		m.tables = append(m.tables, m.table(r))
		m.importedTables++
	case kindMemory:
		imp.Kind = "memory"
		m.memory = m.memoryType(r)
	case kindGlobal:
		imp.Kind, imp.Type = "global", globalType(r)
		m.globals = append(m.globals, imp.Type)
		m.importedGlobals++
	case 4:
		r.fail(ErrUnsupported, "an imported tag belongs to the exception handling proposal")
	default:
		r.fail(ErrMalformed, "invalid kind of import %#x", kind)
	}
	if kind != kindFunc && !m.opts.allowImports {
		r.failAt(ErrImport, at, "the module imports the %s %q.%q; a guest owns its memory, tables and globals "+
			"(for AssemblyScript: build without --importMemory and --importTable)", imp.Kind, imp.Module, imp.Name)
	}
	m.imports = append(m.imports, imp)
}

func (m *module) typeIndex(r *reader) uint32 {
	at := r.off
	t := r.u32()
	if r.err == nil && int(t) >= len(m.types) {
		r.failAt(ErrMalformed, at, "type %d, there are %d", t, len(m.types))
	}
	if r.err != nil {
		return 0
	}
	return t
}

func globalType(r *reader) string {
	t := r.byte()
	checkValueType(r, t)
	switch mut := r.byte(); mut {
	case 0:
		return valueTypeName(t)
	case 1:
		return "mut " + valueTypeName(t)
	default:
		r.fail(ErrMalformed, "invalid mutability %#x", mut)
		return ""
	}
}

func (m *module) functionSection(r *reader) {
	n := r.count(m.opts.MaxFunctions, "functions")
	m.funcs = make([]function, 0, n)
	for range n {
		m.funcs = append(m.funcs, function{typ: m.typeIndex(r)})
	}
}

func (m *module) limits(r *reader, what string) limits {
	var l limits
	at := r.off
	switch flags := r.byte(); flags {
	case 0:
		l.min = r.u32()
	case 1:
		l.hasMax = true
		l.min, l.max = r.u32(), r.u32()
	case 2, 3:
		r.failAt(ErrUnsupported, at, "a shared %s belongs to the threads proposal", what)
	case 4, 5, 6, 7:
		r.failAt(ErrUnsupported, at, "a 64-bit %s belongs to the memory64 proposal", what)
	default:
		r.failAt(ErrMalformed, at, "invalid limits of a %s: %#x", what, flags)
	}
	if l.hasMax && l.max < l.min {
		r.failAt(ErrMalformed, at, "the %s has a maximum of %d below its minimum of %d", what, l.max, l.min)
	}
	return l
}

// clamp lowers the maximum to the cap, or sets it.
func (l limits) clamp(limit uint32) limits {
	if !l.hasMax || l.max > limit {
		l.hasMax, l.max = true, limit
	}
	return l
}

func (m *module) table(r *reader) table {
	at := r.off
	t := table{elem: r.byte()}
	if t.elem == 0x40 {
		r.failAt(ErrUnsupported, at, "a table with an initializer belongs to the typed function references proposal")
	}
	checkRefType(r, t.elem)
	t.limits = m.limits(r, "table")
	total := uint64(t.min)
	for _, other := range m.tables {
		total += uint64(other.min)
	}
	if total > uint64(m.opts.MaxTableElements) {
		r.failAt(ErrLimit, at, "the tables start with %d elements, the limit is %d", total, m.opts.MaxTableElements)
	}
	return t
}

func (m *module) tableSection(r *reader) {
	for range r.count(m.opts.MaxTables, "tables") {
		m.tables = append(m.tables, m.table(r))
	}
}

func (m *module) memoryType(r *reader) *limits {
	at := r.off
	l := m.limits(r, "memory")
	if m.memory != nil {
		r.failAt(ErrUnsupported, at, "more than one memory belongs to the multi-memory proposal")
	}
	const most = 1 << 16
	if l.min > most || l.max > most {
		r.failAt(ErrMalformed, at, "a memory of more than %d pages", most)
	}
	if l.min > m.opts.MaxMemoryPages {
		r.failAt(ErrLimit, at, "the memory starts with %d pages of 64 KiB, the limit is %d", l.min, m.opts.MaxMemoryPages)
	}
	return &l
}

func (m *module) memorySection(r *reader) {
	for range r.count(m.opts.MaxSegments, "memories") {
		m.memory = m.memoryType(r)
	}
}

func (m *module) globalSection(r *reader) {
	for range r.count(m.opts.MaxGlobals, "globals") {
		typ := globalType(r)
		m.constExpr(r)
		m.globals = append(m.globals, typ)
	}
}

// constExpr skips a constant expression and notes the function it refers to, if any.
func (m *module) constExpr(r *reader) {
	for r.err == nil {
		at := r.off
		switch op := r.byte(); op {
		case opEnd:
			return
		case opI32Const:
			r.leb(32, true)
		case opI64Const:
			r.leb(64, true)
		case opF32Const:
			r.skip(4)
		case opF64Const:
			r.skip(8)
		case opGlobalGet:
			if r.u32() >= uint32(len(m.globals)) {
				r.failAt(ErrMalformed, at, "a constant refers to a later global")
			}
		case opRefNull:
			checkRefType(r, r.byte())
		case opRefFunc:
			m.functionIndex(r)
		case opPrefixFD:
			if sub := r.byte(); sub != vecConst {
				r.failAt(ErrMalformed, at, "vector instruction %#x in a constant expression", sub)
			}
			r.skip(16)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
			r.failAt(ErrUnsupported, at, "opcode %#x in a constant belongs to the extended constants proposal", op)
		default:
			r.failAt(ErrMalformed, at, "opcode %#x in a constant expression", op)
		}
	}
}

func (m *module) functionIndex(r *reader) {
	at := r.off
	m.indexes = append(m.indexes, indexRef{index: r.u32(), at: span{at, r.off}})
}

func (m *module) exportSection(r *reader) {
	for range r.count(m.opts.MaxExports, "exports") {
		at := r.off
		e := export{name: r.name(), kind: r.byte(), index: r.u32()}
		if strings.HasPrefix(e.name, reservedPrefix) {
			r.failAt(ErrReserved, at, "the export %q belongs to the host", e.name)
		}
		if e.kind > kindGlobal {
			r.failAt(ErrMalformed, at, "invalid kind of export %#x", e.kind)
		}
		m.exports = append(m.exports, e)
	}
}

func (m *module) startSection(r *reader) { m.start = int64(r.u32()) }

// elementSection reads the eight forms of element segments: bit 0 passive or declarative, bit 1 an explicit table (or
// declarative), bit 2 expressions in place of function indices.
func (m *module) elementSection(r *reader) {
	for range r.count(m.opts.MaxSegments, "element segments") {
		at := r.off
		flags := r.u32()
		if flags > 7 {
			r.failAt(ErrMalformed, at, "invalid element segment flags %#x", flags)
			return
		}
		if flags&1 == 0 {
			if flags&2 != 0 {
				r.u32()
			}
			m.constExpr(r)
		}
		m.elementType(r, flags)
		for range r.count(m.opts.MaxElements-len(m.indexes), "elements") {
			if flags&4 != 0 {
				m.constExpr(r)
			} else {
				m.functionIndex(r)
			}
		}
	}
}

// elementType reads the type of a segment's elements, which the oldest forms leave out.
func (m *module) elementType(r *reader, flags uint32) {
	switch {
	case flags&3 == 0:
	case flags&4 != 0:
		checkRefType(r, r.byte())
	default:
		if kind := r.byte(); kind != 0 {
			r.fail(ErrMalformed, "invalid element kind %#x", kind)
		}
	}
}

func (m *module) dataSection(r *reader) {
	for range r.count(m.opts.MaxSegments, "data segments") {
		at := r.off
		switch flags := r.u32(); flags {
		case 0:
			m.constExpr(r)
		case 1:
		case 2:
			r.u32()
			m.constExpr(r)
		default:
			r.failAt(ErrMalformed, at, "invalid data segment flags %#x", flags)
		}
		size := r.u32()
		r.bytes(size)
		m.segments = append(m.segments, size)
	}
}

func (m *module) signature(t uint32) string {
	if int(t) >= len(m.types) {
		return ""
	}
	return signature(m.types[t])
}

func signature(t funcType) string {
	s := "(" + typeList(t.params) + ")"
	switch len(t.results) {
	case 0:
		return s
	case 1:
		return s + " -> " + valueTypeName(t.results[0])
	}
	return s + " -> (" + typeList(t.results) + ")"
}

func typeList(types []byte) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = valueTypeName(t)
	}
	return strings.Join(names, ", ")
}
