package meter

import "slices"

// A small assembler for test modules.

const (
	i32 = 0x7f
	i64 = 0x7e
)

type testFunc struct {
	export          string
	params, results []byte
	locals          []byte
	body            []byte // without the final end
}

type testModule struct {
	imports   []string // functions of type () -> () from the module "env"
	funcs     []testFunc
	memory    []uint32 // minimum and perhaps maximum
	tables    [][]uint32
	elements  []uint32 // into table 0 from 0, or a passive segment when there is no table
	globals   []byte   // mutable, zero, exported as "g0" and so on
	data      string   // a passive segment
	startFunc int      // index plus one
	customs   []Custom
}

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func op(b ...byte) []byte { return b }

func i32c(v int32) []byte { return appendI64([]byte{opI32Const}, int64(v)) }

func call(f uint32) []byte { return appendU32([]byte{opCall}, f) }

func loop(body ...[]byte) []byte {
	return cat(op(opLoop, 0x40), cat(body...), op(opEnd))
}

// countDown runs a body as often as local i says, and ends with the local at zero.
func countDown(i byte, body ...[]byte) []byte {
	return cat(op(opBlock, 0x40, opLoop, 0x40, opLocalGet, i, 0x45, opBrIf, 1), cat(body...),
		op(opLocalGet, i), i32c(1), op(0x6b, opLocalSet, i, opBr, 0, opEnd, opEnd))
}

func vec(items ...[]byte) []byte { return append(appendU32(nil, uint32(len(items))), cat(items...)...) }

func sized(b []byte) []byte { return append(appendU32(nil, uint32(len(b))), b...) }

func (m testModule) bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	add := func(id byte, items ...[]byte) {
		if len(items) > 0 {
			out = appendSection(out, id, vec(items...))
		}
	}
	types := [][]byte{{0x60, 0, 0}}
	var imports, funcs, tables, globals, exports, codes [][]byte
	for _, name := range m.imports {
		imports = append(imports, cat(sized([]byte("env")), sized([]byte(name)), op(kindFunc, 0)))
	}
	for i, f := range m.funcs {
		types = append(types, cat(op(0x60), sized(f.params), sized(f.results)))
		funcs = append(funcs, appendU32(nil, uint32(i+1)))
		var locals [][]byte
		for _, l := range f.locals {
			locals = append(locals, op(1, l))
		}
		codes = append(codes, sized(cat(vec(locals...), f.body, op(opEnd))))
		if f.export != "" {
			exports = append(exports, cat(sized([]byte(f.export)), appendU32(op(kindFunc), uint32(len(m.imports)+i))))
		}
	}
	for _, t := range m.tables {
		tables = append(tables, append(op(0x70), limitBytes(t)...))
	}
	for i, g := range m.globals {
		zero := op(opI32Const, 0, opEnd)
		if g == i64 {
			zero[0] = opI64Const
		}
		globals = append(globals, cat(op(g, 1), zero))
		exports = append(exports, cat(sized([]byte{'g', '0' + byte(i)}), op(kindGlobal, byte(i))))
	}
	add(secType, types...)
	add(secImport, imports...)
	add(secFunction, funcs...)
	add(secTable, tables...)
	if m.memory != nil {
		add(secMemory, limitBytes(m.memory))
		exports = append(exports, cat(sized([]byte("memory")), op(kindMemory, 0)))
	}
	add(secGlobal, globals...)
	add(secExport, exports...)
	if m.startFunc > 0 {
		out = appendSection(out, secStart, appendU32(nil, uint32(m.startFunc-1)))
	}
	if m.elements != nil {
		var refs [][]byte
		for _, e := range m.elements {
			refs = append(refs, appendU32(nil, e))
		}
		mode := op(0, opI32Const, 0, opEnd)
		if m.tables == nil {
			mode = op(1, 0)
		}
		add(secElement, cat(mode, vec(refs...)))
	}
	if m.data != "" {
		out = appendSection(out, secDataCount, op(1))
	}
	add(secCode, codes...)
	if m.data != "" {
		add(secData, cat(op(1), sized([]byte(m.data))))
	}
	for _, c := range m.customs {
		out = appendSection(out, secCustom, cat(sized([]byte(c.Name)), c.Data))
	}
	return out
}

func limitBytes(l []uint32) []byte {
	out := op(byte(len(l) - 1))
	for _, v := range l {
		out = appendU32(out, v)
	}
	return out
}
