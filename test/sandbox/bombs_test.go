package sandbox

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// built is a module made by a test: a plugin that would do, and what makes it a bad one.
type built struct {
	types     [][]byte // beyond () -> () and (i32) -> i32
	typeCount int      // of the last of types, repeated
	functions []function
	memory    []uint64 // minimum and perhaps maximum, in pages; nil means one page
	tables    [][]uint64
	globals   int
	exports   []string // of the function handle, beside the usual ones
	fuel      string   // the name a global is exported under
	imports   []imported
	segments  int
	custom    int    // bytes
	handle    []byte // instead of answering 0
}

type function struct {
	typ    uint64
	locals uint64 // of i64
	body   []byte // without the final end
	times  int    // 0 means once
}

type imported struct {
	module, name string
	typ          uint64
}

const end = 0x0b

func leb(v uint64) []byte { return binary.AppendUvarint(nil, v) }

func sized(b []byte) []byte { return append(leb(uint64(len(b))), b...) }

func name(s string) []byte { return sized([]byte(s)) }

func vector(n int, items []byte) []byte { return append(leb(uint64(n)), items...) }

func limits(l []uint64) []byte {
	out := []byte{byte(len(l) - 1)}
	for _, v := range l {
		out = append(out, leb(v)...)
	}
	return out
}

func section(id byte, body []byte) []byte { return append([]byte{id}, sized(body)...) }

// bytes is the module. The functions marker, eshost_inbox and handle come first; they answer 1024 and 0.
func (b built) bytes() []byte {
	types := slices.Concat([]byte{0x60, 0, 0}, []byte{0x60, 1, 0x7f, 1, 0x7f})
	typeCount := 2
	for i, t := range b.types {
		times := 1
		if i == len(b.types)-1 && b.typeCount > 0 {
			times = b.typeCount
		}
		types = append(types, bytes.Repeat(t, times)...)
		typeCount += times
	}
	handle := b.handle
	if handle == nil {
		handle = []byte{0x41, 0}
	}
	functions := append([]function{{}, {typ: 1, body: []byte{0x41, 0x80, 0x08}}, {typ: 1, body: handle}}, b.functions...)
	var declared, code []byte
	count := 0
	for _, f := range functions {
		times := max(f.times, 1)
		count += times
		declared = append(declared, bytes.Repeat(leb(f.typ), times)...)
		locals := []byte{0}
		if f.locals > 0 {
			locals = slices.Concat([]byte{1}, leb(f.locals), []byte{0x7e})
		}
		code = append(code, bytes.Repeat(sized(slices.Concat(locals, f.body, []byte{end})), times)...)
	}
	first := uint64(len(b.imports))
	var imports, exports, tables []byte
	for _, i := range b.imports {
		imports = slices.Concat(imports, name(i.module), name(i.name), []byte{0}, leb(i.typ))
	}
	exported := []string{"eshost_abi_v1", "eshost_inbox", "handle"}
	for i, n := range append(exported, b.exports...) {
		exports = slices.Concat(exports, name(n), []byte{0}, leb(first+uint64(min(i, 2))))
	}
	exports = slices.Concat(exports, name("memory"), []byte{2, 0})
	exportCount := 4 + len(b.exports)
	if b.fuel != "" {
		exports = slices.Concat(exports, name(b.fuel), []byte{3, 0})
		exportCount++
	}
	for _, t := range b.tables {
		tables = slices.Concat(tables, []byte{0x70}, limits(t))
	}
	memory := b.memory
	if memory == nil {
		memory = []uint64{1}
	}
	out := slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), section(1, vector(typeCount, types)))
	if len(b.imports) > 0 {
		out = append(out, section(2, vector(len(b.imports), imports))...)
	}
	out = append(out, section(3, vector(count, declared))...)
	if len(b.tables) > 0 {
		out = append(out, section(4, vector(len(b.tables), tables))...)
	}
	out = append(out, section(5, vector(1, limits(memory)))...)
	if b.globals > 0 {
		out = append(out, section(6, vector(b.globals, bytes.Repeat([]byte{0x7e, 1, 0x42, 0, end}, b.globals)))...)
	}
	out = append(out, section(7, vector(exportCount, exports))...)
	out = append(out, section(10, vector(count, code))...)
	if b.segments > 0 {
		out = append(out, section(11, vector(b.segments, bytes.Repeat([]byte{1, 1, 'x'}, b.segments)))...)
	}
	if b.custom > 0 {
		out = append(out, section(0, slices.Concat(name("padding"), make([]byte, b.custom)))...)
	}
	return out
}

// nested is a body of loops in loops, each with a branch and a use of every local.
func nested(depth, locals int) []byte {
	var out []byte
	for range depth {
		out = append(out, 0x03, 0x40)
		for i := range locals {
			out = slices.Concat(out, []byte{0x20}, leb(uint64(i)), []byte{0x42, 1, 0x7c, 0x21}, leb(uint64(i)))
		}
	}
	for range depth {
		out = append(out, 0x41, 0, 0x0d, 0, end)
	}
	return out
}

// branchTable is a br_table with that many labels, all of them to the end of the function.
func branchTable(labels int) []byte {
	return slices.Concat([]byte{0x41, 0, 0x0e}, leb(uint64(labels)), make([]byte, labels+1))
}

// stores is straight code with memory accesses and calls, which are larger compiled than they are here.
func stores(n int) []byte {
	return bytes.Repeat([]byte{0x41, 0, 0x41, 0, 0x28, 2, 0, 0x36, 2, 0, 0x10, 0}, n)
}
