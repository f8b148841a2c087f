package meter

import (
	"context"
	"errors"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

var (
	errOutOfFuel = errors.New("out of fuel")
	errOverflow  = errors.New("stack overflow")
)

// ledger is the host's side of the fuel: it grants slices until the budget is gone, and knows what was used.
type ledger struct {
	slice, budget, granted int64
	refuels                int
}

const ample = int64(1) << 60

func (l *ledger) refuel(_ context.Context, mod api.Module, _ []uint64) {
	l.refuels++
	fuel := mod.ExportedGlobal(FuelGlobal).(api.MutableGlobal)
	left := int64(fuel.Get())
	if left >= 0 {
		return
	}
	grant := (-left + l.slice - 1) / l.slice * l.slice // as many slices as it takes
	if grant > l.budget-l.granted {
		panic(errOutOfFuel)
	}
	l.granted += grant
	fuel.Set(uint64(left + grant))
}

// used is exact between calls: what was granted less what is left.
func (l *ledger) used(mod api.Module) int64 {
	return l.granted - int64(mod.ExportedGlobal(FuelGlobal).Get())
}

func overflow(context.Context, api.Module, []uint64) { panic(errOverflow) }

// newRuntime returns a runtime that provides the host's side of metered modules.
func newRuntime(t testing.TB, l *ledger, config wazero.RuntimeConfig) wazero.Runtime {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(func() { _ = r.Close(ctx) })
	_, err := r.NewHostModuleBuilder(ImportModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(l.refuel), nil, nil).Export(Refuel).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(overflow), nil, nil).Export(Overflow).
		Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start rewrites and instantiates a module.
func start(t testing.TB, l *ledger, o Options, wasm []byte) api.Module {
	t.Helper()
	out, _, err := Rewrite(wasm, o)
	if err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	mod, err := newRuntime(t, l, wazero.NewRuntimeConfig()).Instantiate(context.Background(), out)
	if err != nil {
		t.Fatalf("instantiate the rewritten module: %v", err)
	}
	return mod
}

func config() wazero.RuntimeConfig { return wazero.NewRuntimeConfig() }
