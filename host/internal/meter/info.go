package meter

import "strings"

// Import is one import of the original module.
type Import struct {
	Module, Name string
	Kind         string // "function", "table", "memory" or "global"
	Type         string // as in "(i32, i32) -> i32" or "mut i64"; empty for tables and memories
}

// Export is one export of the original module.
type Export struct {
	Name string
	Kind string // as for Import
	Type string // of functions and globals
}

// Limits are the sizes of a memory, in pages of 64 KiB, or of a table, in elements. Max is what holds after rewriting.
type Limits struct {
	Min, Max uint32
}

// Custom is one custom section of the original module. Data is a part of the original bytes, not a copy.
type Custom struct {
	Name string
	Data []byte
}

// Producer is one entry of the producers section: what made the module.
type Producer struct {
	Field   string // "language", "processed-by" or "sdk"
	Name    string
	Version string
}

// Info is what one pass over the module has found out, so that nobody needs to parse it again.
type Info struct {
	Imports   []Import
	Exports   []Export
	Memory    *Limits // nil when the module has none
	Tables    []Limits
	Customs   []Custom
	Producers []Producer

	Functions    int // defined by the module
	Recursive    int // of these, the ones that can call themselves, directly or not, and so count against MaxStack
	Complexity   int // see Options.MaxTotalComplexity
	Checks       int // places in the code where the fuel, the stack or both are checked
	OriginalSize int // bytes
	MeteredSize  int // bytes
}

// Custom returns the content of the first custom section of that name, such as "eshost.manifest".
func (i Info) Custom(name string) ([]byte, bool) {
	for _, c := range i.Customs {
		if c.Name == name {
			return c.Data, true
		}
	}
	return nil, false
}

// Export returns the export of that name.
func (i Info) Export(name string) (Export, bool) {
	for _, e := range i.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

func (m *module) info(g *graph, size int) Info {
	info := Info{
		Imports: m.imports, Functions: len(m.funcs), Complexity: int(m.complexity), Checks: m.checks,
		OriginalSize: len(m.in), MeteredSize: size,
	}
	for _, e := range m.exports {
		info.Exports = append(info.Exports, m.export(e))
	}
	if m.memory != nil {
		info.Memory = &Limits{m.memory.min, m.memory.clamp(m.opts.MaxMemoryPages).max}
	}
	for _, t := range m.tables {
		info.Tables = append(info.Tables, Limits{t.min, t.clamp(m.opts.MaxTableElements).max})
	}
	for _, c := range m.customs {
		info.Customs = append(info.Customs, Custom{c.name, m.in[c.data.from:c.data.to:c.data.to]})
		if c.name == "producers" {
			info.Producers = m.producers(c)
		}
	}
	for _, cyclic := range g.cyclic {
		if cyclic {
			info.Recursive++
		}
	}
	return info
}

func (m *module) export(e export) Export {
	x := Export{Name: e.name}
	switch e.kind {
	case kindFunc:
		x.Kind, x.Type = "function", m.signature(m.typeOf(e.index))
	case kindTable:
		x.Kind = "table"
	case kindMemory:
		x.Kind = "memory"
	case kindGlobal:
		x.Kind, x.Type = "global", m.globals[e.index]
	}
	return x
}

// producers reads the producers section as far as it is well formed; it is only ever shown to people.
func (m *module) producers(c custom) []Producer {
	r := &reader{in: m.in, off: c.data.from, end: c.data.to}
	var out []Producer
	for range r.count(16, "fields") {
		field := strings.Clone(r.name())
		for range r.count(256, "values") {
			p := Producer{Field: field, Name: r.name(), Version: r.name()}
			if r.err != nil {
				return out
			}
			out = append(out, p)
		}
	}
	return out
}
