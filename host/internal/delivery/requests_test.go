package delivery

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// ask asks and hands the request over, as a host does, until it is answered.
func (w *world) ask(r *Runner, req store.Request) store.Request {
	w.t.Helper()
	req.Who, req.Why = "ada", "because"
	id := w.store.ask(req)
	answered := func() bool {
		for _, p := range w.store.pending() {
			r.Do(p)
		}
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		return w.store.requests[id-1].State != store.Pending
	}
	if !eventually(time.Minute, answered) {
		w.t.Fatalf("nobody answers %+v", req)
	}
	rest(0)
	return w.store.requests[id-1]
}

func wantAnswer(t *testing.T, r store.Request, state store.RequestState, parts ...string) {
	t.Helper()
	if r.State != state {
		t.Errorf("%s is %s: %s", r.Action, r.State, r.Answer)
	}
	wantIn(t, "the answer to "+string(r.Action), r.Answer, parts...)
}

// picky refuses the events at some positions until told otherwise, and notes the others with their data.
type picky struct {
	bad   map[event.Position]bool
	calls atomic.Int64
}

func (p *picky) handle(ctx context.Context, e *event.Event, _ int, fx Effects) error {
	p.calls.Add(1)
	if p.bad[e.Position] && len(e.Data) == 0 {
		return failing(event.FailReject)
	}
	old, _, err := fx.Get(ctx, []byte("notes"), []byte(e.Stream))
	if err != nil {
		return err
	}
	return fx.Set([]byte("notes"), []byte(e.Stream), fmt.Appendf(nil, "%s %d%s", old, e.Position, e.Data))
}

// TestAskRetry parks a sequence: it stays parked until somebody asks, and goes on in order when what was wrong is mended.
func TestAskRetry(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "b", "a", "b", "a")
		m := &picky{bad: map[event.Position]bool{1: true, 2: true}}
		r, _ := w.start(handler(m.handle), Options{})
		w.reaches(5)
		rest(time.Hour)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskRetry, Key: "a", Position: 1}), store.Done, "event 1 is tried again at once")
		rest(time.Second)
		if q, _ := w.sequence("a"); q.State != store.Parked || q.Attempts != 1 || q.Waiting != 3 {
			t.Errorf("it is tried once more and refused again, but is %+v", q)
		}
		m.bad = nil
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskRetry}), store.Done, "2 failed events are tried again at once")
		rest(time.Second)
		if a, b := w.document("notes", "a"), w.document("notes", "b"); a != " 1 3 5" || b != " 2 4" || len(w.store.sequences) > 0 {
			t.Errorf("the documents are %q and %q, the sequences %v", a, b, w.store.sequences)
		}
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskRetry, Key: "a", Position: 1}), store.Refused, `no event of key "a" waits`)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskRetry}), store.Done, "no event waits")
	})
}

// TestAskRetryCountsAnew has an event fail for a while: its attempts begin anew when somebody asks.
func TestAskRetryCountsAnew(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a")
		var attempts []int
		m := handler(func(_ context.Context, _ *event.Event, attempt int, _ Effects) error {
			attempts = append(attempts, attempt)
			return failing(event.FailRetry)
		})
		r, _ := w.start(m, Options{Attempts: 2, FirstBackoff: time.Second})
		rest(time.Hour)
		w.ask(r, store.Request{Action: store.AskRetry, Key: "a", Position: 1})
		rest(time.Hour)
		if got := fmt.Sprint(attempts); got != "[1 2 1 2]" {
			t.Errorf("the attempts are %s", got)
		}
		if q, _ := w.sequence("a"); q.State != store.Parked || q.Attempts != 2 {
			t.Errorf("the sequence is %+v", q)
		}
	})
}

// TestAskSkip drops one event and no other, however late or often the same is asked.
func TestAskSkip(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "a", "a", "a")
		m := &picky{bad: map[event.Position]bool{1: true, 3: true}}
		r, _ := w.start(handler(m.handle), Options{})
		w.reaches(4)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskSkip, Key: "a", Position: 2}), store.Refused, `failed event of key "a" is 1`)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskSkip, Key: "b", Position: 1}), store.Refused, `key "b"`)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskSkip, Key: "a", Position: 1}), store.Done, "skipped event 1; event 2")
		rest(time.Second)
		if q, _ := w.sequence("a"); q.Position != 3 || q.State != store.Parked || q.Waiting != 2 || w.document("notes", "a") != " 2" {
			t.Errorf("the sequence is %+v, the document %q", q, w.document("notes", "a"))
		}
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskSkip, Key: "a", Position: 1}), store.Refused, "is 3 by now")
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskSkip, Key: "a", Position: 3}), store.Done, "skipped event 3; event 4")
		rest(time.Second)
		w.append("a")
		m.bad[6] = true
		w.append("a")
		w.reaches(6)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskSkip, Key: "a", Position: 6}), store.Done, "no other one")
		w.append("a")
		w.reaches(7)
		if got := w.document("notes", "a"); got != " 2 4 5 7" || len(w.store.sequences) > 0 || r.Status().Waiting != 0 {
			t.Errorf("the document is %q, the status %+v", got, r.Status())
		}
	})
}

// TestAskSkipOnlyWhatFailed has the second of two events wait for its turn while the module is slow.
func TestAskSkipOnlyWhatFailed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "a", "a")
		m := &picky{bad: map[event.Position]bool{1: true}}
		r, _ := w.start(handler(m.handle), Options{})
		w.reaches(3)
		w.ask(r, store.Request{Action: store.AskPause})
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskSkip, Key: "a", Position: 1}), store.Done, "event 2 of its key is next, once the plugin is resumed")
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskSkip, Key: "a", Position: 2}), store.Refused, "event 2 has not failed")
		w.ask(r, store.Request{Action: store.AskResume})
		rest(time.Second)
		if got := w.document("notes", "a"); got != " 2 3" {
			t.Errorf("the document is %q", got)
		}
	})
}

// TestAskEdit replaces an event's data: the module gets the other data now and whenever it gets the event again.
func TestAskEdit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "a", "b")
		m := &picky{bad: map[event.Position]bool{1: true}}
		r, stop := w.start(handler(m.handle), Options{})
		w.reaches(3)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskEdit, Key: "a", Position: 1, Data: []byte("{")}), store.Refused, "no JSON")
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskEdit, Key: "a", Position: 2, Data: []byte("1")}), store.Refused, "is 1 by now")
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskEdit, Key: "a", Position: 1, Data: []byte(`"x"`)}), store.Done, "event 1 has other data")
		rest(time.Second)
		if got := w.document("notes", "a"); got != ` 1"x" 2` {
			t.Errorf("the document is %q", got)
		}
		if e := w.log.at(1); len(e.Data) != 0 {
			t.Errorf("the log's event was changed: %q", e.Data)
		}
		if e := w.store.edits[1]; e.Who != "ada" || e.Why != "because" || e.Plugin != "p" {
			t.Errorf("the replacement is %+v", e)
		}
		stop()
		// A rebuild begins with the first event.
		w.store.mu.Lock()
		w.store.position, w.store.docs = 0, map[string]event.DocumentWrite{}
		w.store.mu.Unlock()
		w.start(handler(m.handle), Options{})
		w.reaches(3)
		if got := w.document("notes", "a"); got != ` 1"x" 2` {
			t.Errorf("after a rebuild the document is %q", got)
		}
	})
}

// TestPause has somebody pause a plugin: nothing moves, in this runner and the next, until somebody resumes it.
func TestPause(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "b")
		var calls atomic.Int64
		broken := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			calls.Add(1)
			if e.Stream == "a" {
				return failing(event.FailRetry)
			}
			return notes(ctx, e, fx)
		})
		r, stop := w.start(broken, Options{Attempts: 1000})
		w.reaches(2)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskPause}), store.Done, "paused at position 2")
		rest(time.Minute)
		before := calls.Load()
		w.append("a", "b")
		check := func(r *Runner) {
			t.Helper()
			rest(time.Hour)
			if st := r.Status(); st.State != Paused || w.position() != 2 || w.condition().State != store.Paused {
				t.Errorf("at %d the status is %+v, the condition %+v", w.position(), st, w.condition())
			}
			wantIn(t, "the reason", r.Status().Reason, "paused by ada: because", "eshost resume p")
			wantIn(t, "the condition", w.condition().Reason, "paused by ada: because", "eshost resume p")
			if n := calls.Load(); n != before {
				t.Errorf("%d events were handled in a pause", n-before)
			}
		}
		check(r)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskPause}), store.Done, "it was paused by ada: because already")
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskRetry}), store.Done, "once the plugin is resumed; it is paused by ada")
		check(r)
		stop()
		r, _ = w.start(otherModule{noting}, Options{HostID: "another"})
		check(r)
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskResume}), store.Done, "goes on from position 2")
		w.reaches(4)
		rest(time.Second)
		if st := r.Status(); st.State != Running || st.Reason != "" || w.condition().State != store.Running {
			t.Errorf("the status is %+v, the condition %+v", st, w.condition())
		}
		if a, b := w.document("notes", "a"), w.document("notes", "b"); a != " 1 3" || b != " 2 4" {
			t.Errorf("the documents are %q and %q", a, b)
		}
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskResume}), store.Done, "nobody had paused it")
	})
}

// TestPauseOfAFullPlugin pauses one that stands still already: each reason is told in its time.
func TestPauseOfAFullPlugin(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "a", "a", "b")
		m := &picky{bad: map[event.Position]bool{1: true}}
		r, _ := w.start(handler(m.handle), Options{MaxParked: 2})
		rest(time.Second)
		for _, step := range []struct {
			do     store.Request
			state  RunnerState
			reason string
		}{
			{store.Request{Action: store.AskPause}, Paused, "paused by ada"},
			{store.Request{Action: store.AskResume}, Paused, "2 events wait behind failed ones"},
			{store.Request{Action: store.AskSkip, Key: "a", Position: 1}, Running, ""},
		} {
			w.ask(r, step.do)
			rest(time.Second)
			if st := r.Status(); st.State != step.state || !strings.HasPrefix(st.Reason, step.reason) || w.condition().Reason != st.Reason {
				t.Errorf("after %s the status is %+v, the condition %+v", step.do.Action, st, w.condition())
			}
		}
		w.reaches(4)
		if got := w.document("notes", "a"); got != " 2 3" {
			t.Errorf("the document is %q", got)
		}
	})
}

// TestAskInQuarantine asks a plugin whose module does nothing but crash: all is answered at once, and a retry tries the module.
func TestAskInQuarantine(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "a", "b", "b")
		var calls atomic.Int64
		var mended atomic.Bool
		r, _ := w.start(crashing(&calls, func(e *event.Event) bool { return !mended.Load() }), Options{Attempts: 1})
		w.reaches(4)
		w.append("c", "d", "e", "f", "g", "h")
		rest(3 * time.Hour)
		if st := r.Status(); st.State != Quarantined || st.Parked != 2 {
			t.Fatalf("the status is %+v", st)
		}
		began := time.Now()
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskSkip, Key: "a", Position: 1}), store.Done, "skipped event 1", "quarantined")
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskEdit, Key: "b", Position: 3, Data: []byte("1")}), store.Done, "quarantined")
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskPause}), store.Done, "paused at position 4")
		if st := r.Status(); st.State != Paused || time.Since(began) > 5*time.Second {
			t.Errorf("after %s the status is %+v", time.Since(began), st)
		}
		before := calls.Load()
		rest(time.Hour)
		if n := calls.Load(); n != before {
			t.Errorf("%d events were tried in a pause", n-before)
		}
		w.ask(r, store.Request{Action: store.AskResume})
		rest(time.Second)
		if st := r.Status(); st.State != Quarantined {
			t.Errorf("the status is %+v", st)
		}
		mended.Store(true)
		began = time.Now()
		wantAnswer(t, w.ask(r, store.Request{Action: store.AskRetry}), store.Done, "quarantined")
		w.reaches(10)
		if st := r.Status(); st.State != Running || st.Parked != 0 || time.Since(began) > 5*time.Second {
			t.Errorf("after %s the status is %+v", time.Since(began), st)
		}
	})
}

// TestAskOnce loses the answer of the commit that carries a skip out: the same request does nothing more.
func TestAskOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "a", "a")
		m := &picky{bad: map[event.Position]bool{1: true, 2: true}}
		r, _ := w.start(handler(m.handle), Options{})
		w.reaches(3)
		lost := false
		w.store.mu.Lock()
		w.store.fault = func(call string) fault {
			if call != "Commit" || lost {
				return fault{}
			}
			lost = true
			return fault{kind: failsAfter}
		}
		w.store.mu.Unlock()
		req := store.Request{Action: store.AskSkip, Key: "a", Position: 1}
		wantAnswer(t, w.ask(r, req), store.Done, "skipped event 1")
		rest(time.Minute)
		stale := w.store.requests[0]
		stale.State = store.Pending
		r.Do(stale) // a host that read it before it was answered
		rest(time.Minute)
		if q, _ := w.sequence("a"); q.Position != 2 || q.Waiting != 2 || !lost || r.Status().State != Running {
			t.Errorf("the sequence is %+v, the status %+v", q, r.Status())
		}
		if _, ok := r.nextRequest(); ok {
			t.Error("the request is kept")
		}
	})
}

// TestAskElsewhere hands a request to a runner that does not own the plugin: it leaves it to the owner.
func TestAskElsewhere(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a")
		m := &picky{bad: map[event.Position]bool{1: true}}
		owner, _ := w.start(handler(m.handle), Options{HostID: "owner"})
		w.reaches(1)
		other, _ := w.start(handler(m.handle), Options{HostID: "other"})
		rest(time.Second)
		w.store.ask(store.Request{Action: store.AskSkip, Key: "a", Position: 1})
		other.Do(w.store.pending()[0])
		rest(time.Minute)
		if len(w.store.pending()) != 1 {
			t.Error("somebody has answered")
		}
		owner.Do(w.store.pending()[0])
		rest(time.Second)
		if len(w.store.pending()) != 0 || len(w.store.sequences) != 0 {
			t.Error("the owner has not answered")
		}
	})
}
