package trial_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/internal/trial"
)

// fake is a module whose handler is a Go function. Each instance has a memory of its own.
type fake struct {
	handle func(memory map[string]string, e *event.Event, attempt int, fx trial.Effects) error
	open   int
	made   int
}

func (f *fake) NewInstance(context.Context) (trial.Instance, error) {
	f.open++
	f.made++
	return &instance{fake: f, memory: make(map[string]string)}, nil
}

type instance struct {
	fake          *fake
	memory        map[string]string
	handled       int
	spent, closed bool
}

func (i *instance) Handle(ctx context.Context, e *event.Event, attempt int, fx trial.Effects) error {
	if i.spent || i.closed {
		return errors.New("the instance is not to be used")
	}
	i.handled++
	err := i.fake.handle(i.memory, e, attempt, fx)
	var f *event.Failure
	i.spent = errors.As(err, &f) && f.Kind == event.FailTrap
	return err
}

func (i *instance) Spent() bool     { return i.spent }
func (i *instance) FuelUsed() int64 { return int64(10 * i.handled) }
func (i *instance) MemorySize() int { return 100 + i.handled }

func (i *instance) Close(context.Context) error {
	if i.closed {
		return errors.New("closed twice")
	}
	i.closed = true
	i.fake.open--
	return nil
}

// events are of the streams named, one after another.
func events(streams ...string) []event.Event {
	out := make([]event.Event, len(streams))
	for i, s := range streams {
		out[i] = event.Event{Position: event.Position(i + 1), Stream: s, ID: fmt.Sprint("e", i+1), Type: "T", Data: []byte("{}")}
	}
	return out
}

var options = trial.Options{Key: func(e *event.Event) string { return e.Stream }, Attempts: 3}

func run(t *testing.T, f *fake, all []event.Event) *trial.Result {
	t.Helper()
	r, err := trial.Run(t.Context(), f, all, options)
	if err != nil {
		t.Fatal(err)
	}
	if f.open != 0 {
		t.Errorf("%d instances are still open", f.open)
	}
	return r
}

func set(fx trial.Effects, key, value string) error {
	return fx.Set([]byte("docs"), []byte(key), []byte(value))
}

func kind(k event.FailureKind) error { return &event.Failure{Kind: k, Message: "as told"} }

// endings spells what became of the events: attempts, then how.
func endings(r *trial.Result) string {
	var all []string
	for _, o := range r.Outcomes {
		text := strconv.Itoa(o.Attempts)
		switch {
		case o.Failure != nil:
			text += string(o.Failure.Kind)
		case o.Behind != 0:
			text += fmt.Sprintf("behind%d", o.Behind)
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func TestAFailingKeyWaitsAndOthersGoOn(t *testing.T) {
	t.Parallel()
	f := &fake{handle: func(_ map[string]string, e *event.Event, attempt int, fx trial.Effects) error {
		if err := errors.Join(set(fx, e.Stream, fmt.Sprint(attempt)), fx.Emit(event.Emitted{Cause: e.Position, Stream: e.Stream})); err != nil {
			return err
		}
		switch {
		case e.Stream == "retry":
			return kind(event.FailRetry)
		case e.Stream == "reject":
			return kind(event.FailReject)
		case e.Stream == "trap":
			return kind(event.FailTrap)
		case e.Stream == "late" && attempt < 3:
			return kind(event.FailTrap)
		}
		return nil
	}}
	r := run(t, f, events("good", "retry", "reject", "trap", "late", "good", "retry", "trap", "late"))
	if got, want := endings(r), "1 3retry 1reject 3trap 3 1 0behind2 0behind4 3"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want := []event.Document{{Collection: "docs", Key: "good", Data: []byte("1")}, {Collection: "docs", Key: "late", Data: []byte("3")}}
	if !reflect.DeepEqual(r.Documents, want) {
		t.Errorf("got %s", r.Documents)
	}
	var causes []event.Position
	for _, e := range r.Emitted {
		causes = append(causes, e.Cause)
	}
	if !slices.Equal(causes, []event.Position{1, 5, 6, 9}) {
		t.Errorf("emitted by %v", causes)
	}
	if r.Instances != f.made || r.Instances != 1+3+2+2 {
		t.Errorf("%d instances, %d made", r.Instances, f.made)
	}
	if r.PeakMemory != 106 { // the first instance handled six times until it trapped
		t.Errorf("peak memory %d", r.PeakMemory)
	}
}

// TestTheHostsErrorEndsIt: what is not the event's fault is no outcome.
func TestTheHostsErrorEndsIt(t *testing.T) {
	t.Parallel()
	f := &fake{handle: func(_ map[string]string, e *event.Event, _ int, _ trial.Effects) error { return context.Canceled }}
	if _, err := trial.Run(t.Context(), f, events("a"), options); !errors.Is(err, context.Canceled) || f.open != 0 {
		t.Errorf("got %v, %d open", err, f.open)
	}
}

// TestDocumentsAgainstAModel writes, deletes, scans and fails at random and compares with a plain map.
func TestDocumentsAgainstAModel(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ESHOST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("ESHOST_SEED=%d runs this again", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	model := map[string]string{}
	f := &fake{handle: func(_ map[string]string, e *event.Event, _ int, fx trial.Effects) error {
		mine := maps.Clone(model)
		for range random.IntN(6) {
			key := fmt.Sprintf("%c%c", 'a'+random.IntN(3), 'a'+random.IntN(9))
			switch random.IntN(3) {
			case 0:
				mine[key] = fmt.Sprint(e.Position)
				_ = set(fx, key, mine[key])
			case 1:
				delete(mine, key)
				_ = fx.Delete([]byte("docs"), []byte(key))
			default:
				scanLikeModel(t, fx, mine, key[:random.IntN(2)], []string{"", key}[random.IntN(2)], 1+random.IntN(5))
			}
			got, ok, _ := fx.Get(t.Context(), []byte("docs"), []byte(key))
			if want, there := mine[key]; ok != there || string(got) != want {
				t.Fatalf("event %d: %s is %q, %v; want %q, %v", e.Position, key, got, ok, want, there)
			}
		}
		if random.IntN(3) == 0 {
			return kind(event.FailReject)
		}
		model = mine
		return nil
	}}
	var streams []string
	for i := range 3000 {
		streams = append(streams, strconv.Itoa(i))
	}
	r := run(t, f, events(streams...))
	got := map[string]string{}
	for _, d := range r.Documents {
		got[d.Key] = string(d.Data)
	}
	if !maps.Equal(got, model) || !slices.IsSortedFunc(r.Documents, func(a, b event.Document) int { return strings.Compare(a.Key, b.Key) }) {
		t.Errorf("got %v, want %v", got, model)
	}
}

func scanLikeModel(t *testing.T, fx trial.Effects, model map[string]string, prefix, after string, limit int) {
	t.Helper()
	docs, err := fx.Scan(t.Context(), []byte("docs"), []byte(prefix), []byte(after), limit)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, d := range docs {
		got = append(got, d.Key+string(d.Data))
	}
	for _, key := range slices.Sorted(maps.Keys(model)) {
		if strings.HasPrefix(key, prefix) && key > after && len(want) < limit {
			want = append(want, key+model[key])
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("scan %q after %q limit %d: got %v, want %v", prefix, after, limit, got, want)
	}
}

// TestChaosFindsMemory holds chaos to finding every way a handler can lean on its instance.
func TestChaosFindsMemory(t *testing.T) {
	t.Parallel()
	many := make([]string, 60)
	for i := range many {
		many[i] = fmt.Sprint("s", i%3)
	}
	for name, c := range map[string]struct {
		streams []string
		found   func(d *trial.Difference) bool
		handle  func(memory map[string]string, e *event.Event, attempt int, fx trial.Effects) error
	}{
		"a counter, after two events": {[]string{"a", "b"}, func(d *trial.Difference) bool {
			return d.Event.Position == 2 && d.Collection == "docs" && d.Key == "n" && d.Steady == "2" && d.Chaos == "1"
		}, func(memory map[string]string, _ *event.Event, _ int, fx trial.Effects) error {
			memory["n"] += "x"
			return set(fx, "n", fmt.Sprint(len(memory["n"])))
		}},
		// It survives being thrown away: only another instance's writes make it wrong.
		"a cache that is written through": {many, func(d *trial.Difference) bool { return d.Collection == "docs" },
			func(memory map[string]string, e *event.Event, _ int, fx trial.Effects) error {
				n, cached := memory[e.Stream]
				if !cached {
					stored, _, _ := fx.Get(context.Background(), []byte("docs"), []byte(e.Stream))
					n = string(stored)
				}
				count, _ := strconv.Atoi(n)
				memory[e.Stream] = fmt.Sprint(count + 1)
				return set(fx, e.Stream, memory[e.Stream])
			}},
		"a document that is only deleted in one": {[]string{"a", "b"}, func(d *trial.Difference) bool { return d.Key == "k" && d.Steady == "" && d.Chaos == "1" },
			func(memory map[string]string, e *event.Event, _ int, fx trial.Effects) error {
				if memory["seen"] != "" {
					return fx.Delete([]byte("docs"), []byte("k"))
				}
				memory["seen"] = "yes"
				return set(fx, "k", "1")
			}},
		"what is emitted": {[]string{"a", "b"}, func(d *trial.Difference) bool {
			return d.Emitted && d.Chaos == "" && strings.Contains(d.Steady, "to out")
		},
			func(memory map[string]string, _ *event.Event, _ int, fx trial.Effects) error {
				if memory["seen"] != "" {
					return fx.Emit(event.Emitted{Stream: "out"})
				}
				memory["seen"] = "yes"
				return nil
			}},
		"whether it fails": {[]string{"a", "b"}, func(d *trial.Difference) bool { return d.Steady == "failed (reject)" && d.Chaos == "handled" },
			func(memory map[string]string, _ *event.Event, _ int, _ trial.Effects) error {
				if memory["seen"] != "" {
					return kind(event.FailReject)
				}
				memory["seen"] = "yes"
				return nil
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				f := &fake{handle: c.handle}
				r, err := trial.Chaos(t.Context(), f, events(c.streams...), options, seed)
				if err != nil || f.open != 0 {
					t.Fatalf("seed %d: %v, %d instances open", seed, err, f.open)
				}
				if r.Difference == nil || !c.found(r.Difference) {
					t.Errorf("seed %d: found %+v", seed, r.Difference)
				}
				again, _ := trial.Chaos(t.Context(), f, events(c.streams...), options, seed)
				if !reflect.DeepEqual(r.Difference, again.Difference) || r.Thrown != again.Thrown {
					t.Errorf("seed %d: another run differs: %+v and %+v", seed, r, again)
				}
			}
		})
	}
}

// TestChaosAcceptsAPureHandler: failures, retries and emitted events are no difference by themselves.
func TestChaosAcceptsAPureHandler(t *testing.T) {
	t.Parallel()
	f := &fake{handle: func(_ map[string]string, e *event.Event, attempt int, fx trial.Effects) error {
		before, _, _ := fx.Get(context.Background(), []byte("docs"), []byte("all"))
		err := errors.Join(set(fx, "all", string(before)+e.Stream), fx.Emit(event.Emitted{Stream: e.Stream}))
		switch {
		case e.Stream == "reject":
			return kind(event.FailReject)
		case e.Stream == "trap" && attempt < 3:
			return kind(event.FailTrap)
		}
		return err
	}}
	for seed := range uint64(20) {
		r, err := trial.Chaos(t.Context(), f, events("a", "reject", "trap", "reject", "b"), options, seed)
		if err != nil || r.Difference != nil || f.open != 0 {
			t.Fatalf("seed %d: %v, %+v, %d open", seed, err, r.Difference, f.open)
		}
		if r.Runs != 10 || r.Thrown < 10 {
			t.Errorf("seed %d: %+v", seed, r)
		}
	}
}
