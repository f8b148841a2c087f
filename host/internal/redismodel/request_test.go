package redismodel_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/redismodel"
	"eshost/host/store"
)

// cutState is a database whose connection is cut before or after a commit beside the script, as often as it says.
type cutState struct {
	redismodel.State
	mu            sync.Mutex
	before, after int
}

func (s *cutState) Commit(ctx context.Context, c store.Commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before > 0 {
		s.before--
		return errors.New("cut before")
	}
	err := s.State.Commit(ctx, c)
	if s.after > 0 {
		s.after--
		return errors.New("cut after")
	}
	return err
}

// slowState is a database whose answer to Acquire is late.
type slowState struct {
	redismodel.State
	meanwhile func()
}

func (s slowState) Acquire(ctx context.Context, generation int64, hostID string) (store.Lease, error) {
	l, err := s.State.Acquire(ctx, generation, hostID)
	s.meanwhile()
	return l, err
}

// TestALateOwnerTakesNothing has a host stand still between taking the lease and opening the read model, until another one
// has both.
func TestALateOwnerTakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(3)
	next := w.model(w.options())
	var l store.Lease
	late := slowState{w.store, func() {
		check(t, w.store.RemoveHost(t.Context(), "h1"))
		w.register("h1")
		l = w.acquire(next, "h2")
		check(t, next.Commit(t.Context(), w.commit(l, set("c", "k", "1"))))
		l.Position++
	}}
	_, err := redismodel.New(late, w.store, w.redis.db, w.options()).Acquire(t.Context(), w.gen.ID, "h1")
	wantError(t, err, store.ErrLeaseLost)
	check(t, next.Commit(t.Context(), w.commit(l, set("c", "k", "2"))))
}

// TestALateResetTakesNothing gives a read model up under leases that are the newest, or are not any more, and under another
// database's.
func TestALateResetTakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(3)
	late, next := w.model(w.options()), w.model(w.options())
	stale := w.acquire(late, "h1")
	check(t, w.store.RemoveHost(t.Context(), "h1"))
	w.register("h1")
	l := w.acquire(next, "h2")
	check(t, next.Commit(t.Context(), w.commit(l, set("c", "k", "1"))))
	l.Position++
	before := w.dump()
	wantError(t, late.Reset(t.Context(), stale.Epoch), store.ErrLeaseLost)
	o := w.options()
	o.Database = "another"
	wantError(t, w.model(o).Reset(t.Context(), l.Epoch+1), redismodel.ErrForeign)
	if w.dump() != before {
		t.Error("it changed something")
	}
	check(t, next.Commit(t.Context(), w.commit(l, set("c", "k", "2"))))
	check(t, next.Reset(t.Context(), l.Epoch))
	_, err := next.Documents(t.Context(), 0, []store.DocumentKey{{Collection: "c", Key: "k"}})
	wantError(t, err, redismodel.ErrGone)
	check(t, next.Reset(t.Context(), l.Epoch)) // there is none
	check(t, w.redis.db.Set(t.Context(), "eshost:{p}:meta", "nonsense", 0).Err())
	check(t, next.Reset(t.Context(), l.Epoch))
	w.acquire(next, "h2")
}

func (s *cutState) cut(before, after int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

// TestRequests skips, edits, retries, pauses and resumes while the database is cut off in the middle of each: each is
// carried out once, and answered with what was done.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	state := &cutState{State: w.store}
	mended := &sync.Map{}
	m := redismodel.New(state, w.store, w.redis.client(w.options().Timeout), w.options())
	r, _ := w.run(m, "h1", handler{mended})
	w.append("a", "fail")   // e1, to be skipped
	w.append("a", "+c/a")   // e2
	w.append("b", "fail")   // e3, to be edited
	w.append("b", "+c/b")   // e4
	w.append("d", "fail")   // e5, to be retried
	w.append("d", "+c/d")   // e6
	w.append("x", "+c/all") // e7
	w.documents(w.head())
	ask := func(q store.Request) {
		t.Helper()
		q.Plugin, q.Who, q.Why = "p", "me", "test"
		id, err := w.store.Ask(t.Context(), q)
		check(t, err)
		q.ID = id
		eventually(t, "the request is answered", func() bool {
			r.Do(q)
			got, err := w.store.Request(t.Context(), id)
			check(t, err)
			if got.State == store.Refused {
				t.Fatalf("%s was refused: %s", q.Action, got.Answer)
			}
			return got.State == store.Done
		})
	}
	mended.Store("e5", true)
	reader := w.reader()
	cuts := []struct{ before, after int }{{0, 0}, {1, 0}, {0, 1}, {2, 0}, {0, 2}, {1, 1}}
	w.append("y1", "fail")
	for i, cut := range cuts {
		key := string(rune('f' + i))
		w.append(key, "fail")
		failed := w.head()
		w.append(key, "+c/after-"+key)
		w.documents(w.head())
		state.cut(cut.before, cut.after)
		ask(store.Request{Action: store.AskSkip, Key: key, Position: failed})
		state.cut(cut.before, cut.after)
		ask(store.Request{Action: store.AskPause})
		state.cut(cut.before, cut.after)
		ask(store.Request{Action: store.AskResume})
		eventually(t, "the key goes on", func() bool {
			_, err := reader.FindSequence(t.Context(), 0, key)
			return errors.Is(err, store.ErrNotFound)
		})
	}
	state.cut(1, 1)
	ask(store.Request{Action: store.AskSkip, Key: "a", Position: 1})
	state.cut(0, 2)
	ask(store.Request{Action: store.AskEdit, Key: "b", Position: 3, Data: []byte("+c/edited")})
	state.cut(1, 0)
	ask(store.Request{Action: store.AskRetry, Key: "d", Position: 5})
	want := map[string]string{"c/a": `["e2"]`, "c/b": `["e4"]`, "c/edited": `["e3"]`, "c/d": `["e6"]`, "c/all": `["e7"]`}
	for i := range cuts {
		key := string(rune('f' + i))
		b, err := w.store.Read(t.Context(), store.ReadOptions{UpTo: w.head(), Stream: key, Limit: 2})
		check(t, err)
		want["c/after-"+key] = `["` + b.Events[1].ID + `"]`
	}
	eventually(t, "all have gone on", func() bool {
		q, err := m.Sequences(t.Context(), 0)
		return err == nil && len(q) == 1 && q[0].Key == "y1"
	})
	compare(t, w.documents(w.head()), want)
	if left := w.redis.db.HLen(t.Context(), "eshost:{p}:answers").Val(); left > 0 {
		t.Errorf("%d answers are left", left)
	}
}

// TestParkedSequencesAreFound lists what waits as people see it.
func TestParkedSequencesAreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, s := range []string{"a", "a/b", "a", "b", "a"} {
		w.append(s, "fail")
	}
	w.run(w.model(w.options()), "h1", handler{&sync.Map{}})
	w.documents(w.head())
	r := w.reader()
	q, err := r.SequenceWith(t.Context(), 0, 3)
	if err != nil || q.Key != "a" || q.Position != 1 || q.Waiting != 3 || q.State != store.Parked || q.Error != "told to" || q.Since.IsZero() {
		t.Errorf("event 3 waits in %+v (%v)", q, err)
	}
	_, err = r.SequenceWith(t.Context(), 0, 6)
	wantError(t, err, store.ErrNotFound)
	_, err = r.FindSequence(t.Context(), 0, "c")
	wantError(t, err, store.ErrNotFound)
	list, err := r.ListSequences(t.Context(), 0, store.SequenceOptions{After: 1, Limit: 1})
	if err != nil || len(list) != 1 || list[0].Key != "a/b" {
		t.Errorf("after 1 comes %+v (%v)", list, err)
	}
	list, err = r.ListSequences(t.Context(), 0, store.SequenceOptions{State: store.Retrying, Limit: 9})
	if err != nil || len(list) != 0 {
		t.Errorf("%+v are retried (%v)", list, err)
	}
	events, err := r.Queued(t.Context(), 0, "a", 2)
	if err != nil || len(events) != 2 || events[0].Position != 1 || events[1].Position != 3 {
		t.Errorf("in a wait %+v (%v)", events, err)
	}
}

// TestItIsDeliverysState holds the shape of the two to one another.
func TestItIsDeliverysState(t *testing.T) {
	t.Parallel()
	var m *redismodel.Model
	var _ delivery.State = m
	var _ delivery.Feed = m.Follow(nil)
	if got := (redismodel.Progress{State: redismodel.Rebuilding, Position: 1234, Head: 1005678}).Describe(); got != "rebuilding: 1,234 of 1,005,678" {
		t.Errorf("it is described as %q", got)
	}
	var none event.Position
	if got := (redismodel.Progress{State: redismodel.Rebuilding, Position: none, Head: 999}).Describe(); got != "rebuilding: 0 of 999" {
		t.Errorf("it is described as %q", got)
	}
}
