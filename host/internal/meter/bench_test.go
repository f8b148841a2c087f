package meter

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// guestsEnv names a folder of real guests: for each NAME.wasm, which imports nothing but WASI and exports eshost_inbox
// and handle, an event in NAME.event. Without it only the small built-in guests are measured.
const guestsEnv = "ESHOST_METER_GUESTS"

type guest struct {
	name  string
	wasm  []byte
	event string
}

func guests(b *testing.B) []guest {
	all := []guest{{name: "parse", wasm: parser(), event: strings.Repeat("12345,", 100)}, {name: "calls", wasm: caller(), event: "\x14"}}
	files, _ := filepath.Glob(filepath.Join(os.Getenv(guestsEnv), "*.wasm"))
	for _, file := range files {
		if name := strings.TrimSuffix(file, ".wasm"); os.Getenv(guestsEnv) != "" {
			all = append(all, guest{filepath.Base(name), read(b, file), string(read(b, name+".event"))})
		}
	}
	return all
}

func inbox() testFunc {
	return testFunc{export: "eshost_inbox", params: []byte{i32}, results: []byte{i32}, body: i32c(0)}
}

// parser sums the decimal numbers of a comma-separated list, one byte a turn.
func parser() []byte {
	at := op(opLocalGet, 1, 0x2d, 0, 0)
	return testModule{memory: []uint32{1}, funcs: []testFunc{inbox(), {
		export: "handle", params: []byte{i32}, results: []byte{i32}, locals: []byte{i32, i32, i32},
		body: cat(countDown(0,
			at, i32c(','), op(0x46, opIf, 0x40, opLocalGet, 3, opLocalGet, 2, 0x6a, opLocalSet, 3), i32c(0),
			op(opLocalSet, 2, opElse, opLocalGet, 2), i32c(10), op(0x6c), at, op(0x6a), i32c('0'),
			op(0x6b, opLocalSet, 2, opEnd, opLocalGet, 1), i32c(1), op(0x6a, opLocalSet, 1)),
			i32c(0)),
	}}}.bytes()
}

// caller computes a Fibonacci number the slow way: the worst case, nothing but calls.
func caller() []byte {
	fib := testFunc{params: []byte{i32}, results: []byte{i32}, body: cat(
		op(opLocalGet, 0), i32c(2), op(0x48, opIf, i32, opLocalGet, 0, opElse, opLocalGet, 0), i32c(1), op(0x6b), call(2),
		op(opLocalGet, 0), i32c(2), op(0x6b), call(2), op(0x6a, opEnd))}
	return testModule{memory: []uint32{1}, funcs: []testFunc{inbox(), {
		export: "handle", params: []byte{i32}, results: []byte{i32}, body: cat(i32c(0), op(0x2d, 0, 0), call(2), op(0x1a), i32c(0)),
	}, fib}}.bytes()
}

// handler returns a function that handles one event.
func handler(b *testing.B, g guest, wasm []byte, config wazero.RuntimeConfig) func() {
	r := newRuntime(b, &ledger{slice: 1_000_000, budget: ample}, config)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	mod, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		b.Fatal(err)
	}
	at, err := mod.ExportedFunction("eshost_inbox").Call(ctx, 1<<16)
	if err != nil {
		b.Fatal(err)
	}
	handle, stack := mod.ExportedFunction("handle"), make([]uint64, 1)
	return func() {
		mod.Memory().WriteString(api.DecodeU32(at[0]), g.event)
		stack[0] = uint64(len(g.event))
		if err := handle.CallWithStack(ctx, stack); err != nil || stack[0] != 0 {
			b.Fatalf("handle: %d, %v", stack[0], err)
		}
	}
}

// BenchmarkHandle compares the same handler plain, metered and under wazero's own remedy. The three take turns, so that
// a slow moment of the machine slows all; the ratios are medians over the rounds.
func BenchmarkHandle(b *testing.B) {
	for _, g := range guests(b) {
		b.Run(g.name, func(b *testing.B) {
			metered, _, err := Rewrite(g.wasm, Options{})
			if err != nil {
				b.Fatal(err)
			}
			runs := []func(){
				handler(b, g, g.wasm, config()),
				handler(b, g, metered, config()),
				handler(b, g, g.wasm, config().WithCloseOnContextDone(true)),
			}
			const turns = 20
			var times [3][]float64
			var cost, gain []float64
			for b.Loop() {
				var now [3]float64
				for i, run := range runs {
					begin := time.Now()
					for range turns {
						run()
					}
					now[i] = float64(time.Since(begin)) / turns
					times[i] = append(times[i], now[i])
				}
				cost, gain = append(cost, now[1]/now[0]), append(gain, now[2]/now[1])
			}
			b.ReportMetric(median(times[0]), "plain-ns")
			b.ReportMetric(median(times[1]), "metered-ns")
			b.ReportMetric(median(times[2]), "closeonctx-ns")
			b.ReportMetric(median(cost), "metered/plain")
			b.ReportMetric(median(gain), "closeonctx/metered")
		})
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func BenchmarkRewrite(b *testing.B) {
	for _, g := range guests(b) {
		b.Run(g.name, func(b *testing.B) {
			b.SetBytes(int64(len(g.wasm)))
			for b.Loop() {
				if _, _, err := Rewrite(g.wasm, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBulk shows what a unit of fuel is worth, in bulk operations and in plain code.
func BenchmarkBulk(b *testing.B) {
	for name, m := range runaways() {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			if m.startFunc > 0 {
				b.Skip("runs at instantiation")
			}
			var each []float64
			for b.Loop() {
				l := &ledger{slice: 1_000_000, budget: 50_000_000}
				mod := start(b, l, Options{}, m.bytes())
				begin := time.Now()
				_, _ = mod.ExportedFunction("run").Call(ctx)
				each = append(each, float64(time.Since(begin))/float64(l.granted))
			}
			b.ReportMetric(median(each), "ns/unit")
		})
	}
}
