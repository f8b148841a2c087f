package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"eshost/host"
	"eshost/host/store"
)

// example is a case of plugins/examples.
type example struct {
	name      string
	languages []string
	events    []string
	orders    []string // what order_by may be without a difference to the result
}

var (
	ordersExample = example{"orders", []string{"assemblyscript", "rust"},
		[]string{"CustomerRegistered", "CustomerRenamed", "OrderPlaced", "OrderShipped", "OrderCancelled"}, []string{"stream", "metadata.customer"}}
	signupsExample = example{"signups", []string{"assemblyscript", "go"},
		[]string{"UserRegistered", "UserDeregistered"}, []string{"stream"}}
	fulfilmentExample = example{"fulfilment", []string{"assemblyscript", "rust", "go"},
		[]string{"OrderPlaced", "OrderCancelled", "PaymentReceived", "ShipmentDelivered"}, []string{"stream", "metadata.correlation_id"}}
)

// exampleModule is an example in one of its languages: the committed module, or for Go one built now.
func exampleModule(t *testing.T, name, language string) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join(root, "plugins", "examples", name, language))
	if err != nil {
		t.Fatal(err)
	}
	if language == "go" {
		return goGuest(t, name, folder)
	}
	return filepath.Join(folder, name+".wasm")
}

// exampleLines reads a file of an example's test data.
func exampleLines[T any](t *testing.T, name, file string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "plugins", "examples", name, "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for l := range bytes.Lines(text) {
		var one T
		if err := json.Unmarshal(l, &one); err != nil {
			t.Fatalf("%s of %s: %v", file, name, err)
		}
		all = append(all, one)
	}
	return all
}

// expectation is what an example must make of its events: its expected.ndjson.
type expectation struct {
	documents map[string]string // by collection and key
	emitted   []string          // in their order
	ids       map[string]string // of what was emitted; not in the file
	parked    map[string]string // by stream of the failed event
}

func (x example) expected(t *testing.T) *expectation {
	t.Helper()
	want := &expectation{documents: map[string]string{}, parked: map[string]string{}}
	for _, l := range exampleLines[struct {
		Document *struct {
			Collection, Key string
			Data            json.RawMessage
		}
		Emitted *struct {
			Stream, Type   string
			Data, Metadata json.RawMessage
		}
		Failure *struct {
			Stream, Kind, Error string
			Waiting             int
		}
	}](t, x.name, "expected.ndjson") {
		switch d, e, f := l.Document, l.Emitted, l.Failure; {
		case d != nil:
			want.documents[d.Collection+"/"+d.Key] = string(d.Data)
		case e != nil:
			want.emitted = append(want.emitted, emittedLine(e.Stream, e.Type, e.Data, e.Metadata))
		case f != nil:
			want.parked[f.Stream] = fmt.Sprintf("%s: %s, %d waiting", f.Kind, f.Error, 1+f.Waiting)
		}
	}
	if len(want.documents) == 0 || len(want.parked) == 0 {
		t.Fatalf("the expected file of %s proves too little", x.name)
	}
	return want
}

func emittedLine(stream, eventType string, data, metadata []byte) string {
	return fmt.Sprintf("%s to %s: %s %s", eventType, stream, data, metadata)
}

// append stores the example's events and returns how many there are.
func (x example) append(t *testing.T, s store.Store) int {
	t.Helper()
	var log []store.StreamAppend
	for _, l := range exampleLines[struct {
		ID, Stream, Type string
		Time             time.Time
		Data, Metadata   json.RawMessage
	}](t, x.name, "events.ndjson") {
		e := store.NewEvent{ID: l.ID, Type: l.Type, Time: l.Time, Data: l.Data, Metadata: l.Metadata}
		log = append(log, store.StreamAppend{Stream: l.Stream, Expected: store.AnyVersion, Events: []store.NewEvent{e}})
	}
	if err := s.Append(t.Context(), []store.AppendRequest{{Streams: log}})[0].Err; err != nil {
		t.Fatal(err)
	}
	return len(log)
}

// variants are all ways to run the example in one language that must not show in what it makes.
func (x example) variants(t *testing.T, language string) []plugin {
	t.Helper()
	var all []plugin
	// With few events lanes are opened only from the second batch on.
	for i, size := range []string{"lanes = 1\nbatch = 1", "lanes = 1", "lanes = 4\nbatch = 1", "lanes = 4", "lanes = 4\nbatch = 7", "lanes = 4\nbatch = 7"} {
		name := fmt.Sprintf("%s-%d", language, i)
		all = append(all, x.plugin(t, name, language, x.orders[i%len(x.orders)], size))
	}
	return all
}

func (x example) plugin(t *testing.T, name, language, orderBy, more string) plugin {
	t.Helper()
	types := `["` + strings.Join(x.events, `", "`) + `"]`
	return plugin{name, exampleModule(t, x.name, language),
		fmt.Sprintf("events = %s\norder_by = %q\nallow = [\"state\", \"emit\"]\n%s\n[plugins.%s.limits]\ntime = \"10s\"\n", types, orderBy, more, name)}
}

// startExample runs a project in the test's process, where lanes are opened early; or with the real binary if the modules are Go's,
// which take minutes to compile under the race detector.
func startExample(t *testing.T, p *project, language string) (stop func()) {
	t.Helper()
	if language == "go" {
		h := p.host()
		h.ready()
		return h.stop
	}
	return runHost(t, p.config(), host.Options{LaneWork: 1})
}

// TestExamplesMakeWhatIsExpected runs the read models in every language and every way side by side on one log.
func TestExamplesMakeWhatIsExpected(t *testing.T) {
	t.Parallel()
	for _, x := range []example{ordersExample, signupsExample} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			want := x.expected(t)
			onEachStore(t, func(t *testing.T, storeURL string) {
				s := openStore(t, storeURL)
				appended := x.append(t, s)
				var names []string
				for _, language := range x.languages {
					plugins := x.variants(t, language)
					startExample(t, newProject(t, storeURL, language, plugins...), language)
					for _, p := range plugins {
						names = append(names, p.name)
					}
				}
				finished(t, s, names...)
				for _, name := range names {
					compareDocuments(t, name, documentsOf(t, s, name), want.documents)
					compareDocuments(t, name+" parked", parkedOf(t, s, name), want.parked)
				}
				if log := wholeLog(t, s); len(log) != appended {
					t.Errorf("there are %d events, %d were appended", len(log), appended)
				}
			})
		})
	}
}

// TestProcessManagerEmitsWhatIsExpected runs the process manager in every language and every way, each on a log of its
// own, always under one name: then the ids of what it emits must be the same too.
func TestProcessManagerEmitsWhatIsExpected(t *testing.T) {
	t.Parallel()
	x := fulfilmentExample
	want := x.expected(t)
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var ids map[string]string
			for _, p := range slices.Concat(x.variants(t, "assemblyscript"), x.variants(t, "rust"), x.variants(t, "go")) {
				variant := p.name
				language, _, _ := strings.Cut(variant, "-")
				p.name, p.more = x.name, strings.ReplaceAll(p.more, p.name, x.name)
				got := x.runAlone(t, newDatabase(t, kind), language, p)
				compareDocuments(t, variant, got.documents, want.documents)
				compareDocuments(t, variant+" parked", got.parked, want.parked)
				if !slices.Equal(got.emitted, want.emitted) {
					t.Errorf("%s emitted\n%s\nmust be\n%s", variant, strings.Join(got.emitted, "\n"), strings.Join(want.emitted, "\n"))
				}
				if ids == nil {
					ids = got.ids
				}
				compareDocuments(t, variant+" ids", got.ids, ids)
			}
		})
	}
}

// runAlone runs one plugin over the example's events on a fresh database.
func (x example) runAlone(t *testing.T, storeURL, language string, p plugin) *expectation {
	t.Helper()
	s := openStore(t, storeURL)
	appended := x.append(t, s)
	stop := startExample(t, newProject(t, storeURL, x.name, p), language)
	finished(t, s, p.name)
	stop()
	got := &expectation{documents: documentsOf(t, s, p.name), parked: parkedOf(t, s, p.name), ids: map[string]string{}}
	for _, e := range wholeLog(t, s)[appended:] {
		line := emittedLine(e.Stream, e.Type, e.Data, e.Metadata)
		got.emitted = append(got.emitted, line)
		got.ids[line] = e.ID
	}
	return got
}

// documentsOf returns all documents of a plugin, by collection and key.
func documentsOf(t *testing.T, s store.Store, plugin string) map[string]string {
	t.Helper()
	g, err := s.FindPlugin(t.Context(), plugin)
	if err != nil {
		t.Fatal(err)
	}
	collections, err := s.Collections(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, c := range collections {
		for key, d := range documents(t, s, plugin, c) {
			all[c+"/"+key] = d
		}
	}
	return all
}

// parkedOf returns why a plugin's sequences are parked, by stream of the event that failed.
func parkedOf(t *testing.T, s store.Store, plugin string) map[string]string {
	t.Helper()
	g, err := s.FindPlugin(t.Context(), plugin)
	if err != nil {
		t.Fatal(err)
	}
	sequences, err := s.Sequences(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, q := range sequences {
		first, err := s.Queued(t.Context(), g.ID, q.Key, 1)
		if err != nil || len(first) == 0 {
			t.Fatalf("sequence %q of %s: %d events, %v", q.Key, plugin, len(first), err)
		}
		if q.State != store.Parked {
			t.Errorf("sequence %q of %s is %s", q.Key, plugin, q.State)
		}
		all[first[0].Stream] = fmt.Sprintf("%s: %s, %d waiting", q.Kind, q.Error, q.Waiting)
	}
	return all
}

// TestLanesOfOrders is what the README of the example orders says: with one customer's events in one lane, lanes never
// meet; with one stream's, they do, and the result is the same.
func TestLanesOfOrders(t *testing.T) {
	t.Parallel()
	const customers, events = 20, 600
	x := ordersExample
	storeURL := newDatabase(t, "sqlite")
	s := openStore(t, storeURL)
	rng := newRand(newSeed(t), 9000)
	var log []store.StreamAppend
	open := []string{}
	for i := range events {
		customer := fmt.Sprintf("customer-%d", rng.IntN(customers))
		switch n := rng.IntN(10); {
		case n < 2:
			log = append(log, oneEvent(customer, "CustomerRenamed", fmt.Appendf(nil, `{"name":"name %d"}`, i)))
		case n < 6 && len(open) > 0:
			last := open[rng.IntN(len(open))]
			open = slices.DeleteFunc(open, func(order string) bool { return order == last })
			order, customer, _ := strings.Cut(last, " ")
			log = append(log, ofCustomer(customer, oneEvent(order, "OrderShipped", []byte(`{}`))))
		default:
			order := fmt.Sprintf("order-%d", i)
			open = append(open, order+" "+customer)
			log = append(log, ofCustomer(customer, oneEvent(order, "OrderPlaced", fmt.Appendf(nil, `{"customer":%q,"total":%d}`, customer, i+1))))
		}
	}
	if err := s.Append(t.Context(), []store.AppendRequest{{Streams: log}})[0].Err; err != nil {
		t.Fatal(err)
	}
	plugins := []plugin{
		x.plugin(t, "alone", "rust", "stream", "lanes = 1"),
		x.plugin(t, "bystream", "rust", "stream", "lanes = 4\nbatch = 50"),
		x.plugin(t, "bycustomer", "assemblyscript", "metadata.customer", "lanes = 4\nbatch = 50"),
	}
	listen := make(chan string, 1)
	runHost(t, newProject(t, storeURL, "lanes", plugins...).config(),
		host.Options{LaneWork: 1, Ready: func(address string) { listen <- address }})
	settled(t, s, "alone", "bystream", "bycustomer")
	want := documentsOf(t, s, "alone")
	compareDocuments(t, "bystream", documentsOf(t, s, "bystream"), want)
	compareDocuments(t, "bycustomer", documentsOf(t, s, "bycustomer"), want)
	conflicts := metrics(t, "http://"+<-listen, "eshost_lane_conflicts_total")
	if conflicts["bystream"] == 0 || conflicts["bycustomer"] != 0 {
		t.Errorf("lanes have met in %v batches", conflicts)
	}
}

// ofCustomer adds the customer to the events' metadata.
func ofCustomer(customer string, s store.StreamAppend) store.StreamAppend {
	for i := range s.Events {
		s.Events[i].Metadata = fmt.Appendf(nil, `{"customer":%q}`, customer)
	}
	return s
}

// metrics returns a metric of a host's listener by plugin.
func metrics(t *testing.T, listener, name string) map[string]int {
	t.Helper()
	res, err := http.Get(listener + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, m := range regexp.MustCompile(name+`\{plugin="([^"]+)"\} (\d+)`).FindAllStringSubmatch(string(body), -1) {
		if found[m[1]], err = strconv.Atoi(m[2]); err != nil {
			t.Fatal(err)
		}
	}
	return found
}
