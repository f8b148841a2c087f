package test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
)

// relayModule is test/guests/relay: it answers each event with one of a configured type.
func relayModule(t *testing.T) string {
	t.Helper()
	return built.Path(t, "relay.wasm", func(out string) error {
		cmd := exec.Command(filepath.Join(root, "sdk", "rust", "build.sh"), filepath.Join("guests", "relay"), out)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, said)
		}
		return nil
	})
}

// relay answers events of one type with events of another.
func relay(t *testing.T, name, from, to, more string) plugin {
	t.Helper()
	return plugin{name, relayModule(t), fmt.Sprintf("events = [%q]\nallow = [\"emit\"]\n%s\n[plugins.%s.config]\ntype = %q\n", from, more, name, to)}
}

// TestCrashOfProcessManager kills a host in which the process manager and a warehouse answer each other. Every order
// must be shipped and completed once, and its events must say what caused them (invariant 2).
func TestCrashOfProcessManager(t *testing.T) {
	t.Parallel()
	const orders, kills = 150, 4
	onEachStore(t, func(t *testing.T, storeURL string) {
		rng := newRand(newSeed(t), 8000)
		s := openStore(t, storeURL)
		var log []store.StreamAppend
		for i := range orders {
			order := fmt.Sprintf("order-%d", i)
			log = append(log, oneEvent(order, "OrderPlaced", []byte(`{"total":100}`)),
				oneEvent("payment-"+order, "PaymentReceived", fmt.Appendf(nil, `{"order":%q,"amount":100}`, order)))
		}
		shuffle(rng, log)
		if err := s.Append(t.Context(), []store.AppendRequest{{Streams: log}})[0].Err; err != nil {
			t.Fatal(err)
		}
		p := newProject(t, storeURL, "orders",
			fulfilmentExample.plugin(t, "fulfilment", "assemblyscript", "stream", "batch = 5"),
			relay(t, "warehouse", "ShipmentRequested", "ShipmentDelivered", "batch = 3"))

		inTheMiddle := 0
		for range kills {
			before := headOf(t, s)
			h := p.host()
			h.ready()
			enough := before + event.Position(1+rng.IntN(3*orders/(kills+2)))
			eventually(t, "some events are emitted", func() error {
				if head := headOf(t, s); head < enough && head < 5*orders {
					return fmt.Errorf("the log ends at %d", head)
				}
				return nil
			})
			h.kill()
			if head := headOf(t, s); head > 2*orders && head < 5*orders {
				inTheMiddle++
			}
		}
		if inTheMiddle == 0 {
			t.Error("no kill came in the middle: this test proves nothing")
		}
		stop := runHost(t, p.config(), host.Options{})
		settledChain(t, s, "fulfilment", "warehouse")
		stop()
		checkChains(t, wholeLog(t, s), orders)
		t.Logf("%d of %d kills came in the middle", inTheMiddle, kills)
	})
}

// settledChain waits until plugins have handled what they emitted themselves, too.
func settledChain(t *testing.T, s store.Store, plugins ...string) {
	t.Helper()
	for before := event.Position(-1); before < headOf(t, s); {
		before = headOf(t, s)
		settled(t, s, plugins...)
	}
}

// chained is an event with what its metadata says of its chain.
type chained struct {
	event.Event
	Causation   string `json:"causation_id"`
	Correlation string `json:"correlation_id"`
	Depth       int    `json:"causation_depth"`
}

// checkChains holds the log to one chain of four events an order, and nothing else.
func checkChains(t *testing.T, log []event.Event, orders int) {
	t.Helper()
	byType := map[string]map[string]chained{} // by order
	ids, versions := map[string]bool{}, map[string]int64{}
	for _, e := range log {
		c := chained{Event: e}
		var data struct{ Order string }
		if err := json.Unmarshal(e.Metadata, &c); err != nil {
			t.Fatalf("event %d: metadata %s: %v", e.Position, e.Metadata, err)
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatalf("event %d: data %s: %v", e.Position, e.Data, err)
		}
		if e.Type == "OrderPlaced" {
			data.Order = e.Stream
		}
		if byType[e.Type] == nil {
			byType[e.Type] = map[string]chained{}
		}
		if _, twice := byType[e.Type][data.Order]; twice || ids[e.ID] {
			t.Errorf("event %d, %s of %s, is there twice", e.Position, e.Type, data.Order)
		}
		byType[e.Type][data.Order], ids[e.ID] = c, true
		if versions[e.Stream]++; e.Version != versions[e.Stream] {
			t.Errorf("event %d is version %d of %s, must be %d", e.Position, e.Version, e.Stream, versions[e.Stream])
		}
	}
	for order, paid := range byType["PaymentReceived"] {
		cause := paid
		if placed := byType["OrderPlaced"][order]; placed.Position > paid.Position {
			cause = placed // the payment came first
		}
		correlation := cause.ID // of the event from outside that began the chain
		for depth, eventType := range []string{"ShipmentRequested", "ShipmentDelivered", "OrderCompleted"} {
			e := byType[eventType][order]
			if e.Causation != cause.ID || e.Correlation != correlation || e.Depth != depth+1 || e.Position <= cause.Position {
				t.Errorf("%s of %s is %+v, must follow %s in the chain of %s", eventType, order, e, cause.ID, correlation)
			}
			cause = e
		}
	}
	if len(log) != 5*orders || len(byType) != 5 || len(byType["OrderCompleted"]) != orders {
		t.Errorf("%d events of %d types, %d orders completed; want %d, 5 and %d", len(log), len(byType), len(byType["OrderCompleted"]), 5*orders, orders)
	}
}

// TestLoopOfPluginsEnds has two plugins feed each other: the chain ends where limits.emit_depth says, its sequence is
// parked with an error that says so, and everything else goes on.
func TestLoopOfPluginsEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, limit string
		depth       int    // of the last event
		parked      string // the plugin that may not answer it
	}{
		{"default", "", 16, "ping"},
		{"lower", "[plugins.pong.limits]\nemit_depth = 3", 3, "pong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			onEachStore(t, func(t *testing.T, storeURL string) {
				s := openStore(t, storeURL)
				healthy := ordersExample
				runHost(t, newProject(t, storeURL, "loop",
					relay(t, "ping", "Ping", "Pong", ""), relay(t, "pong", "Pong", "Ping", c.limit),
					healthy.plugin(t, "healthy", "rust", "stream", "")).config(), host.Options{})
				for chain, stream := range []string{"first", "second"} { // the second goes its way in spite of the parked first
					if err := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{oneEvent(stream, "Ping", []byte("{}"))}}})[0].Err; err != nil {
						t.Fatal(err)
					}
					eventually(t, "the chain ends", func() error {
						return parkedWith(t, s, c.parked, stream)
					})
					if n := len(wholeLog(t, s)); n != (chain+1)*(1+c.depth) {
						t.Errorf("there are %d events after %d chains of %d", n, chain+1, c.depth)
					}
				}
				appended := healthy.append(t, s)
				finished(t, s, "ping", "pong", "healthy")
				compareDocuments(t, "healthy", documentsOf(t, s, "healthy"), healthy.expected(t).documents)
				for name, want := range map[string]int{"ping": 0, "pong": 0, c.parked: 2} {
					parked := parkedOf(t, s, name)
					if len(parked) != want {
						t.Errorf("%s has %d parked sequences: %q", name, len(parked), parked)
					}
					for stream, failure := range parked {
						if !strings.HasPrefix(failure, "loop: it emits P") || !strings.Contains(failure, fmt.Sprintf("limits.emit_depth = %d", c.depth)) ||
							!strings.Contains(failure, "do plugins feed each other in a loop?") {
							t.Errorf("%s is parked with %q", stream, failure)
						}
					}
				}
				if n := len(wholeLog(t, s)); n != 2*(1+c.depth)+appended {
					t.Errorf("the log has %d events", n)
				}
			})
		})
	}
}

func parkedWith(t *testing.T, s store.Store, plugin, stream string) error {
	g, err := s.FindPlugin(t.Context(), plugin)
	if err != nil {
		return err
	}
	sequences, err := s.Sequences(t.Context(), g.ID)
	if err != nil {
		return err
	}
	for _, q := range sequences {
		if q.Key == stream && q.Kind == event.FailLoop && q.State == store.Parked && q.Attempts == 1 {
			return nil
		}
	}
	return fmt.Errorf("%s has %d failed sequences, none of them parked with a loop in %s", plugin, len(sequences), stream)
}
