package test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"eshost/host"
	"eshost/host/bank"
	"eshost/host/event"
	"eshost/host/store"
)

// way is one way to run the same plugins over the same log.
type way struct {
	store        string
	lanes, batch int
	cache        string
	restarts     int  // in the middle
	goToo        bool // run the plugins written in Go, which take long to compile under the race detector
}

func (w way) String() string {
	return fmt.Sprintf("%s lanes=%d batch=%d cache=%s restarts=%d", w.store, w.lanes, w.batch, w.cache, w.restarts)
}

// outcome is all that a run leaves behind.
type outcome struct {
	documents map[string]string // by plugin, collection and key
	emitted   map[string]string // ids and data by stream, in their order
	parked    map[string]string // by plugin and key
}

// TestEveryWayMakesTheSame is invariant 5: lanes, batches, caches, restarts and the kind of database never
// show in what the plugins make of a log.
func TestEveryWayMakesTheSame(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	log := mixedLog(t, seed)
	plain := way{"postgres", 1, 1, "64MiB", 0, true} // one instance, one event at a time: the definition
	want := plain.run(t, log, seed)
	checkExamples(t, want)
	if want.documents["journal/journal/out-0"] == "" || len(want.parked) < 2 || len(want.emitted) < 4 {
		t.Fatalf("the log is too tame: %d documents, %d streams emitted to, %d parked", len(want.documents), len(want.emitted), len(want.parked))
	}
	t.Logf("%d events make %d documents, %d streams of emitted events and %d parked sequences",
		len(log), len(want.documents), len(want.emitted), len(want.parked))
	for _, w := range []way{
		{"sqlite", 8, 1000, "64MiB", 0, true},
		{"sqlite", 8, 47, "1MiB", 5, false},
		{"sqlite", 1, 1000, "1MiB", 2, false},
		{"sqlite", 8, 1, "64MiB", 0, false},
		{"postgres", 8, 1000, "64MiB", 0, true},
		{"postgres", 8, 1, "1MiB", 5, false},
		{"postgres", 3, 61, "1MiB", 5, false},
	} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			got := w.run(t, log, seed)
			compareDocuments(t, "documents", got.documents, w.of(want.documents))
			compareDocuments(t, "emitted events", got.emitted, want.emitted)
			compareDocuments(t, "parked sequences", got.parked, w.of(want.parked))
		})
	}
}

const mixedEvents = 500

// mixedLog is the events of the balances example's test data, of a bank, and of the plugin mixed.
func mixedLog(t *testing.T, seed uint64) []store.StreamAppend {
	t.Helper()
	var log []store.StreamAppend
	for _, l := range lines[struct {
		Stream, Type string
		Data         json.RawMessage
	}](t, "events.ndjson") {
		log = append(log, oneEvent(l.Stream, l.Type, l.Data))
	}
	b := bank.New(40, seed)
	for range 150 {
		log = append(log, b.Next())
	}
	rng := newRand(seed, 6000)
	for i := range mixedEvents {
		kind := []string{"Fragile", "Sturdy", "Peeking"}[rng.IntN(3)]
		log = append(log, oneEvent(fmt.Sprintf("%s-%d", strings.ToLower(kind), rng.IntN(15)), kind, fmt.Appendf(nil, "%d", i)))
	}
	shuffle(rng, log)
	return log
}

func oneEvent(stream, eventType string, data []byte) store.StreamAppend {
	return store.StreamAppend{Stream: stream, Expected: store.AnyVersion, Events: []store.NewEvent{{Type: eventType, Data: data}}}
}

// shuffle mixes the streams and keeps the order in each of them.
func shuffle(rng *rand.Rand, log []store.StreamAppend) {
	byStream := map[string][]store.StreamAppend{}
	for _, a := range log {
		byStream[a.Stream] = append(byStream[a.Stream], a)
	}
	rng.Shuffle(len(log), func(i, j int) { log[i], log[j] = log[j], log[i] })
	for i, a := range log {
		log[i], byStream[a.Stream] = byStream[a.Stream][0], byStream[a.Stream][1:]
	}
	for i := range log { // the same ids everywhere
		log[i].Events = slices.Clone(log[i].Events)
		log[i].Events[0].ID = fmt.Sprintf("event-%d", i)
	}
}

// lines reads a file of the balances example's test data.
func lines[T any](t *testing.T, file string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(balances, "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for l := range bytes.Lines(text) {
		var one T
		if err := json.Unmarshal(l, &one); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, one)
	}
	return all
}

// checkExamples holds the three languages to the documents of the example's test data and to each other.
func checkExamples(t *testing.T, o *outcome) {
	t.Helper()
	for _, language := range []string{"assemblyscript", "rust", "go"} {
		for _, d := range lines[struct {
			Key      string
			Document json.RawMessage
		}](t, "documents.ndjson") {
			if got := o.documents[language+"/balances/"+d.Key]; got != string(d.Document) {
				t.Errorf("%s: %s is %s, must be %s", language, d.Key, got, d.Document)
			}
		}
		first, other := o.collection("assemblyscript/balances/"), o.collection(language+"/balances/")
		compareDocuments(t, language, other, first)
	}
}

func (o *outcome) collection(prefix string) map[string]string {
	found := map[string]string{}
	for key, d := range o.documents {
		if len(key) > len(prefix) && key[:len(prefix)] == prefix {
			found[key[len(prefix):]] = d
		}
	}
	return found
}

// run appends the log to a fresh database, runs the plugins over it, and returns what they made.
func (w way) run(t *testing.T, log []store.StreamAppend, seed uint64) *outcome {
	t.Helper()
	storeURL := newDatabase(t, w.store)
	s := openStore(t, storeURL)
	res := s.Append(t.Context(), []store.AppendRequest{{Streams: log}})[0]
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	p := newProject(t, storeURL, "way", w.plugins(t)...)
	rng := newRand(seed, 7000)
	for range w.restarts {
		// Stop after some commits, which is long before the end unless batches are large.
		var commits atomic.Int64
		enough := 1 + rng.Int64N(8)
		stop := runHost(t, p.config(), host.Options{LaneWork: 1, Committed: func(string, event.Position) { commits.Add(1) }})
		eventually(t, "some commits", func() error {
			if n := commits.Load(); n < enough && !w.over(t, s, res.Events[len(log)-1].Position) {
				return fmt.Errorf("%d of %d", n, enough)
			}
			return nil
		})
		stop()
	}
	stop := runHost(t, p.config(), host.Options{LaneWork: 1})
	finished(t, s, w.names()...)
	o := outcomeOf(t, s)
	stop()
	return o
}

// names are the plugins that run.
func (w way) names() []string {
	names := []string{"assemblyscript", "rust", "mixed", "peeking"}
	if w.goToo {
		names = append(names, "go", "journal")
	}
	return names
}

// of returns what the plugins that run have made.
func (w way) of(all map[string]string) map[string]string {
	made := map[string]string{}
	for key, value := range all {
		name, _, _ := strings.Cut(key, "/")
		if slices.Contains(w.names(), name) {
			made[key] = value
		}
	}
	return made
}

// over reports whether the plugins have handled everything up to a position.
func (w way) over(t *testing.T, s store.Store, head event.Position) bool {
	_, err := at(t, s, head, w.names())
	return err == nil
}

func (w way) plugins(t *testing.T) []plugin {
	t.Helper()
	const bankTypes = `["AccountOpened", "Deposited", "Withdrawn"]`
	module := map[string]func() string{
		"assemblyscript": func() string { return balancesModule(t, "assemblyscript") },
		"rust":           func() string { return balancesModule(t, "rust") },
		"go":             func() string { return balancesModule(t, "go") },
		"mixed":          func() string { return mixedModule(t) },
		"peeking":        func() string { return mixedModule(t) },
		"journal":        func() string { return journalModule(t) },
	}
	// Lanes of peeking meet in scans only, those of mixed nearly always in documents.
	events := map[string]string{"mixed": `["Fragile", "Sturdy"]`, "peeking": `["Peeking"]`, "journal": `["Sturdy", "Emitted"]`}
	var all []plugin
	for _, name := range w.names() {
		all = append(all, plugin{name, module[name](), fmt.Sprintf("events = %s\nallow = [\"state\", \"log\", \"emit\"]\nlanes = %d\nbatch = %d\n"+
			"[plugins.%[4]s.retry]\nattempts = 4\nbackoff = \"1ms..5ms\"\n[plugins.%[4]s.limits]\ncache = %[5]q\ntime = \"10s\"\n",
			cmp.Or(events[name], bankTypes), w.lanes, w.batch, name, w.cache)})
	}
	return all
}

func outcomeOf(t *testing.T, s store.Store) *outcome {
	t.Helper()
	o := &outcome{map[string]string{}, map[string]string{}, map[string]string{}}
	all, err := s.Plugins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		collections, err := s.Collections(t.Context(), p.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range collections {
			for key, d := range documents(t, s, p.Plugin, c) {
				o.documents[p.Plugin+"/"+c+"/"+key] = d
			}
		}
		sequences, err := s.Sequences(t.Context(), p.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range sequences {
			o.parked[p.Plugin+"/"+q.Key] = fmt.Sprintf("%s at %d, %d attempts, %d waiting: %s: %s", q.State, q.Position, q.Attempts, q.Waiting, q.Kind, q.Error)
		}
	}
	for _, e := range wholeLog(t, s) {
		if e.Type == "Emitted" {
			o.emitted[e.Stream] += fmt.Sprintf("%d %s %s %s %s\n", e.Version, e.ID, e.StreamType, e.Data, e.Metadata)
		}
	}
	return o
}
