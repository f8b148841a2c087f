package meter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"eshost/abi"
	"eshost/host/event"
)

// FuzzExamples gives the example modules fuzzed events: metered and unmetered they answer the same, make the same host calls
// and leave the same memory.
func FuzzExamples(f *testing.F) {
	type pair struct{ plain, metered *exampleGuest }
	var pairs []pair
	for _, language := range []string{"assemblyscript", "rust"} {
		wasm := read(f, filepath.Join("../../../plugins/examples/balances", language, "balances.wasm"))
		out, _, err := Rewrite(wasm, Options{bulkChunk: 64})
		if err != nil {
			f.Fatal(err)
		}
		pairs = append(pairs, pair{newExampleGuest(f, wasm), newExampleGuest(f, out)})
	}
	events, err := os.ReadFile("../../../plugins/examples/balances/testdata/events.ndjson")
	if err != nil {
		f.Fatal(err)
	}
	for i, line := range slices.Collect(bytes.Lines(events)) {
		if i%8 == 0 {
			f.Add("Deposited", "account-1", line)
		}
	}
	f.Add("AccountOpened", "account-1", []byte(`{"owner":"Ada","currency":"EUR"}`))
	f.Add("Withdrawn", "a", []byte(`{"amount":-9223372036854775808}`))
	f.Add("Deposited", "a", []byte(`{"amount":1e400,"x":[[[[[{"\u0000":null}]]]]]}`))
	f.Fuzz(func(t *testing.T, typ, stream string, data []byte) {
		if len(typ)+len(stream)+len(data) > 3000 {
			t.Skip("larger than the inbox that is asked for")
		}
		envelope := abi.AppendEnvelope(nil, &event.Event{Position: 7, ID: "e", Type: typ, Stream: stream, Data: data, Metadata: []byte("{}")}, 1)
		for _, p := range pairs {
			want, got := p.plain.handle(t, envelope), p.metered.handle(t, envelope)
			if got != want {
				t.Errorf("metered: %s\nunmetered: %s", got, want)
			}
		}
	})
}

// exampleGuest runs a module of the examples with documents in a map, and writes down every host call.
type exampleGuest struct {
	compiled wazero.CompiledModule
	runtime  wazero.Runtime
	docs     map[string][]byte
	calls    bytes.Buffer
}

func newExampleGuest(f *testing.F, wasm []byte) *exampleGuest {
	f.Helper()
	g := &exampleGuest{runtime: newRuntime(f, &ledger{slice: 1 << 30, budget: ample}, wazero.NewRuntimeConfig())}
	r := g.runtime
	i, l := api.ValueTypeI32, api.ValueTypeI64
	b := r.NewHostModuleBuilder("eshost_v1")
	export := func(name string, params int, results []api.ValueType, call func(m api.Memory, s []uint64)) {
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, s []uint64) {
			g.calls.WriteString(name)
			for _, v := range s[:params] {
				fmt.Fprintf(&g.calls, " %d", uint32(v)) // the upper half may be anything
			}
			call(m.Memory(), s)
		}), slices.Repeat([]api.ValueType{i}, params), results).Export(name)
	}
	bytesAt := func(m api.Memory, p, n uint64) []byte { v, _ := m.Read(uint32(p), uint32(n)); return v }
	export("state_get", 6, []api.ValueType{l}, func(m api.Memory, s []uint64) {
		doc, ok := g.docs[string(bytesAt(m, s[0], s[1]))+"/"+string(bytesAt(m, s[2], s[3]))]
		copied := copy(bytesAt(m, s[4], s[5]), doc)
		if s[0] = uint64(copied); !ok {
			s[0] = ^uint64(0)
		}
	})
	export("state_set", 6, []api.ValueType{i}, func(m api.Memory, s []uint64) {
		g.docs[string(bytesAt(m, s[0], s[1]))+"/"+string(bytesAt(m, s[2], s[3]))] = bytes.Clone(bytesAt(m, s[4], s[5]))
		s[0] = 0
	})
	export("state_delete", 4, []api.ValueType{i}, func(_ api.Memory, s []uint64) { s[0] = 0 })
	export("state_scan", 9, []api.ValueType{l}, func(_ api.Memory, s []uint64) { s[0] = ^uint64(0) - 4 })
	export("emit", 2, []api.ValueType{i}, func(_ api.Memory, s []uint64) { s[0] = 0 })
	export("log", 3, nil, func(m api.Memory, s []uint64) { g.calls.Write(bytesAt(m, s[1], s[2])) })
	export("fail", 2, nil, func(m api.Memory, s []uint64) { g.calls.Write(bytesAt(m, s[0], s[1])) })
	export("config_get", 4, []api.ValueType{l}, func(_ api.Memory, s []uint64) { s[0] = ^uint64(0) })
	export("result_read", 3, []api.ValueType{i}, func(_ api.Memory, s []uint64) { s[0] = 0 })
	if _, err := b.Instantiate(ctx); err != nil {
		f.Fatal(err)
	}
	env := r.NewHostModuleBuilder("env")
	env.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) { panic(errors.New("abort")) }),
		[]api.ValueType{i, i, i, i}, nil).Export("abort")
	if _, err := env.Instantiate(ctx); err != nil {
		f.Fatal(err)
	}
	var err error
	if g.compiled, err = r.CompileModule(ctx, wasm); err != nil {
		f.Fatal(err)
	}
	return g
}

// handle runs one event in a fresh instance and describes all that came of it.
func (g *exampleGuest) handle(t *testing.T, envelope []byte) string {
	t.Helper()
	g.docs = map[string][]byte{"balances/account-1": []byte(`{"owner":"Ada","currency":"EUR","balance":950,"count":3}`)}
	g.calls.Reset()
	mod, err := g.runtime.InstantiateModule(ctx, g.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize", "eshost_init"))
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(ctx)
	at, err := mod.ExportedFunction("eshost_inbox").Call(ctx, 8192)
	if err != nil {
		t.Fatal(err)
	}
	mod.Memory().Write(uint32(at[0]), envelope)
	status, err := mod.ExportedFunction("handle").Call(ctx, uint64(len(envelope)))
	memory, _ := mod.Memory().Read(0, mod.Memory().Size())
	return fmt.Sprintf("%v %s %d bytes %x %s %q", status, firstLine(err), len(memory), crc(memory), g.calls.Bytes(), g.docs)
}

func crc(b []byte) (sum uint64) {
	for ; len(b) >= 8; b = b[8:] {
		sum = (sum ^ binary.LittleEndian.Uint64(b)) * 0x9e3779b97f4a7c15
		sum ^= sum >> 29
	}
	return sum
}
