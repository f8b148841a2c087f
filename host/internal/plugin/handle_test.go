package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/internal/plugin"
)

func TestTraps(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	patient := load(t, e, "behave", plugin.Spec{Limits: plugin.Limits{Time: time.Minute, Memory: 4 << 20}})
	strict := load(t, e, "behave", plugin.Spec{Limits: plugin.Limits{Time: 30 * time.Millisecond, Memory: 4 << 20}})
	for name, test := range map[string]struct {
		data  string
		kind  event.FailureKind
		text  string
		stack string
		sets  int
	}{
		"unreachable":    {"u", event.FailTrap, "unreachable", "level3\nlevel2\nhandle", 0},
		"division":       {"d", event.FailTrap, "integer divide by zero", "handle", 0},
		"outside":        {"o", event.FailTrap, "out of bounds memory access", "handle", 0},
		"wrong type":     {"c", event.FailTrap, "indirect call type mismatch", "handle", 0},
		"loop":           {"l", event.FailBudget, "it ran longer than its time limit of 30ms", "spin\nhandle", 0},
		"bulk loop":      {"f", event.FailBudget, "time limit", "handle", 0},
		"host call loop": {"h", event.FailBudget, "time limit", "handle", 0},
		"host work loop": {"j", event.FailBudget, "time limit", "handle", 0},
		"recursion":      {"r", event.FailBudget, "call stack is used up", "recurse\nrecurse\n", 0},
		"memory":         {"g", event.FailBudget, "unreachable (its memory of 4096 KiB is full: limits.memory)", "handle", 0},
		"no status":      {"s", event.FailProtocol, "handle returned 7, a status is 0, 1 or 2", "", 1},
		"trap after set": {"t", event.FailTrap, `the reason\n\x1b[31m\xff`, "handle", 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := patient
			if strings.Contains(test.text, "time limit") {
				m = strict
			}
			in := instance(t, m)
			fx := newMemory()
			began := time.Now()
			f := failure(t, in.Handle(t.Context(), newEvent(test.data), 1, fx), test.kind, test.text)
			if !strings.HasPrefix(f.Stack, test.stack) {
				t.Errorf("the stack is %q, want %q", f.Stack, test.stack)
			}
			// Invariant 3: Handle failed, so whoever owns fx throws away what it has seen.
			if fx.writes != test.sets {
				t.Errorf("%d writes were seen", fx.writes)
			}
			if !in.Spent() {
				t.Error("the instance is not spent")
			}
			if err := in.Handle(t.Context(), newEvent("x"), 1, fx); !errors.Is(err, plugin.ErrSpent) {
				t.Errorf("a spent instance answered %v", err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	in := start(t, "behave", plugin.EngineOptions{}, plugin.Spec{})
	for range 3 {
		failure(t, in.Handle(t.Context(), newEvent("1"), 1, newMemory()), event.FailRetry, "the reason")
		failure(t, in.Handle(t.Context(), newEvent("2"), 1, newMemory()), event.FailReject, "the handler rejected the event and gave no reason")
		fx := newMemory()
		if err := in.Handle(t.Context(), newEvent("x"), 1, fx); err != nil || string(fx.docs["docs\x00key"]) != "{}" || in.Spent() {
			t.Fatalf("got %v, documents %q", err, fx.docs)
		}
	}
}

func TestMemoryIsCapped(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	for _, limit := range []uint64{128 << 10, 200 << 10, 1 << 20, 32 << 20} {
		in := instance(t, load(t, e, "behave", plugin.Spec{Limits: plugin.Limits{Memory: limit, Time: time.Minute}}))
		if err := in.Handle(t.Context(), newEvent("k"), 1, newMemory()); err != nil {
			t.Fatal(err)
		}
		if want := int(limit >> 16 << 16); in.MemorySize() != want {
			t.Errorf("under a limit of %d it grew to %d, want %d", limit, in.MemorySize(), want)
		}
	}
}

func TestInboxGrows(t *testing.T) {
	t.Parallel()
	in := start(t, "behave", plugin.EngineOptions{}, plugin.Spec{Limits: plugin.Limits{Memory: 4 << 20}})
	for _, size := range []int{1, 100, 5_000, 70_000, 1 << 20, 100, 3 << 20} {
		fx := newMemory()
		if err := in.Handle(t.Context(), newEvent("x"+strings.Repeat("y", size)), 1, fx); err != nil || fx.writes != 1 {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
	failure(t, in.Handle(t.Context(), newEvent(strings.Repeat("y", 5<<20)), 1, newMemory()), event.FailBudget, "more than the module's memory may have")
	if in.Spent() {
		t.Error("an event that is too large spends the instance")
	}
	if err := in.Handle(t.Context(), newEvent("x"), 1, newMemory()); err != nil {
		t.Error(err)
	}
	failure(t, in.Handle(t.Context(), newEvent(strings.Repeat("y", 4<<20-60_000)), 1, newMemory()), event.FailProtocol, "outside its memory")
}

func TestCancelStopsASpinningGuest(t *testing.T) {
	t.Parallel()
	in := start(t, "behave", plugin.EngineOptions{}, plugin.Spec{Limits: plugin.Limits{Time: time.Hour}})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	err := in.Handle(ctx, newEvent("l"), 1, newMemory())
	var f *event.Failure
	if !errors.Is(err, context.Canceled) || errors.As(err, &f) || !in.Spent() {
		t.Errorf("got %v", err)
	}
	fresh := start(t, "behave", plugin.EngineOptions{}, plugin.Spec{})
	if err := fresh.Handle(ctx, newEvent("x"), 1, newMemory()); !errors.Is(err, context.Canceled) || fresh.Spent() {
		t.Errorf("before it began: got %v, spent %v", err, fresh.Spent())
	}
}

func TestCancelStopsAStart(t *testing.T) {
	t.Parallel()
	m := load(t, newEngine(t, plugin.EngineOptions{}), "start/init_loop", plugin.Spec{Limits: plugin.Limits{InitTime: time.Hour}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := m.NewInstance(ctx)
	var f *event.Failure
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &f) {
		t.Errorf("got %v", err)
	}
}

func TestTheHostsTroubleIsNoFailure(t *testing.T) {
	t.Parallel()
	m := load(t, newEngine(t, plugin.EngineOptions{}), "forward", plugin.Spec{})
	away := errors.New("the database is away")
	var none []error
	s := func() *script {
		return new(script).call(callGet, "c", "k", buffer{free, 10}).call(callSet, "c", "k", "1")
	}
	for name, get := range map[string]func(context.Context) error{
		"error": func(context.Context) error { return away },
		"panic": func(context.Context) error { panic(fmt.Sprint(away)) },
		"fault": func(context.Context) error { return none[len(none)] },
	} {
		t.Run(name, func(t *testing.T) {
			in := instance(t, m)
			fx := newMemory()
			fx.get = get
			err := in.Handle(t.Context(), s().event(0), 1, fx)
			var f *event.Failure
			if err == nil || errors.As(err, &f) || !in.Spent() || fx.writes != 0 {
				t.Errorf("got %v, spent %v, %d writes", err, in.Spent(), fx.writes)
			}
			if name == "error" && !errors.Is(err, away) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWaitingForTheDatabaseIsFree(t *testing.T) {
	t.Parallel()
	in := start(t, "busyread", plugin.EngineOptions{}, plugin.Spec{Limits: plugin.Limits{Time: 40 * time.Millisecond}})
	fx := newMemory()
	reads := 0
	fx.get = func(context.Context) error {
		reads++
		time.Sleep(10 * time.Millisecond) // the database
		return nil
	}
	if err := in.Handle(t.Context(), newEvent(""), 1, fx); err != nil || reads != 20 {
		t.Errorf("after %d reads: %v", reads, err)
	}
}

func TestFuelIsDeterministic(t *testing.T) {
	t.Parallel()
	want := int64(0)
	for _, slice := range []int64{0, 1_000, 77_777, 50_000_000} {
		in := start(t, "behave", plugin.EngineOptions{Slice: slice}, plugin.Spec{})
		for range 3 {
			if err := in.Handle(t.Context(), newEvent("w"), 1, newMemory()); err != nil {
				t.Fatal(err)
			}
			if want == 0 {
				want = in.FuelUsed()
			}
			if in.FuelUsed() != want || want < 1_000_000 {
				t.Fatalf("slices of %d: %d units were used, before it was %d", slice, in.FuelUsed(), want)
			}
		}
	}
	in := start(t, "behave", plugin.EngineOptions{}, plugin.Spec{})
	if err := in.Handle(t.Context(), newEvent("y"), 1, newMemory()); err != nil || in.FuelUsed() <= 0 || in.FuelUsed() > 1000 {
		t.Errorf("an event with nothing to do used %d units, %v", in.FuelUsed(), err)
	}
}

func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	m := load(t, e, "forward", plugin.Spec{Config: map[string]string{"k": "v"}})
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			in, err := m.NewInstance(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer in.Close(context.Background())
			for i := range 20 {
				fx := newMemory()
				value := fmt.Sprintf(`"%d.%d"`, g, i)
				s := new(script).call(callSet, "c", "k", value).call(callGet, "c", "k", buffer{free, 100}).call(callConfig, "k", buffer{free + 200, 10}).call(callFail, value)
				var f *event.Failure
				if err := in.Handle(t.Context(), s.event(1), 1, fx); !errors.As(err, &f) || f.Message != value || string(fx.docs["c\x00k"]) != value {
					t.Errorf("got %v and %q, want %s", err, fx.docs, value)
				}
			}
		})
	}
	wg.Wait()
}

func TestInterpreterFallback(t *testing.T) {
	t.Parallel()
	var l logs
	in := start(t, "behave", plugin.EngineOptions{Logger: l.logger()}.Interpreted(), plugin.Spec{Limits: plugin.Limits{Time: 50 * time.Millisecond}})
	if !strings.Contains(l.String(), "level=ERROR") || !strings.Contains(l.String(), "interpreted") {
		t.Errorf("logged %q", l.String())
	}
	fx := newMemory()
	if err := in.Handle(t.Context(), newEvent("x"), 1, fx); err != nil || fx.writes != 1 {
		t.Fatal(err)
	}
	failure(t, in.Handle(t.Context(), newEvent("l"), 1, fx), event.FailBudget, "time limit")
}
