package delivery

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// crashing is a module that crashes on some events, counts how often, and notes the others.
func crashing(calls *atomic.Int64, on func(e *event.Event) bool) handler {
	return func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
		if on(e) {
			calls.Add(1)
			return failing(event.FailTrap)
		}
		return notes(ctx, e, fx)
	}
}

func always(*event.Event) bool { return true }

// TestCrashLoop has a module that crashes on every event: it is tried ever less, and nothing of that stays.
func TestCrashLoop(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 2000 {
			w.append(fmt.Sprint("s", i))
		}
		var calls atomic.Int64
		r, stop := w.start(crashing(&calls, always), Options{})
		rest(10 * time.Second)
		for range 3 {
			st := r.Status()
			if st.State != Quarantined || w.condition().State != store.Quarantined {
				t.Fatalf("the status is %+v, the condition %+v", st, w.condition())
			}
			for _, reason := range []string{st.Reason, w.condition().Reason} {
				wantIn(t, "the reason", reason, "crashed on each of the last", "trap: as told", "replace the module", "nothing was skipped")
			}
			rest(10 * time.Minute)
		}
		if w.position() != 0 || len(w.store.sequences) > 0 || len(w.commits()) > 0 {
			t.Errorf("the checkpoint is at %d, the sequences are %v", w.position(), w.store.sequences)
		}
		before := calls.Load()
		rest(time.Hour)
		if tries := (calls.Load() - before) / probeEvents; tries < 6 || tries > 13 {
			t.Errorf("%d tries in an hour", tries)
		}
		stop()
		w.start(otherModule{noting}, Options{})
		w.reaches(2000)
		if w.condition().State != store.Running || w.document("notes", "s7") != " 8" {
			t.Errorf("with another module the condition is %+v, the document %q", w.condition(), w.document("notes", "s7"))
		}
	})
}

// TestFewCrashesAreEvents crashes on too few events to suspect the module: they are retried and parked.
func TestFewCrashesAreEvents(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "b", "c", "d", "a")
		var calls atomic.Int64
		r, _ := w.start(crashing(&calls, always), Options{})
		w.reaches(5)
		rest(time.Hour)
		if st := r.Status(); st.State != Running || st.Parked != 4 || st.Waiting != 5 || calls.Load() != 4*5 {
			t.Fatalf("%d calls, the status is %+v", calls.Load(), st)
		}
		w.append("e") // the fifth
		rest(time.Minute)
		if st := r.Status(); st.State != Quarantined || w.position() != 5 || st.Parked != 4 {
			t.Errorf("the status is %+v", st)
		}
	})
}

// TestQuarantineEnds has a run of bad events of as many keys at the front: the good ones behind them get on.
func TestQuarantineEnds(t *testing.T) {
	for _, bad := range []int{4, 5, 60, 250, 300, 900} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				for i := range bad {
					w.append(fmt.Sprint("bad", i))
				}
				w.append("good")
				var calls atomic.Int64
				r, _ := w.start(crashing(&calls, func(e *event.Event) bool { return e.Stream != "good" }), Options{})
				w.reaches(event.Position(bad + 1))
				rest(time.Minute)
				st := r.Status()
				if st.State != Running || st.Parked != bad || w.condition().State != store.Running || w.document("notes", "good") == "" {
					t.Errorf("the status is %+v, the condition %+v", st, w.condition())
				}
			})
		})
	}
}

// TestProvenModule has a module that worked before: a long run of bad events is parked, a longer one is not.
func TestProvenModule(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("good")
		var calls atomic.Int64
		var broken sync.Map
		r, _ := w.start(crashing(&calls, func(e *event.Event) bool { _, bad := broken.Load(e.Stream); return bad }), Options{})
		w.reaches(1)
		for i := range crashesProven - 1 {
			broken.Store(fmt.Sprint("bad", i), true)
			w.append(fmt.Sprint("bad", i))
		}
		w.reaches(crashesProven)
		rest(time.Hour)
		if st := r.Status(); st.State != Running || st.Parked != crashesProven-1 {
			t.Fatalf("the status is %+v", st)
		}
		broken.Store("last", true)
		w.append("last")
		rest(time.Second / 2)
		if st := r.Status(); st.State != Quarantined || w.position() != crashesProven {
			t.Fatalf("the status is %+v", st)
		}
		broken.Delete("last") // by itself, as what depends on a document may
		w.reaches(crashesProven + 1)
		if st := r.Status(); st.State != Running || st.Reason != "" {
			t.Errorf("the status is %+v", st)
		}
	})
}

// TestRefusalsAreNoCrashes refuses everything: that is for people to look at, event by event.
func TestRefusalsAreNoCrashes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 50 {
			w.append(fmt.Sprint("s", i))
		}
		r, _ := w.start(handler(func(context.Context, *event.Event, int, Effects) error { return failing(event.FailReject) }), Options{})
		w.reaches(50)
		if st := r.Status(); st.State != Running || st.Parked != 50 {
			t.Errorf("the status is %+v", st)
		}
	})
}

// TestReplacedRunner ends a runner in favour of another one of the same host: nobody else gets the lease between.
func TestReplacedRunner(t *testing.T) {
	for _, crashes := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			for i := range 10 {
				w.append(fmt.Sprint("s", i))
			}
			var calls atomic.Int64
			r := NewRunner(w.store, &fakeFeed{log: w.log}, crashing(&calls, func(*event.Event) bool { return crashes }), Options{Plugin: "p", Generation: 1, HostID: "me"})
			ctx, replace := context.WithCancelCause(t.Context())
			ended := make(chan error)
			go func() { ended <- r.Run(ctx) }()
			rest(time.Minute)
			replace(ErrReplaced)
			if err := <-ended; err != nil {
				t.Errorf("it ended with %v", err)
			}
			synctest.Wait()
			if w.store.owner != "me" {
				t.Errorf("the lease is %q's", w.store.owner)
			}
			w.start(otherModule{noting}, Options{})
			w.reaches(10)
		})
	}
}
