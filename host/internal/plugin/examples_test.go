package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/internal/plugin"
)

const balances = "../../../plugins/examples/balances"

// example reads an example's module. Those too large to commit are there once they have been built.
func example(t testing.TB, language string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(balances, language, "balances.wasm"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("not built yet: make examples")
	}
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// lines reads a file of JSON lines.
func lines[T any](t testing.TB, path string) []T {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for line := range bytes.Lines(text) {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, one)
	}
	return all
}

// TestExamples runs the example in every language through the sandbox as it is in production.
func TestExamples(t *testing.T) {
	t.Parallel()
	type eventLine struct {
		Stream, Type string
		Data         json.RawMessage
	}
	type documentLine struct {
		Key      string
		Document json.RawMessage
	}
	e := newEngine(t, plugin.EngineOptions{})
	for _, language := range []string{"assemblyscript", "rust", "go"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			m, err := e.Load(t.Context(), example(t, language), plugin.Spec{Name: language, Grants: []string{"state"},
				Limits: plugin.Limits{Time: time.Minute, InitTime: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close(context.Background())
			in := instance(t, m)
			fx := newMemory()
			for i, line := range lines[eventLine](t, filepath.Join(balances, "testdata/events.ndjson")) {
				ev := newEvent(string(line.Data))
				ev.Position, ev.Stream, ev.Type = event.Position(i+1), line.Stream, line.Type
				if err := in.Handle(t.Context(), ev, 1, fx); err != nil {
					t.Fatal(err)
				}
			}
			want := lines[documentLine](t, filepath.Join(balances, "testdata/documents.ndjson"))
			for _, d := range want {
				if got := fx.docs["balances\x00"+d.Key]; string(got) != string(d.Document) {
					t.Errorf("%s is %s, want %s", d.Key, got, d.Document)
				}
			}
			if len(fx.docs) != len(want) {
				t.Errorf("there are %d documents, want %d", len(fx.docs), len(want))
			}
			ev := newEvent("no JSON")
			failure(t, in.Handle(t.Context(), ev, 1, fx), event.FailReject, "data is not a JSON object")
		})
	}
}

// BenchmarkBalances is one deposit in each language: read the document, add, write it back.
func BenchmarkBalances(b *testing.B) {
	e := newEngine(b, plugin.EngineOptions{CacheDir: b.TempDir() + "/cache"})
	for _, language := range []string{"assemblyscript", "rust", "go"} {
		b.Run(language, func(b *testing.B) {
			m, err := e.Load(b.Context(), example(b, language), plugin.Spec{Name: language, Grants: []string{"state"}})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close(context.Background())
			in := instance(b, m)
			ev := newEvent(`{"amount":1250,"note":"salary"}`)
			fx := &constant{value: []byte(`{"owner":"Ada","currency":"EUR","balance":950,"count":3}`)}
			benchmarkHandle(b, in, ev, fx)
			b.ReportMetric(float64(in.FuelUsed()), "fuel")
		})
	}
}
