package meter

// assemble writes the new module: the original's sections in order, those that had to change rewritten, those that were
// missing added, custom sections where they were.
func (m *module) assemble() []byte {
	e := &emitter{m: m, fuel: uint32(len(m.globals)), room: uint32(len(m.globals)) + 1, slow: m.numFuncs() + added}
	e.helpers = m.findHelpers(e.slow + 1)
	out := make([]byte, 0, len(m.in)+len(m.in)/2)
	out = append(out, m.in[:8]...)
	out = m.customAfter(out, 0)
	for _, id := range canonicalOrder {
		if id == secCode {
			out = e.codeSection(out)
		} else if body := m.rewrite(e, id); body != nil {
			out = appendSection(out, id, body)
		}
		out = m.customAfter(out, sectionOrder[id])
	}
	m.checks = e.checks
	return out
}

func appendSection(out []byte, id byte, body []byte) []byte {
	return append(appendU32(append(out, id), uint32(len(body))), body...)
}

// rewrite returns the new contents of a section, nil when there is none.
func (m *module) rewrite(e *emitter, id byte) []byte {
	s := m.sections[id]
	switch id {
	case secType:
		return m.newTypes()
	case secImport:
		return m.newImports()
	case secFunction:
		return m.newFunctions()
	case secTable:
		if s.to > 0 {
			return m.newTables()
		}
	case secMemory:
		if s.to > 0 {
			return m.newMemory()
		}
	case secGlobal:
		return m.newGlobals()
	case secExport:
		return m.newExports(e)
	case secStart:
		if m.start >= 0 {
			return appendU32(nil, m.shifted(uint32(m.start)))
		}
	default:
		if s.to > 0 {
			return m.reindexed(nil, s)
		}
	}
	return nil
}

// newTypes appends () -> () and, for functions with an epilogue and several results, the type of a block that makes
// them.
func (m *module) newTypes() []byte {
	count := len(m.types)
	body := []byte{0x60, 0, 0}
	m.emptyType = uint32(count)
	count++
	m.blockTypes = make([]int32, len(m.types))
	made := make([]bool, len(m.types))
	for i := range m.funcs {
		f := &m.funcs[i]
		if f.weight == 0 || made[f.typ] {
			continue
		}
		made[f.typ] = true
		switch results := m.types[f.typ].results; len(results) {
		case 0:
			m.blockTypes[f.typ] = -0x40
		case 1:
			m.blockTypes[f.typ] = int32(results[0]) - 0x80
		default:
			m.blockTypes[f.typ] = int32(count)
			count++
			body = append(body, 0x60, 0)
			body = append(appendU32(body, uint32(len(results))), results...)
		}
	}
	if len(m.helpers) > 0 {
		m.bulkType = uint32(count)
		count++
		body = append(body, 0x60, 3, 0x7f, 0x7f, 0x7f, 0)
	}
	return m.extend(secType, count, body)
}

// extend returns a section with a new count, its old entries and then the additional ones.
func (m *module) extend(id byte, count int, additional []byte) []byte {
	s := m.sections[id]
	out := appendU32(make([]byte, 0, s.to-s.from+len(additional)+8), uint32(count))
	if s.to > 0 {
		r := reader{in: m.in, off: s.from, end: s.to}
		r.u32()
		out = m.reindexed(out, span{r.off, s.to})
	}
	return append(out, additional...)
}

// reindexed copies a part of the input, shifting the function indices in it.
func (m *module) reindexed(out []byte, s span) []byte {
	at := s.from
	for _, x := range m.indexes {
		if x.at.from >= s.from && x.at.to <= s.to {
			out = append(out, m.in[at:x.at.from]...)
			out = appendU32(out, m.shifted(x.index))
			at = x.at.to
		}
	}
	return append(out, m.in[at:s.to]...)
}

func (m *module) newImports() []byte {
	out := m.extend(secImport, len(m.imports)+added, nil)
	for _, name := range []string{Refuel, Overflow} {
		out = appendName(appendName(out, ImportModule), name)
		out = appendU32(append(out, kindFunc), m.emptyType)
	}
	return out
}

func (m *module) newFunctions() []byte {
	more := appendU32(nil, m.emptyType)
	for range m.helpers {
		more = appendU32(more, m.bulkType)
	}
	return m.extend(secFunction, len(m.funcs)+1+len(m.helpers), more)
}

func appendLimits(out []byte, l limits) []byte {
	return appendU32(appendU32(append(out, 1), l.min), l.max)
}

func (m *module) newTables() []byte {
	own := m.tables[m.importedTables:]
	out := appendU32(nil, uint32(len(own)))
	for _, t := range own {
		out = appendLimits(append(out, t.elem), t.clamp(m.opts.MaxTableElements))
	}
	return out
}

func (m *module) newMemory() []byte {
	if m.memory == nil {
		return []byte{0}
	}
	return appendLimits([]byte{1}, m.memory.clamp(m.opts.MaxMemoryPages))
}

func (m *module) newGlobals() []byte {
	var more []byte
	for _, value := range []int64{0, m.opts.MaxStack} { // the fuel, the stack budget
		more = append(appendI64(append(more, 0x7e, 1, opI64Const), value), opEnd)
	}
	return m.extend(secGlobal, len(m.globals)-m.importedGlobals+2, more)
}

func (m *module) newExports(e *emitter) []byte {
	out := appendU32(nil, uint32(len(m.exports)+1))
	for _, x := range m.exports {
		index := x.index
		if x.kind == kindFunc {
			index = m.shifted(index)
		}
		out = appendU32(append(appendName(out, x.name), x.kind), index)
	}
	return appendU32(append(appendName(out, FuelGlobal), kindGlobal), e.fuel)
}

// codeSection writes each body behind its size; the size of the whole is put in front at the end, padded to five bytes.
func (e *emitter) codeSection(out []byte) []byte {
	out = append(out, secCode)
	size := len(out)
	out = append(out, 0, 0, 0, 0, 0)
	out = appendU32(out, uint32(len(e.m.funcs)+1+len(e.m.helpers)))
	for i := range e.m.funcs {
		e.out = e.out[:0]
		e.function(&e.m.funcs[i])
		out = append(appendU32(out, uint32(len(e.out))), e.out...)
	}
	slow := e.slowBody()
	out = append(appendU32(out, uint32(len(slow))), slow...)
	for _, h := range e.m.helpers {
		body := e.helperBody(h)
		out = append(appendU32(out, uint32(len(body))), body...)
	}
	putPadded(out[size:size+5], uint32(len(out)-size-5))
	return out
}

func putPadded(b []byte, v uint32) {
	for i := range b {
		b[i] = byte(v)&0x7f | 0x80
		v >>= 7
	}
	b[len(b)-1] &= 0x7f
}
