package meter

import "strings"

// customAfter copies the custom sections that follow the section of a rank. Debug sections hold offsets into the old
// code, so they are dropped: a debugger would rather have none than wrong ones.
func (m *module) customAfter(out []byte, rank int) []byte {
	for _, c := range m.customs {
		switch {
		case c.after != rank || strings.HasPrefix(c.name, ".debug_"):
		case c.name == "name":
			if names := m.newNames(c); names != nil {
				out = appendSection(out, secCustom, names)
			}
		default:
			out = appendSection(out, secCustom, m.in[c.all.from:c.all.to])
		}
	}
	return out
}

const (
	namesModule = 0
	namesFuncs  = 1
	namesLocals = 2
)

// newNames rewrites the name section, so that traces name the right functions. The subsections beyond the function and
// local names are dropped: nothing reads them, and their indices have moved. Names never make a module invalid; a
// section that cannot be read is left out.
func (m *module) newNames(c custom) []byte {
	r := &reader{in: m.in, off: c.data.from, end: c.data.to}
	out := appendName(nil, "name")
	for last := -1; r.err == nil && r.left() > 0; {
		id := r.byte()
		sub := reader{in: m.in, off: r.off}
		size := r.u32()
		sub.off = r.off
		r.bytes(size)
		sub.end = r.off
		if r.err != nil || int(id) <= last {
			return nil
		}
		last = int(id)
		var body []byte
		switch id {
		case namesModule:
			body = m.in[sub.off:sub.end]
			sub.name()
		case namesFuncs:
			body = m.functionNames(&sub)
		case namesLocals:
			body = m.localNames(&sub)
		default:
			continue
		}
		if sub.err != nil {
			return nil
		}
		out = appendSection(out, id, body)
	}
	if r.err != nil {
		return nil
	}
	return out
}

func (m *module) functionNames(r *reader) []byte {
	n := r.u32()
	out := appendU32(nil, n+added+1+uint32(len(m.helpers)))
	own := false
	addOwn := func() {
		for i, name := range []string{ImportModule + "." + Refuel, ImportModule + "." + Overflow} {
			out = appendName(appendU32(out, uint32(len(m.importedFuncs)+i)), name)
		}
		own = true
	}
	last := int64(-1)
	for range n {
		index := r.u32()
		name := r.name()
		if r.err != nil || int64(index) <= last || index >= m.numFuncs() {
			r.fail(ErrMalformed, "function names are out of order")
			return nil
		}
		last = int64(index)
		if !own && index >= uint32(len(m.importedFuncs)) {
			addOwn()
		}
		out = appendName(appendU32(out, m.shifted(index)), name)
	}
	if !own {
		addOwn()
	}
	out = appendName(appendU32(out, m.numFuncs()+added), ImportModule+".check")
	for i := range m.helpers {
		out = appendName(appendU32(out, m.numFuncs()+added+1+uint32(i)), ImportModule+".bulk")
	}
	return out
}

func (m *module) localNames(r *reader) []byte {
	n := r.u32()
	out := appendU32(nil, n)
	for range n {
		index := r.u32()
		from := r.off
		for range r.u32() {
			if r.u32(); r.err != nil {
				return nil
			}
			r.name()
		}
		if r.err != nil || index >= m.numFuncs() {
			r.fail(ErrMalformed, "local names of an unknown function")
			return nil
		}
		out = append(appendU32(out, m.shifted(index)), m.in[from:r.off]...)
	}
	return out
}
