package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// TestRetrySchedule has one event that never succeeds: it is tried at the right moments, then parked,
// and other keys do not wait.
func TestRetrySchedule(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var tries []string
		began := time.Now()
		h := handler(func(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
			if e.Position == 2 {
				tries = append(tries, fmt.Sprintf("%d at %v", attempt, time.Since(began)))
				if err := notes(ctx, e, fx); err != nil {
					return err
				}
				return failing(event.FailTrap)
			}
			return notes(ctx, e, fx)
		})
		w.append("a", "bad", "a", "bad", "b")
		o := Options{Attempts: 5, FirstBackoff: 100 * time.Millisecond, MaxBackoff: 300 * time.Millisecond, Lanes: 1}
		r, stop := w.start(h, o)
		rest(time.Millisecond)
		if w.document("notes", "a") != " 1 3" || w.document("notes", "b") != " 5" || w.store.position != 5 {
			t.Errorf("other keys wait: %q, %q at %d", w.document("notes", "a"), w.document("notes", "b"), w.store.position)
		}
		q, _ := w.sequence("bad")
		if q.State != store.Retrying || q.Position != 2 || q.Attempts != 1 || q.Kind != event.FailTrap || q.Error != "as told" ||
			q.Stack != "handle" || q.Digest != "digest" || q.Waiting != 2 || !q.NextAttempt.Equal(began.Add(100*time.Millisecond)) {
			t.Errorf("after one attempt: %+v", q)
		}
		if st := r.Status(); st.Retrying != 1 || st.Parked != 0 || st.Waiting != 2 || st.State != Running {
			t.Errorf("after one attempt: %+v", st)
		}
		rest(time.Hour)
		if want := "[1 at 0s 2 at 100ms 3 at 300ms 4 at 600ms 5 at 900ms]"; fmt.Sprint(tries) != want {
			t.Errorf("tried %v, want %s", tries, want)
		}
		if q, _ := w.sequence("bad"); q.State != store.Parked || q.Attempts != 5 || q.Waiting != 2 {
			t.Errorf("after the last attempt: %+v", q)
		}
		if st := r.Status(); st.Parked != 1 || st.Retrying != 0 || st.Failed != 5 || st.Handled != 4+4 {
			t.Errorf("after the last attempt: %+v", st)
		}
		w.append("bad", "a") // more of a parked key queues
		rest(time.Second)
		if q, _ := w.sequence("bad"); q.Waiting != 3 || w.document("notes", "bad") != "" || w.document("notes", "a") != " 1 3 7" {
			t.Errorf("behind a parked event: %+v, notes %q and %q", q, w.document("notes", "bad"), w.document("notes", "a"))
		}
		stop()

		// Parked survives a restart of the same module; another module tries at once, from attempt 1.
		n := len(tries)
		_, stop = w.start(h, o)
		rest(time.Hour)
		stop()
		if len(tries) != n {
			t.Errorf("a parked event was tried again: %v", tries[n:])
		}
		first := 0
		_, _ = w.start(otherModule{func(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
			if first == 0 {
				first = attempt
			}
			return notes(ctx, e, fx)
		}}, o)
		rest(time.Second)
		if got := w.document("notes", "bad"); got != " 2 4 6" || first != 1 || len(w.store.sequences) > 0 {
			t.Errorf("another module made %q, beginning with attempt %d; left are %v", got, first, w.store.sequences)
		}
	})
}

func TestRejectedEventIsParkedAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a")
		w.start(handler(func(context.Context, *event.Event, int, Effects) error { return failing(event.FailReject) }), Options{Attempts: 5})
		rest(time.Hour)
		if q, _ := w.sequence("a"); q.State != store.Parked || q.Attempts != 1 || len(w.commits()) != 1 {
			t.Errorf("a rejected event: %+v after %d commits", q, len(w.commits()))
		}
	})
}

// TestAttemptsGoOnAfterARestart stops the runner between two attempts.
func TestAttemptsGoOnAfterARestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var tries []int
		h := handler(func(_ context.Context, e *event.Event, attempt int, _ Effects) error {
			tries = append(tries, attempt)
			return failing(event.FailRetry)
		})
		o := Options{Attempts: 4, FirstBackoff: time.Minute, MaxBackoff: time.Minute}
		w.append("a")
		for range 6 {
			_, stop := w.start(h, o)
			rest(70 * time.Second)
			stop()
		}
		if q, _ := w.sequence("a"); !slices.Equal(tries, []int{1, 2, 3, 4}) || q.State != store.Parked {
			t.Errorf("attempts %v, then %+v", tries, q)
		}
	})
}

// TestClockThatWasAhead has a next attempt that another host's clock put far into the future.
func TestClockThatWasAhead(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		fail := true
		h := handler(func(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
			if fail {
				return failing(event.FailRetry)
			}
			return notes(ctx, e, fx)
		})
		w.append("a")
		_, stop := w.start(h, Options{MaxBackoff: time.Minute})
		rest(time.Millisecond)
		stop()
		fail = false
		q := w.store.sequences["a"]
		q.NextAttempt = time.Now().Add(1000 * time.Hour)
		w.store.sequences["a"] = q
		w.start(h, Options{MaxBackoff: time.Minute})
		rest(61 * time.Second)
		if w.document("notes", "a") != " 1" {
			t.Error("the sequence waits for the clock of another")
		}
	})
}

// TestLongSequence drains a long queue in order, in few steps, none of them large.
func TestLongSequence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var mended atomic.Bool
		h := handler(func(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
			if e.Position == 1 && !mended.Load() || e.Position == 3001 && attempt < 3 {
				return failing(event.FailRetry)
			}
			return notes(ctx, e, fx)
		})
		o := Options{FirstBackoff: time.Second, MaxBackoff: time.Second, Attempts: 100}
		w.append(slices.Repeat([]string{"a"}, 5000)...)
		_, stop := w.start(h, o)
		w.reaches(5000)
		stop() // what follows comes from the store
		mended.Store(true)
		before := len(w.commits())
		r, _ := w.start(h, o)
		rest(1500 * time.Millisecond)
		if q, _ := w.sequence("a"); q.Position != 3001 || q.Attempts == 0 {
			t.Errorf("half way: %+v", q)
		}
		if st := r.Status(); st.Waiting != 2000 {
			t.Errorf("half way: %+v", st)
		}
		w.append("a") // while it drains
		if !eventually(time.Minute, func() bool { _, ok := w.sequence("a"); return !ok }) {
			q, _ := w.sequence("a")
			t.Fatalf("it is not drained: %+v", q)
		}
		var want strings.Builder
		for i := range 5001 {
			fmt.Fprint(&want, " ", i+1)
		}
		if got := w.document("notes", "a"); got != want.String() {
			t.Errorf("the notes are out of order: %.100s…", got)
		}
		if n := len(w.commits()) - before; n > 25 {
			t.Errorf("%d commits to drain it", n)
		}
		for _, c := range w.commits()[before:] {
			if len(c.Dequeue) > retryPage {
				t.Errorf("%d events of a sequence in one commit", len(c.Dequeue))
			}
		}
		if st := r.Status(); st.Waiting != 0 || st.Retrying != 0 {
			t.Errorf("drained: %+v", st)
		}
	})
}

// TestRetriesAndTheFeedShareTheTime has a log that never ends and keys that always fail: both get on.
func TestRetriesAndTheFeedShareTheTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		retries := 0
		h := handler(func(_ context.Context, e *event.Event, attempt int, _ Effects) error {
			time.Sleep(time.Millisecond)
			if strings.HasPrefix(e.Stream, "bad") {
				if attempt > 1 {
					retries++
				}
				return failing(event.FailRetry)
			}
			return nil
		})
		for i := range 50 {
			w.append(fmt.Sprint("bad", i))
		}
		w.append(slices.Repeat([]string{"good"}, 5000)...)
		// Always due: there is a retry to do after every batch, and a batch after every retry.
		_, stop := w.start(h, Options{Attempts: 1 << 30, FirstBackoff: time.Nanosecond, MaxBackoff: time.Nanosecond, MaxBatch: 1, Lanes: 1})
		rest(3 * time.Second)
		stop()
		if w.store.position < 500 || retries < 500 {
			t.Errorf("in 3 s the checkpoint came to %d, and %d retries were made", w.store.position, retries)
		}
	})
}

// TestPauseAtMaxParked lets exactly as many events wait as may, says why it stands still, and goes on
// when there is room.
func TestPauseAtMaxParked(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var mended atomic.Bool
		h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			if e.Stream == "bad" && !mended.Load() {
				return failing(event.FailTrap)
			}
			return notes(ctx, e, fx)
		})
		for range 10 {
			w.append("a", "bad", "b", "c")
		}
		r, _ := w.start(h, Options{MaxParked: 3, FirstBackoff: time.Second, MaxBackoff: time.Second, Attempts: 1000})
		rest(30 * time.Second)
		st := r.Status()
		if w.store.position != 10 || st.State != Paused || st.Waiting != 3 || w.store.condition.State != store.Paused {
			t.Errorf("at %d with status %+v and condition %+v", w.store.position, st, w.store.condition)
		}
		for _, reason := range []string{st.Reason, w.store.condition.Reason} {
			wantIn(t, "the reason", reason, "3 events wait", "max_parked = 3", "event 2", `key "bad"`, "as told", "replace the module")
		}
		if w.document("notes", "a") != " 1 5 9" || w.document("notes", "b") != " 3 7" {
			t.Errorf("the notes are %q and %q", w.document("notes", "a"), w.document("notes", "b"))
		}
		mended.Store(true)
		w.reaches(40)
		rest(time.Second)
		if st := r.Status(); st.State != Running || st.Reason != "" || st.Waiting != 0 || w.store.condition.State != store.Running {
			t.Errorf("mended: status %+v, condition %+v", st, w.store.condition)
		}
		if got := w.document("notes", "bad"); got != " 2 6 10 14 18 22 26 30 34 38" {
			t.Errorf("the notes are %q", got)
		}
	})
}

// TestOrderByChanged puts waiting events under their new keys, so that nothing overtakes them.
func TestOrderByChanged(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var mended atomic.Bool
		var seen []event.Position
		h := handler(func(_ context.Context, e *event.Event, _ int, _ Effects) error {
			if !mended.Load() && e.Position == 1 {
				return failing(event.FailReject)
			}
			seen = append(seen, e.Position)
			return nil
		})
		tenants := func(tenants ...string) {
			for _, tenant := range tenants {
				w.log.append(event.Event{Stream: "s", ID: fmt.Sprint(w.log.head()), Metadata: fmt.Appendf(nil, `{"tenant":%q}`, tenant)})
			}
		}
		tenants("x", "x", "y", "x")
		_, stop := w.start(h, Options{}) // by stream: all wait behind the first
		w.reaches(4)
		stop()
		tenants("x", "y")
		r, stop := w.start(h, Options{Order: ByMetadata("tenant")})
		w.reaches(6)
		rest(time.Second)
		if q, _ := w.sequence("x"); q.State != store.Parked || q.Position != 1 || q.Waiting != 4 {
			t.Errorf("tenant x: %+v", q)
		}
		if fmt.Sprint(seen) != "[3 6]" || len(w.store.sequences) != 1 {
			t.Errorf("handled %v, sequences %+v", seen, w.store.sequences)
		}
		if st := r.Status(); st.Waiting != 4 || st.Parked != 1 {
			t.Errorf("the status is %+v", st)
		}
		stop()
		mended.Store(true)
		w.start(h, Options{Order: ByAll})
		rest(time.Second)
		if fmt.Sprint(seen) != "[3 6 1 2 4 5]" || len(w.store.sequences) != 0 {
			t.Errorf("handled %v, sequences %+v", seen, w.store.sequences)
		}
	})
}

// TestOrderByChangedBehindTheFirst has a failed event that keeps its key, and one behind it that does not.
func TestOrderByChangedBehindTheFirst(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var mended atomic.Bool
		var seen []event.Position
		h := handler(func(_ context.Context, e *event.Event, _ int, _ Effects) error {
			if !mended.Load() && e.Position == 1 {
				return failing(event.FailReject)
			}
			seen = append(seen, e.Position)
			return nil
		})
		w.append("s") // no tenant: ordered by its stream even then
		w.log.append(event.Event{Stream: "s", ID: "s-2", Metadata: []byte(`{"tenant":"a"}`)})
		_, stop := w.start(h, Options{})
		w.reaches(2)
		stop()
		w.log.append(event.Event{Stream: "other", ID: "o-3", Metadata: []byte(`{"tenant":"a"}`)})
		_, stop = w.start(h, Options{Order: ByMetadata("tenant")})
		w.reaches(3)
		rest(time.Second)
		stop()
		if fmt.Sprint(seen) != "[2 3]" {
			t.Errorf("handled %v: the third event has overtaken the second, which has its key now", seen)
		}
		if _, ok := w.sequence("s"); !ok || len(w.store.sequences) != 1 {
			t.Errorf("the sequences are %+v", w.store.sequences)
		}
	})
}

// TestRefusedDocument has a document that a constraint forbids: its event alone fails, whether the store
// names it or not, and no event that emits is blamed for it.
func TestRefusedDocument(t *testing.T) {
	for _, names := range []bool{true, false} {
		inWorld(t, func(t *testing.T, w *world) {
			w.store.names = names
			w.store.forbids = func(d event.DocumentWrite) bool { return d.Key == "bad" }
			h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
				if e.Stream == "emits" {
					if err := fx.Emit(event.Emitted{Stream: "echo", Type: "Echo", Data: []byte(e.ID)}); err != nil {
						return err
					}
				}
				return notes(ctx, e, fx)
			})
			for i := range 60 {
				w.append(fmt.Sprint("s", i%7))
			}
			w.append("emits", "bad", "s0")
			r, _ := w.start(h, Options{})
			w.reaches(63)
			rest(time.Minute)
			q, _ := w.sequence("bad")
			if q.State != store.Parked || q.Kind != event.FailReject || q.Position != 62 {
				t.Errorf("names=%v: %+v", names, q)
			}
			wantIn(t, "the error", q.Error, "is forbidden")
			if st := r.Status(); st.State != Running || st.Parked != 1 || w.document("notes", "emits") == "" {
				t.Errorf("names=%v: the status is %+v", names, st)
			}
		})
	}
}

// TestRefusedEmission has events that emit what no store would keep: they alone fail.
func TestRefusedEmission(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.log.types["typed"] = "of another kind"
		h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			stream := "echo"
			if strings.HasPrefix(e.Stream, "bad") {
				stream = "typed"
			}
			if e.Type == "T" {
				if err := fx.Emit(event.Emitted{Stream: stream, Type: "Echo", Data: []byte(e.ID)}); err != nil {
					return err
				}
			}
			return notes(ctx, e, fx)
		})
		for i := range 300 {
			w.append(fmt.Sprint("s", i%7))
			if i%100 == 50 {
				w.append(fmt.Sprint("bad", i))
			}
		}
		r, _ := w.start(h, Options{})
		w.reaches(303)
		rest(time.Minute)
		for _, key := range []string{"bad50", "bad150", "bad250"} {
			q, _ := w.sequence(key)
			if q.State != store.Parked || q.Kind != event.FailReject || q.Attempts != 1 {
				t.Errorf("%s: %+v", key, q)
			}
			wantIn(t, "the error", q.Error, "the store refuses what it does", "stream_type")
		}
		if st := r.Status(); st.State != Running || st.Parked != 3 || w.log.head() != 303+300 {
			t.Errorf("the status is %+v, the log ends at %d", st, w.log.head())
		}
		for i := range 7 {
			if got := len(strings.Fields(w.document("notes", fmt.Sprint("s", i)))); got < 42 || got > 43 {
				t.Errorf("stream s%d was handled %d times", i, got)
			}
		}
	})
}

// TestEmissionThatIsStoredDifferently is a rebuild whose module emits something else for the same event.
func TestEmissionThatIsStoredDifferently(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "b", "c")
		w.log.append(event.Event{Stream: "echo", ID: emittedID(w.log.at(2).ID, 0), Type: "Echo", Data: []byte("as an older module made it")})
		h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			if e.Type != "T" {
				return nil
			}
			if err := fx.Emit(event.Emitted{Stream: "echo", Type: "Echo", Data: []byte("new")}); err != nil {
				return err
			}
			return notes(ctx, e, fx)
		})
		w.start(h, Options{})
		w.reaches(6)
		if q, _ := w.sequence("b"); q.State != store.Parked || q.Position != 2 {
			t.Errorf("the sequence is %+v", q)
		}
		if w.document("notes", "a") != " 1" || w.document("notes", "b") != "" || w.document("notes", "c") != " 3" {
			t.Errorf("the notes are %q, %q and %q", w.document("notes", "a"), w.document("notes", "b"), w.document("notes", "c"))
		}
	})
}

// TestRefusalWithoutACause is a store that refuses commits for no reason that handling could change: it
// is asked again at the pace of any other trouble.
func TestRefusalWithoutACause(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "a", "a", "b")
		state := refusingState{w.store}
		r := NewRunner(state, &fakeFeed{log: w.log}, handler(noting), Options{Plugin: "p", HostID: "me"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			time.Sleep(59 * time.Second)
			if st := r.Status(); st.State != BackingOff || !strings.Contains(st.Reason, "out of spite") {
				t.Errorf("the status is %+v", st)
			}
		}()
		if err := r.Run(ctx); err != nil {
			t.Errorf("it ended with %v", err)
		}
		if n := w.store.calls["Acquire"]; n > 30 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

type refusingState struct{ *fakeStore }

func (refusingState) Commit(context.Context, store.Commit) error {
	return &store.InvalidError{Field: "documents", Reason: "refused out of spite"}
}
