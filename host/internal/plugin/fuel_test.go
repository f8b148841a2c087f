package plugin_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/internal/plugin"
)

var update = flag.Bool("update", false, "measure the examples as they are now, and write testdata/fuel anew")

// goldenFuel is what the events of a module's test data cost, one after another in one instance.
type goldenFuel struct {
	Digest string  `json:"digest"` // of the module
	Fuel   []int64 `json:"fuel"`
}

const goldenFile = "testdata/fuel/fuel.json"

// measured reads a module of testdata/fuel: an example as it was when it was measured, since builds change.
func measured(t *testing.T, language string) []byte {
	t.Helper()
	path := filepath.Join("testdata/fuel", language+".wasm")
	if *update {
		if err := os.WriteFile(path, example(t, language), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// TestFuelIsTheSameOnEveryMachine holds modules of the examples to numbers that were measured once. They depend on
// the module, what the instance has handled before, the event and the documents, and on nothing else: not on the machine, the
// size of the slices, the cache, or whether code is compiled or interpreted.
func TestFuelIsTheSameOnEveryMachine(t *testing.T) {
	t.Parallel()
	want := make(map[string]goldenFuel)
	if text, err := os.ReadFile(goldenFile); err != nil && !*update {
		t.Fatal(err)
	} else if err == nil {
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
	}
	cache := filepath.Join(t.TempDir(), "cache")
	engines := map[string]*plugin.Engine{
		"compiled":        newEngine(t, plugin.EngineOptions{}),
		"cold cache":      newEngine(t, plugin.EngineOptions{CacheDir: cache}),
		"warm cache":      newEngine(t, plugin.EngineOptions{CacheDir: cache}),
		"small slices":    newEngine(t, plugin.EngineOptions{Slice: 100}),
		"large slices":    newEngine(t, plugin.EngineOptions{Slice: 1 << 40}),
		"interpreted":     newEngine(t, plugin.EngineOptions{}.Interpreted()),
		"with a full log": newEngine(t, plugin.EngineOptions{LogRate: 1}),
	}
	got := make(map[string]goldenFuel)
	for _, language := range []string{"assemblyscript", "rust"} {
		for _, name := range []string{"compiled", "cold cache", "warm cache", "small slices", "large slices", "interpreted", "with a full log"} {
			g := fuelOf(t, engines[name], language)
			if first, ok := got[language]; !ok {
				got[language] = g
			} else if !slices.Equal(g.Fuel, first.Fuel) {
				t.Errorf("%s, %s: the events cost %v, else %v", language, name, g.Fuel, first.Fuel)
			}
		}
	}
	if *update {
		text, err := json.MarshalIndent(got, "", "\t")
		if err == nil {
			err = os.WriteFile(goldenFile, append(text, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	for language, g := range got {
		switch was := want[language]; {
		case was.Digest != g.Digest:
			t.Errorf("balances in %s is another module than the one that was measured: go test ./host/internal/plugin -run FuelIsTheSame -update", language)
		case !slices.Equal(g.Fuel, was.Fuel):
			t.Errorf("balances in %s: the events cost\n%v, it was\n%v. If the meter counts otherwise on purpose: -update", language, g.Fuel, was.Fuel)
		}
	}
}

// fuelOf handles the example's events in one instance, and the first of them in a fresh one, which must cost the same.
func fuelOf(t *testing.T, e *plugin.Engine, language string) goldenFuel {
	t.Helper()
	type eventLine struct {
		Stream, Type string
		Data         json.RawMessage
	}
	m, err := e.Load(t.Context(), measured(t, language), plugin.Spec{Name: language, Grants: []string{"state"}, Limits: plugin.Limits{Time: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context())
	g := goldenFuel{Digest: m.Digest()}
	in, fx := instance(t, m), newMemory()
	handle := func(in *plugin.Instance, fx *memory, i int, line eventLine) int64 {
		ev := newEvent(string(line.Data))
		ev.Position, ev.Stream, ev.Type = event.Position(i+1), line.Stream, line.Type
		if err := in.Handle(t.Context(), ev, 1, fx); err != nil {
			t.Fatal(err)
		}
		return in.FuelUsed()
	}
	all := lines[eventLine](t, filepath.Join(balances, "testdata/events.ndjson"))
	for i, line := range all[:min(len(all), 30)] {
		g.Fuel = append(g.Fuel, handle(in, fx, i, line))
	}
	for range 3 {
		if fresh := handle(instance(t, m), newMemory(), 0, all[0]); fresh != g.Fuel[0] {
			t.Errorf("%s: the first event costs %d in another instance, %d before", language, fresh, g.Fuel[0])
		}
	}
	if strings.TrimSpace(g.Digest) == "" || g.Fuel[0] < 100 {
		t.Errorf("%s: %+v", language, g)
	}
	return g
}
