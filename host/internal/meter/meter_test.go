package meter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

var ctx = context.Background()

func exported(name string, body ...[]byte) testFunc {
	return testFunc{export: name, body: cat(body...)}
}

// runaways never end by themselves. Each must be stopped by the fuel.
func runaways() map[string]testModule {
	fill := cat(i32c(0), i32c(7), i32c(1<<20), op(opPrefixFC, bulkMemoryFill, 0))
	return map[string]testModule{
		"loop":         {funcs: []testFunc{exported("run", loop(op(opBr, 0)))}},
		"nested loops": {funcs: []testFunc{exported("run", loop(loop(op(opBr, 1))))}},
		"br_if loop":   {funcs: []testFunc{exported("run", loop(i32c(1), op(opBrIf, 0)))}},
		"br_table loop": {funcs: []testFunc{exported("run",
			loop(op(opBlock, 0x40, opBlock, 0x40), i32c(1), op(opBrTable, 2, 0, 1, 2, opEnd, opEnd, opBr, 0)))}},
		"loop of calls": {funcs: []testFunc{exported("run", loop(call(1), op(opBr, 0))), {}}},
		"exponential calls": func() testModule {
			var m testModule
			for i := range uint32(40) {
				m.funcs = append(m.funcs, testFunc{body: cat(call(i+1), call(i+1))})
			}
			m.funcs[0].export = "run"
			m.funcs = append(m.funcs, testFunc{body: op(opNop)})
			return m
		}(),
		"memory.fill": {memory: []uint32{16}, globals: []byte{i32}, funcs: []testFunc{exported("run",
			loop(op(opGlobalGet, 0), i32c(1), op(0x6a, opGlobalSet, 0), fill, op(opBr, 0)))}},
		"memory.copy": {memory: []uint32{16}, globals: []byte{i32}, funcs: []testFunc{exported("run", loop(
			op(opGlobalGet, 0), i32c(1), op(0x6a, opGlobalSet, 0),
			i32c(0), i32c(0), i32c(1<<20), op(opPrefixFC, bulkMemoryCopy, 0, 0, opBr, 0)))}},
		"memory.init": {memory: []uint32{1}, data: "abc", funcs: []testFunc{exported("run", loop(
			i32c(0), i32c(0), i32c(3), op(opPrefixFC, bulkMemoryInit, 0, 0, opBr, 0)))}},
		"memory.grow": {memory: []uint32{0}, funcs: []testFunc{exported("run", loop(
			i32c(1), op(opMemoryGrow, 0, 0x1a, opBr, 0)))}},
		"memory.grow by nothing": {memory: []uint32{0}, funcs: []testFunc{exported("run", loop(
			i32c(0), op(opMemoryGrow, 0, 0x1a, opBr, 0)))}},
		"table.grow": {tables: [][]uint32{{0}}, funcs: []testFunc{exported("run", loop(
			op(opRefNull, 0x70), i32c(1), op(opPrefixFC, bulkTableGrow, 0, 0x1a, opBr, 0)))}},
		"table.fill": {tables: [][]uint32{{50_000}}, funcs: []testFunc{exported("run", loop(
			i32c(0), op(opRefNull, 0x70), i32c(50_000), op(opPrefixFC, bulkTableFill, 0, opBr, 0)))}},
		"table.copy": {tables: [][]uint32{{50_000}}, funcs: []testFunc{exported("run", loop(
			i32c(0), i32c(0), i32c(50_000), op(opPrefixFC, bulkTableCopy, 0, 0, opBr, 0)))}},
		"table.init": {tables: [][]uint32{{10}}, elements: []uint32{0}, funcs: []testFunc{exported("run", loop(
			i32c(0), i32c(0), i32c(0), op(opPrefixFC, bulkTableInit, 0, 0, opBr, 0)))}},
		"start function": {startFunc: 1, funcs: []testFunc{exported("run", loop(op(opBr, 0)))}},
	}
}

func TestRunawaysStop(t *testing.T) {
	for name, m := range runaways() {
		t.Run(name, func(t *testing.T) {
			l := &ledger{slice: 100_000, budget: 2_000_000}
			out, _, err := Rewrite(m.bytes(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			mod, err := newRuntime(t, l, config()).Instantiate(ctx, out)
			if err == nil {
				_, err = mod.ExportedFunction("run").Call(ctx)
			}
			if !errors.Is(err, errOutOfFuel) {
				t.Fatalf("got %v, want it out of fuel", err)
			}
			if l.granted < l.budget-l.slice {
				t.Errorf("stopped after %d of %d units", l.granted, l.budget)
			}
			if mod != nil && mod.ExportedGlobal("g0") != nil {
				// One turn touches 1 MiB, 65,536 units: the budget is worth 30 turns.
				if n := mod.ExportedGlobal("g0").Get(); n > 31 {
					t.Errorf("%d turns of 1 MiB ran", n)
				}
			}
		})
	}
}

// recursions never end by themselves and eat the stack.
func recursions() map[string]testModule {
	indirect := cat(i32c(0), op(opCallIndirect, 1, 0))
	fat := testFunc{export: "run"} // thousands of values alive across the call
	for i := range 4000 {
		fat.body = cat(fat.body, op(opMemoryGrow-1, 0), i32c(int32(i)), op(0x6a))
	}
	fat.body = append(fat.body, call(0)...)
	for range 4000 {
		fat.body = append(fat.body, 0x1a)
	}
	return map[string]testModule{
		"direct":      {funcs: []testFunc{exported("run", call(0))}},
		"mutual":      {funcs: []testFunc{exported("run", call(1)), {body: call(2)}, {body: call(0)}}},
		"by a table":  {tables: [][]uint32{{1}}, elements: []uint32{0}, funcs: []testFunc{exported("run", indirect)}},
		"fat frames":  {memory: []uint32{1}, funcs: []testFunc{fat}},
		"in the dark": {funcs: []testFunc{exported("run", op(opBlock, 0x40), i32c(0), op(opBrIf, 0), call(0), op(opEnd))}},
		"by table.set": {tables: [][]uint32{{1}, {1}}, elements: []uint32{0}, funcs: []testFunc{exported("run",
			i32c(0), op(opRefFunc, 0, 0x26, 1), i32c(0), op(opCallIndirect, 1, 1))}},
	}
}

func TestRecursionOverflows(t *testing.T) {
	for name, m := range recursions() {
		t.Run(name, func(t *testing.T) {
			mod := start(t, &ledger{slice: ample, budget: ample}, Options{}, m.bytes())
			if _, err := mod.ExportedFunction("run").Call(ctx); !errors.Is(err, errOverflow) {
				t.Fatalf("got %v, want an overflow", err)
			}
		})
	}
}

// down(n) calls itself n times and leaves in a different way at each level.
func down() testModule {
	exits := func(k int32, leave ...byte) []byte {
		return cat(op(opLocalGet, 0), i32c(3), op(0x71), i32c(k), op(0x46, opIf, 0x40), i32c(1), i32c(10+k), leave, op(opEnd))
	}
	return testModule{funcs: []testFunc{{
		export: "run", params: []byte{i32}, results: []byte{i32, i32},
		body: cat(op(opLocalGet, 0, opIf, 0x40, opLocalGet, 0), i32c(1), op(0x6b), call(0), op(0x1a, 0x1a, opEnd),
			exits(0, opReturn), exits(1, opBr, 1), exits(2, opI32Const, 0, opBrTable, 1, 1, 1), i32c(1), i32c(13)),
	}}}
}

func TestDeepRecursionWithinTheLimit(t *testing.T) {
	mod := start(t, &ledger{slice: ample, budget: ample}, Options{}, down().bytes())
	run := mod.ExportedFunction("run")
	for i := range uint64(50) { // an exit that keeps its frame's budget would add up to an overflow
		got, err := run.Call(ctx, 20_000+i)
		if err != nil || !slices.Equal(got, []uint64{1, 10 + i&3}) {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if _, err := run.Call(ctx, 10_000_000); !errors.Is(err, errOverflow) {
		t.Fatalf("got %v, want an overflow", err)
	}
}

func TestStackLimitIsConfigurable(t *testing.T) {
	mod := start(t, &ledger{slice: ample, budget: ample}, Options{MaxStack: 4096}, down().bytes())
	if _, err := mod.ExportedFunction("run").Call(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := mod.ExportedFunction("run").Call(ctx, 100); !errors.Is(err, errOverflow) {
		t.Fatalf("got %v, want an overflow", err)
	}
}

// counting has a bit of everything: loops with and without calls, a br_table, bulk operations.
func counting() testModule {
	return testModule{
		memory: []uint32{1}, tables: [][]uint32{{2}}, elements: []uint32{1, 1},
		funcs: []testFunc{
			{export: "run", params: []byte{i32}, locals: []byte{i32}, body: cat(
				countDown(0,
					i32c(5), op(opLocalSet, 1), countDown(1, op(opNop)),
					call(1), i32c(1), op(opCallIndirect, 2, 0),
					op(opBlock, 0x40, opBlock, 0x40, opLocalGet, 0), i32c(3), op(0x71, opBrTable, 1, 0, 1, opEnd),
					slices.Repeat(op(opLocalGet, 0, 0x1a), 60), op(opEnd),
					i32c(0), i32c(1), op(opLocalGet, 0, opPrefixFC, bulkMemoryFill, 0)))},
			{body: loop(i32c(0), op(opBrIf, 0))},
		},
	}
}

func TestFuelIsDeterministic(t *testing.T) {
	var first []int64
	for _, slice := range []int64{ample >> 1, 1_000_000, 1000, 77, 1} {
		l := &ledger{slice: slice, budget: ample}
		mod := start(t, l, Options{}, counting().bytes())
		var used []int64
		for n := range uint64(40) {
			before := l.used(mod)
			if _, err := mod.ExportedFunction("run").Call(ctx, n); err != nil {
				t.Fatal(err)
			}
			used = append(used, l.used(mod)-before)
		}
		if first == nil {
			first = used
		}
		if !slices.Equal(used, first) {
			t.Fatalf("with slices of %d: %v, else %v", slice, used, first)
		}
		if slice < 1000 && l.refuels < 40 {
			t.Errorf("%d refuels with slices of %d", l.refuels, slice)
		}
	}
	if first[39] < 39*50 {
		t.Errorf("39 turns cost %d units", first[39])
	}
}

// The cost of a call grows with the work it does.
func TestFuelIsProportional(t *testing.T) {
	l := &ledger{slice: 1 << 40, budget: ample}
	mod := start(t, l, Options{}, testModule{
		funcs: []testFunc{{export: "run", params: []byte{i32}, body: countDown(0, op(opNop))}},
	}.bytes())
	cost := func(n uint64) int64 {
		before := l.used(mod)
		if _, err := mod.ExportedFunction("run").Call(ctx, n); err != nil {
			t.Fatal(err)
		}
		return l.used(mod) - before
	}
	one, two, three := cost(1000), cost(2000), cost(3000)
	if step := two - one; step != three-two || step < 1000*5 || step > 1000*20 {
		t.Errorf("1000 turns of 8 instructions cost %d, then %d", step, three-two)
	}
}

func TestGrowthIsCapped(t *testing.T) {
	grow := func(body ...[]byte) []testFunc {
		return []testFunc{{export: "run", params: []byte{i32}, results: []byte{i32}, body: cat(body...)}}
	}
	memory := grow(op(opLocalGet, 0, opMemoryGrow, 0))
	table := grow(op(opRefNull, 0x70, opLocalGet, 0, opPrefixFC, bulkTableGrow, 0))
	for name, m := range map[string]testModule{
		"memory":                {memory: []uint32{1}, funcs: memory},
		"memory with a maximum": {memory: []uint32{1, 60_000}, funcs: memory},
		"table":                 {tables: [][]uint32{{1}}, funcs: table},
		"table with a maximum":  {tables: [][]uint32{{1, 1 << 30}}, funcs: table},
	} {
		t.Run(name, func(t *testing.T) {
			l := &ledger{slice: 1 << 30, budget: ample}
			mod := start(t, l, Options{MaxMemoryPages: 10, MaxTableElements: 10}, m.bytes())
			for _, step := range []struct{ by, want uint32 }{{5, 1}, {5, 1<<32 - 1}, {1<<32 - 1, 1<<32 - 1}, {4, 6}, {1, 1<<32 - 1}} {
				got, err := mod.ExportedFunction("run").Call(ctx, uint64(step.by))
				if err != nil || uint32(got[0]) != step.want {
					t.Fatalf("growing by %d gives %v, %v; want %d", step.by, got, err, step.want)
				}
			}
			if l.used(mod) > 1_000_000 {
				t.Errorf("failing to grow cost %d units", l.used(mod))
			}
		})
	}
}

// A guest must not reach what the rewriter adds, just beyond its own indices.
func TestAddedIndicesAreOutOfReach(t *testing.T) {
	fill := cat(i32c(0), i32c(0), i32c(0), op(opPrefixFC, bulkMemoryFill, 0))
	for name, body := range map[string][]byte{
		"fuel":    op(opI64Const, 0, opGlobalSet, 0),
		"room":    op(opGlobalGet, 1, 0x1a),
		"check":   call(3),
		"scratch": cat(fill, op(opLocalGet, 0, 0x1a)),
		"type":    cat(i32c(0), op(opCallIndirect, 2, 0)),
	} {
		m := testModule{memory: []uint32{1}, tables: [][]uint32{{1}}, funcs: []testFunc{exported("run", body)}}
		if _, _, err := Rewrite(m.bytes(), Options{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTraceNamesTheRightFunctions(t *testing.T) {
	names := cat(op(namesFuncs), sized(vec(
		cat(op(0), sized([]byte("host_call"))), cat(op(1), sized([]byte("outer"))), cat(op(2), sized([]byte("inner"))))))
	m := testModule{
		imports: []string{"call"},
		funcs:   []testFunc{exported("run", call(2)), {body: op(opUnreachable)}},
		customs: []Custom{{"name", names}},
	}
	out, _, err := Rewrite(m.bytes(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := newRuntime(t, &ledger{slice: 1000, budget: ample}, config())
	_, err = r.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), nil, nil).
		Export("call").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := r.Instantiate(ctx, out)
	if err != nil {
		t.Fatal(err)
	}
	_, err = mod.ExportedFunction("run").Call(ctx)
	want := "wasm error: unreachable\nwasm stack trace:\n\t.inner()\n\t.outer()"
	if fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
