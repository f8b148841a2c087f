package delivery

import (
	"sync/atomic"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// TestRemark has the store say something about the plugin as a whole, whatever its runner does.
func TestRemark(t *testing.T) {
	const remark = "waiting for something"
	for name, c := range map[string]struct {
		on    func(e *event.Event) bool // that the module crashes
		o     Options
		fails string // a call of the store
		state RunnerState
		says  string
	}{
		"running":     {state: Running, on: func(*event.Event) bool { return false }},
		"paused":      {state: Paused, on: always, o: Options{Attempts: 1, MaxParked: 1}, says: "max_parked = 1"},
		"quarantined": {state: Quarantined, on: always, says: "crashed on each"},
		"backing off": {state: BackingOff, on: func(*event.Event) bool { return false }, fails: "Commit", says: errFake.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.store.remarks = true
				var calls atomic.Int64
				r, _ := w.start(crashing(&calls, c.on), c.o)
				w.append("a", "b", "c", "d", "e")
				rest(time.Hour)
				if c.fails != "" {
					stop := w.failCalls(c.fails)
					defer stop()
					w.append("f")
					rest(time.Hour)
				}
				before, tried := w.condition(), calls.Load()
				for _, text := range []string{remark, remark, ""} {
					r.Remark(text)
					rest(time.Millisecond)
					if st := r.Status(); st.State != c.state || st.Reason != before.Reason {
						t.Errorf("with the remark %q the status is %+v", text, st)
					}
					want := before
					if want.Reason != "" && text != "" {
						want.Reason += "; "
					}
					want.Reason += text
					if now := w.condition(); now != want || string(c.state) != string(want.State) {
						t.Errorf("with the remark %q the store says %+v, must say %+v", text, now, want)
					}
					wantIn(t, "the reason", w.condition().Reason, c.says)
				}
				if n := calls.Load(); n != tried {
					t.Errorf("a remark has the module tried %d times", n-tried)
				}
			})
		})
	}
}

// TestRemarkStays has runners come and go: what is to be said is said by each, and not by the next one that is told nothing.
func TestRemarkStays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.store.remarks = true
		r, stop := w.start(handler(noting), Options{})
		r.Remark("waiting")
		w.append("a")
		w.reaches(1)
		if c := w.condition(); c.State != store.Running || c.Reason != "waiting" {
			t.Errorf("the store says %+v", c)
		}
		stop()
		w.start(handler(noting), Options{})
		w.append("a")
		w.reaches(2)
		if c := w.condition(); c.State != store.Running || c.Reason != "" {
			t.Errorf("with the next runner the store says %+v", c)
		}
	})
}
