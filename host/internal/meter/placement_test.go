package meter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Random programs count the work they do in a global of their own. Whatever way control takes, the fuel charged must
// cover that work, and not many times over.

const turnLimit = 1000

// did adds to the count of units of work done, its own four instructions included.
func did(units int32) []byte { return cat(op(opGlobalGet, 0), i32c(units+4), op(0x6a, opGlobalSet, 0)) }

type generator struct {
	*rand.Rand
	funcs  uint32 // in the module
	self   uint32
	labels []bool // the open blocks, innermost last; true for loops
}

// flip leaves a pseudo-random number below n on the stack; local 0 is the state.
func flip(n int32) []byte {
	return cat(did(9+costSlow), op(opLocalGet, 0), i32c(1103515245), op(0x6c), i32c(12345), op(0x6a, opLocalTee, 0), i32c(16),
		op(0x76), i32c(n), op(0x70))
}

func work(n int32) []byte {
	return cat(did(2*n), slices.Repeat(op(opLocalGet, 0, 0x1a), int(n)))
}

// turn ends the function when the program has run for long enough.
func turn() []byte {
	return cat(did(8), op(opGlobalGet, 1), i32c(1), op(0x6a, opGlobalSet, 1), op(opGlobalGet, 1), i32c(turnLimit),
		op(0x4a, opIf, 0x40, opReturn, opEnd))
}

func (g *generator) sequence(depth int) []byte {
	var out []byte
	for range 1 + g.IntN(4) {
		out = append(out, g.statement(depth)...)
	}
	return out
}

func (g *generator) inside(isLoop bool, depth int) []byte {
	g.labels = append(g.labels, isLoop)
	defer func() { g.labels = g.labels[:len(g.labels)-1] }()
	if isLoop {
		return cat(turn(), g.sequence(depth-1))
	}
	return g.sequence(depth - 1)
}

func (g *generator) label() byte { return byte(g.IntN(len(g.labels) + 1)) }

func (g *generator) statement(depth int) []byte {
	if depth == 0 {
		return work(1 + g.Int32N(50))
	}
	switch g.IntN(11) {
	case 0, 1:
		return cat(op(opBlock, 0x40), g.inside(false, depth), op(opEnd))
	case 2:
		return cat(op(opLoop, 0x40), g.inside(true, depth), op(opEnd))
	case 3:
		return cat(flip(2), op(opIf, 0x40), g.inside(false, depth), op(opEnd))
	case 4:
		return cat(flip(2), op(opIf, 0x40), g.inside(false, depth), op(opElse), g.inside(false, depth), op(opEnd))
	case 5, 6:
		return cat(flip(3), op(opBrIf, g.label()))
	case 7:
		return cat(flip(4), op(opBrTable, 3, g.label(), g.label(), g.label(), g.label()))
	case 8:
		return g.call()
	}
	return work(1 + g.Int32N(80))
}

// call calls a later function, directly or through the table.
func (g *generator) call() []byte {
	if g.self+1 >= g.funcs {
		return work(3)
	}
	f := g.self + 1 + g.Uint32N(g.funcs-g.self-1)
	if g.IntN(2) == 0 {
		return cat(op(opLocalGet, 0), call(f))
	}
	return cat(op(opLocalGet, 0), i32c(int32(f)), op(opCallIndirect, 1, 0))
}

func program(seed uint64) testModule {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), funcs: 6}
	m := testModule{globals: []byte{i32, i32}, tables: [][]uint32{{g.funcs}}}
	for i := range g.funcs {
		g.self = i
		f := testFunc{params: []byte{i32}, body: g.sequence(5)}
		if i >= 3 && g.IntN(3) > 0 {
			f.body = work(1 + g.Int32N(12)) // small enough for its callers to pay
		}
		m.funcs = append(m.funcs, f)
		m.elements = append(m.elements, i)
	}
	m.funcs[0].export = "run"
	m.funcs[0].body = cat(op(opLoop, 0x40, opEnd), m.funcs[0].body) // never absorbed
	return m
}

func TestFuelCoversTheWork(t *testing.T) {
	var charged, done int64
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &ledger{slice: 1 << 40, budget: ample}
			mod := start(t, l, Options{}, program(seed).bytes())
			if _, err := mod.ExportedFunction("run").Call(ctx, seed*977); err != nil {
				t.Fatal(err)
			}
			used, worth := l.used(mod), int64(mod.ExportedGlobal("g0").Get())
			if used < worth {
				t.Errorf("%d units charged for work worth %d", used, worth)
			}
			charged, done = charged+used, done+worth
		})
	}
	t.Logf("%d units charged for work worth %d", charged, done)
	if done < 100_000 || charged > 3*done {
		t.Errorf("%d units charged for work worth %d: too little happened, or too much was charged", charged, done)
	}
}

// The places where a misplaced charge would be jumped over, or lost, one by one.
func TestChargesAreNotJumpedOver(t *testing.T) {
	split := cat(op(opBlock, 0x40), i32c(0), op(opBrIf, 0), work(100), op(opEnd)) // makes the code behind a new charge
	for name, body := range map[string][]byte{
		"the end of an if":          cat(i32c(0), op(opIf, 0x40), split, op(opEnd), work(500)),
		"an else":                   cat(i32c(0), op(opIf, 0x40), split, op(opElse), work(500), op(opEnd)),
		"the end of a block":        cat(op(opBlock, 0x40), i32c(1), op(opBrIf, 0), split, op(opEnd), work(500)),
		"the end of an outer block": cat(op(opBlock, 0x40), i32c(1), op(opBrIf, 0, opBlock, 0x40), split, op(opEnd, opEnd), work(500)),
		"a call in a block in a loop": cat(i32c(20), op(opLocalSet, 0),
			countDown(0, op(opBlock, 0x40), i32c(50), call(1), op(opEnd))),
	} {
		t.Run(name, func(t *testing.T) {
			l := &ledger{slice: 1 << 40, budget: ample}
			callee := testFunc{params: []byte{i32}, body: countDown(0, work(1))}
			mod := start(t, l, Options{}, testModule{globals: []byte{i32}, funcs: []testFunc{
				{export: "run", params: []byte{i32}, body: body}, callee,
			}}.bytes())
			if _, err := mod.ExportedFunction("run").Call(ctx, 0); err != nil {
				t.Fatal(err)
			}
			if used, worth := l.used(mod), int64(mod.ExportedGlobal("g0").Get()); used < worth || worth < 1000 {
				t.Errorf("%d units charged for work worth %d", used, worth)
			}
		})
	}
}
