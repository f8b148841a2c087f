package meter

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Whatever a module does, it does the same metered: results, traps, memory, globals. The fuzzer writes valid modules from
// its bytes; each ends by itself, for every loop and every function entry counts down a global of its own.

// source is the fuzzer's bytes, read as decisions. It is zero for ever at its end.
type source struct{ bytes []byte }

func (s *source) below(n int) int {
	if len(s.bytes) == 0 {
		return 0
	}
	v := int(s.bytes[0])
	if s.bytes = s.bytes[1:]; n > 256 && len(s.bytes) > 0 {
		v = v<<8 | int(s.bytes[0])
		s.bytes = s.bytes[1:]
	}
	return v % n
}

// The globals of a made module: how many steps are left, and two to compute with.
const (
	steps       = 0
	firstGlobal = 1
	numGlobals  = 3
	maxSteps    = 150
)

// maker writes one function. Locals 0 and 1 are parameters, 2 and 3 are its own; all are i32.
type maker struct {
	*source
	funcs int
	loops []bool // the open blocks, the function's own not counted; true for loops
}

const madeLocals = 4

// makeModule writes a module with a table of its functions, a memory that may grow, and passive segments.
func makeModule(s *source) testModule {
	m := testModule{
		memory: []uint32{1, 3}, tables: [][]uint32{{4, 10}}, globals: []byte{i32, i32, i32}, data: "the data of a passive segment",
	}
	funcs := 1 + s.below(4)
	for i := range funcs {
		k := &maker{source: s, funcs: funcs}
		m.funcs = append(m.funcs, testFunc{
			export: fmt.Sprintf("f%d", i), params: []byte{i32, i32}, results: []byte{i32}, locals: []byte{i32, i32},
			body: cat(k.leaveWhenDone(), k.statements(4), k.value(3)),
		})
		m.elements = append(m.elements, uint32(i))
	}
	return m
}

// leaveWhenDone takes a step, and returns when there is none left.
func (k *maker) leaveWhenDone() []byte {
	return cat(op(opGlobalGet, steps), i32c(1), op(opI32Sub, opGlobalSet, steps), op(opGlobalGet, steps), i32c(0),
		op(0x48, opIf, 0x40), i32c(-7), op(opReturn, opEnd))
}

func (k *maker) statements(depth int) []byte {
	var out []byte
	for range 1 + k.below(4) {
		out = append(out, k.statement(depth)...)
	}
	return out
}

func (k *maker) block(start []byte, loop bool, depth int) []byte {
	k.loops = append(k.loops, loop)
	defer func() { k.loops = k.loops[:len(k.loops)-1] }()
	body := k.statements(depth - 1)
	if loop {
		body = cat(k.leaveWhenDone(), body)
	}
	return cat(start, body)
}

func (k *maker) local() byte { return byte(k.below(madeLocals)) }

func (k *maker) global() byte { return byte(firstGlobal + k.below(numGlobals-firstGlobal)) }

// address is mostly inside the memory.
func (k *maker) address() []byte {
	if k.below(20) == 0 {
		return k.value(1)
	}
	return cat(k.value(1), i32c(0x7fff), op(0x71))
}

func (k *maker) statement(depth int) []byte {
	if depth == 0 {
		return cat(k.value(2), op(opLocalSet, k.local()))
	}
	switch k.below(16) {
	case 0:
		return cat(k.block(op(opBlock, 0x40), false, depth), op(opEnd))
	case 1, 2:
		return cat(k.block(op(opLoop, 0x40), true, depth), op(opEnd))
	case 3:
		return cat(k.value(2), k.block(op(opIf, 0x40), false, depth), op(opEnd))
	case 4:
		return cat(k.value(2), k.block(op(opIf, 0x40), false, depth), k.block(op(opElse), false, depth), op(opEnd))
	case 5, 6:
		if len(k.loops) == 0 {
			break
		}
		return cat(k.value(2), op(opBrIf, byte(k.below(len(k.loops)))))
	case 7:
		if len(k.loops) == 0 {
			break
		}
		n := 1 + k.below(4)
		out := cat(op(opBlock, 0x40), k.value(2), op(opBrTable, byte(n)))
		for range n + 1 {
			out = append(out, byte(k.below(len(k.loops)+1)))
		}
		return append(out, opEnd)
	case 8:
		return cat(k.value(2), op(opGlobalSet, k.global()))
	case 9:
		return cat(k.address(), k.value(2), op(0x36, 0, 0))
	case 10:
		return k.bulkStatement()
	case 11:
		return cat(k.value(2), k.value(1), op(opReturn, 0x1a)) // what stands behind is dead and must still be valid
	case 12:
		if k.below(8) == 0 {
			return op(opUnreachable)
		}
	case 13:
		return cat(k.value(3), op(0x1a))
	}
	return cat(k.value(3), op(opLocalSet, k.local()))
}

func (k *maker) bulkStatement() []byte {
	small := func(n int) []byte { return i32c(int32(k.below(n))) }
	switch k.below(8) {
	case 0:
		return cat(k.address(), k.value(1), small(600), op(opPrefixFC, bulkMemoryFill, 0))
	case 1:
		return cat(k.address(), k.address(), small(600), op(opPrefixFC, bulkMemoryCopy, 0, 0))
	case 2:
		return cat(k.address(), small(40), small(40), op(opPrefixFC, bulkMemoryInit, 0, 0))
	case 3:
		return cat(small(12), op(opRefNull, 0x70), small(12), op(opPrefixFC, bulkTableFill, 0))
	case 4:
		return cat(small(12), small(12), small(12), op(opPrefixFC, bulkTableCopy, 0, 0))
	case 5:
		return cat(small(12), op(opRefFunc, byte(k.below(k.funcs))), op(0x26, 0)) // table.set
	case 6:
		return op(opPrefixFC, 9, 0) // data.drop
	}
	return cat(op(opRefNull, 0x70), small(12), op(opPrefixFC, bulkTableGrow, 0, 0x1a))
}

// value leaves one i32 on the stack.
func (k *maker) value(depth int) []byte {
	if depth == 0 {
		return k.leaf()
	}
	switch k.below(14) {
	case 0, 1, 2:
		binary := []byte{0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x46, 0x48, 0x49, 0x4b}
		return cat(k.value(depth-1), k.value(depth-1), op(binary[k.below(len(binary))]))
	case 3:
		return cat(k.value(depth-1), op(0x45)) // eqz
	case 4:
		return cat(k.address(), op(0x28, 0, 0)) // load
	case 5:
		return cat(k.value(depth-1), k.value(depth-1), k.value(depth-1), op(opSelect))
	case 6, 7:
		return cat(k.value(depth-1), k.value(depth-1), call(uint32(k.below(k.funcs))))
	case 8:
		return cat(k.value(depth-1), k.value(depth-1), k.value(0), i32c(7), op(0x71), op(opCallIndirect, 1, 0))
	case 9:
		k.loops = append(k.loops, false)
		defer func() { k.loops = k.loops[:len(k.loops)-1] }()
		return cat(k.value(depth-1), op(opIf, i32), k.value(depth-1), op(opElse), k.value(depth-1), op(opEnd))
	case 10:
		return op(opMemorySize, 0)
	case 11:
		return cat(i32c(int32(k.below(3))), op(opMemoryGrow, 0))
	case 12:
		return cat(k.value(depth-1), op(opLocalTee, k.local()))
	}
	return k.leaf()
}

func (k *maker) leaf() []byte {
	switch k.below(4) {
	case 0:
		return i32c(int32(k.below(1<<16)) - 100)
	case 1:
		return op(opGlobalGet, k.global())
	}
	return op(opLocalGet, k.local())
}

// outcome is all that can be seen of a module after calls of all its functions.
type outcome struct {
	results []uint64
	errors  []string
	globals []uint64
	memory  []byte
	fuel    int64
}

func observe(t *testing.T, r wazero.Runtime, l *ledger, wasm []byte, funcs int) outcome {
	t.Helper()
	mod, err := r.Instantiate(ctx, wasm)
	if err != nil {
		t.Fatalf("instantiate: %v", err)
	}
	defer mod.Close(ctx)
	var out outcome
	for i := range funcs {
		mod.ExportedGlobal("g0").(api.MutableGlobal).Set(maxSteps)
		got, err := mod.ExportedFunction(fmt.Sprintf("f%d", i)).Call(ctx, uint64(i), 100)
		out.results, out.errors = append(out.results, got...), append(out.errors, firstLine(err))
	}
	for i := range numGlobals {
		out.globals = append(out.globals, mod.ExportedGlobal(fmt.Sprintf("g%d", i)).Get())
	}
	view, _ := mod.Memory().Read(0, mod.Memory().Size())
	out.memory = bytes.Clone(view)
	if l != nil {
		out.fuel = l.used(mod)
	}
	return out
}

// FuzzMetered compares made modules with their metered selves: with one slice that is ample, and with slices of 50 units
// and bulk operations in pieces of 16 bytes, where nearly every check calls the host. The fuel used is the same in both; a
// function that is so small that its callers pay for it is free when the host calls it.
func FuzzMetered(f *testing.F) {
	for seed := range 40 {
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte((i*i + 31*i + 7) * (seed + 1) >> (seed % 5))
		}
		f.Add(b)
	}
	plain := newRuntime(f, &ledger{slice: ample, budget: ample}, wazero.NewRuntimeConfig())
	whole, tiny := &ledger{slice: ample, budget: ample}, &ledger{slice: 50, budget: ample}
	wholeRuntime, tinyRuntime := newRuntime(f, whole, wazero.NewRuntimeConfig()), newRuntime(f, tiny, wazero.NewRuntimeConfig())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1000 {
			t.Skip("large modules are slow and show no more")
		}
		m := makeModule(&source{data})
		wasm := m.bytes()
		if len(wasm) > 8_000 {
			t.Skip("too large")
		}
		want := observe(t, plain, nil, wasm, len(m.funcs))
		a, _, err := Rewrite(wasm, Options{bulkChunk: 16, MaxComplexity: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		*whole, *tiny = ledger{slice: ample, budget: ample}, ledger{slice: 50, budget: ample}
		got := observe(t, wholeRuntime, whole, a, len(m.funcs))
		same(t, "metered", got, want)
		again := observe(t, tinyRuntime, tiny, a, len(m.funcs))
		same(t, "metered in slices of 50", again, want)
		if got.fuel != again.fuel || got.fuel < 0 {
			t.Errorf("%d units of fuel in one slice, %d in slices of 50", got.fuel, again.fuel)
		}
	})
}

func same(t *testing.T, what string, got, want outcome) {
	t.Helper()
	if !slices.Equal(got.results, want.results) || !slices.Equal(got.errors, want.errors) || !slices.Equal(got.globals, want.globals) {
		t.Errorf("%s: %v %q %v, unmetered %v %q %v", what, got.results, got.errors, got.globals, want.results, want.errors, want.globals)
	}
	if !bytes.Equal(got.memory, want.memory) {
		t.Errorf("%s: the memory differs", what)
	}
}

// TestMadeModulesDoSomething keeps the fuzzer honest: its modules loop, call, trap and change memory.
func TestMadeModulesDoSomething(t *testing.T) {
	plain := newRuntime(t, &ledger{slice: ample, budget: ample}, wazero.NewRuntimeConfig())
	l := &ledger{slice: ample, budget: ample}
	metered := newRuntime(t, l, wazero.NewRuntimeConfig())
	var traps, changed, busy, ended int
	const modules = 300
	for seed := range uint64(modules) {
		b := make([]byte, 600)
		for i := range b {
			seed = seed*6364136223846793005 + 1442695040888963407
			b[i] = byte(seed >> 33)
		}
		m := makeModule(&source{b})
		wasm := m.bytes()
		want := observe(t, plain, nil, wasm, len(m.funcs))
		out, _, err := Rewrite(wasm, Options{MaxComplexity: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		*l = ledger{slice: ample, budget: ample}
		got := observe(t, metered, l, out, len(m.funcs))
		same(t, "metered", got, want)
		for _, e := range want.errors {
			if e != "" {
				traps++
			} else {
				ended++
			}
		}
		if bytes.Count(want.memory, []byte{0}) != len(want.memory) {
			changed++
		}
		if got.fuel > 2_000 {
			busy++
		}
	}
	t.Logf("of %d modules %d changed memory, %d used more than 2,000 units; %d calls returned, %d trapped", modules, changed, busy, ended, traps)
	if traps < modules/20 || ended < modules/4 || changed < modules/10 || busy < modules/10 {
		t.Error("the modules do too little")
	}
}
