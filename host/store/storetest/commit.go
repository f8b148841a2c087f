package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var commitCases = []testCase{
	{"everything together", commitAll},
	{"a stale epoch changes nothing", commitStaleEpoch},
	{"a moved checkpoint changes nothing", commitMoved},
	{"a generation that is not there", commitNoGeneration},
	{"a failure in the middle changes nothing", commitFailure},
	{"a canceled context changes nothing", commitCanceled},
	{"two owners, one wins every position", commitTwoOwners},
	{"which module made which span", commitSpans},
	{"a large batch", commitLarge},
	{"condition", commitCondition},
}

// owned is a plugin whose lease a host has.
type owned struct {
	store.Generation
	s store.Store
}

// own makes a plugin and takes its lease.
func own(t *testing.T, s store.Store, plugin string) *owned {
	t.Helper()
	g := ensure(t, s, plugin, 0)
	register(t, s, "owner of "+plugin, long)
	l := acquire(t, s, g.ID, "owner of "+plugin)
	g.Epoch, g.Position = l.Epoch, l.Position
	return &owned{g, s}
}

// commit moves the checkpoint to the position with what change adds.
func (o *owned) commit(t *testing.T, to event.Position, change func(*store.Commit)) {
	t.Helper()
	if err := o.try(t.Context(), to, change); err != nil {
		t.Fatalf("commit %d to %d: %v", o.Position, to, err)
	}
	o.Position = to
}

func (o *owned) try(ctx context.Context, to event.Position, change func(*store.Commit)) error {
	c := store.Commit{Generation: o.ID, Owner: "owner of " + o.Plugin, Epoch: o.Epoch, Expected: o.Position, Position: to, Digest: "d1"}
	if change != nil {
		change(&c)
	}
	return o.s.Commit(ctx, c)
}

func set(collection, key, data string, p event.Position) event.DocumentWrite {
	return event.DocumentWrite{Collection: collection, Key: key, Data: []byte(data), Position: p}
}

func del(collection, key string, p event.Position) event.DocumentWrite {
	return event.DocumentWrite{Collection: collection, Key: key, Position: p}
}

// contents is everything a commit may change, in a form that can be compared.
func contents(t *testing.T, s store.Store, g store.Generation) string {
	t.Helper()
	var b strings.Builder
	found, err := s.FindPlugin(t.Context(), g.Plugin)
	check(t, err)
	fmt.Fprintln(&b, "checkpoint", found.Position)
	collections, err := s.Collections(t.Context(), g.ID)
	check(t, err)
	for _, c := range collections {
		docs, err := s.Scan(t.Context(), g.ID, store.ScanOptions{Collection: c, Limit: 1 << 20})
		check(t, err)
		for _, d := range docs {
			fmt.Fprintf(&b, "document %q %q %s\n", d.Collection, d.Key, d.Data)
		}
	}
	sequences, err := s.Sequences(t.Context(), g.ID)
	check(t, err)
	for _, q := range sequences {
		queued, err := s.Queued(t.Context(), g.ID, q.Key, 1<<20)
		check(t, err)
		fmt.Fprintf(&b, "sequence %q %s at %d, attempt %d: %v\n", q.Key, q.State, q.Position, q.Attempts, ids(queued))
	}
	for _, e := range readAll(t, s) {
		fmt.Fprintf(&b, "event %s/%d %s\n", e.Stream, e.Version, e.ID)
	}
	spans, err := s.Spans(t.Context(), g.ID)
	check(t, err)
	for _, sp := range spans {
		fmt.Fprintf(&b, "span (%d, %d] %s\n", sp.From, sp.To, sp.Digest)
	}
	return b.String()
}

func wantContents(t *testing.T, s store.Store, g store.Generation, want string) {
	t.Helper()
	if got := contents(t, s, g); got != want {
		t.Errorf("the store holds\n%s\nwant\n%s", got, want)
	}
}

func commitAll(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 4)
	o := own(t, s, "p")
	o.commit(t, p[2], func(c *store.Commit) {
		c.Documents = []event.DocumentWrite{set("c", "1", `{"n":1}`, p[0]), set("c", "2", `{"n":2}`, p[1])}
		c.Emitted = []event.Emitted{emitted(p[0], "m1", "out")}
		c.Queue = []store.QueuedEvent{{Key: "k", Position: p[1]}, {Key: "k", Position: p[2]}, {Key: "l", Position: p[2]}}
		c.Dequeue = []store.QueuedEvent{{Key: "l", Position: p[2]}}
		c.Sequences = []store.Sequence{{Key: "k", State: store.Retrying, Position: p[1], Attempts: 1}}
	})
	o.commit(t, p[3], func(c *store.Commit) {
		c.Documents = []event.DocumentWrite{set("c", "1", `{"n":3}`, p[3]), del("c", "2", p[3]), del("c", "none", p[3]), set("d", "1", `[]`, p[3])}
		c.Emitted = []event.Emitted{emitted(p[3], "m2", "out")}
	})
	o.commit(t, p[3], func(c *store.Commit) { // only the parked sequence moves
		c.Documents = []event.DocumentWrite{set("c", "3", `1`, p[1])}
		c.Dequeue = []store.QueuedEvent{{Key: "k", Position: p[1]}}
		c.Sequences = []store.Sequence{{Key: "k", State: store.Parked, Position: p[2], Attempts: 5}}
	})
	want := fmt.Sprintf(`checkpoint %d
document "c" "1" {"n":3}
document "c" "3" 1
document "d" "1" []
sequence "k" parked at %d, attempt 5: [e-2]
event a/1 e-0
event a/2 e-1
event a/3 e-2
event a/4 e-3
event out/1 m1
event out/2 m2
span (0, %d] d1
`, p[3], p[2], p[3])
	wantContents(t, s, o.Generation, want)
	wantContents(t, db.open(t), o.Generation, want)
}

// everything is a commit that changes whatever a commit can change.
func everything(p []event.Position) func(*store.Commit) {
	return func(c *store.Commit) {
		c.Digest = "d2"
		c.Documents = []event.DocumentWrite{set("c", "1", `"new"`, p[1]), set("c", "new", `"new"`, p[1]), del("c", "2", p[1])}
		c.Emitted = []event.Emitted{emitted(p[1], "new", "out")}
		c.Queue = []store.QueuedEvent{{Key: "new", Position: p[1]}}
		c.Dequeue = []store.QueuedEvent{{Key: "k", Position: p[0]}}
		c.Sequences = []store.Sequence{{Key: "new", State: store.Parked, Position: p[1]}, {Key: "k"}}
	}
}

// halfway is a plugin with something of everything, and the positions of two more events.
func halfway(t *testing.T, s store.Store) (*owned, []event.Position) {
	t.Helper()
	p := fill(t, s, "a", "e", 3)
	o := own(t, s, "p")
	o.commit(t, p[0], func(c *store.Commit) {
		c.Documents = []event.DocumentWrite{set("c", "1", `1`, p[0]), set("c", "2", `2`, p[0])}
		c.Emitted = []event.Emitted{emitted(p[0], "m", "out")}
		c.Queue = []store.QueuedEvent{{Key: "k", Position: p[0]}}
		c.Sequences = []store.Sequence{{Key: "k", State: store.Retrying, Position: p[0], Attempts: 1}}
	})
	return o, p
}

func commitStaleEpoch(t *testing.T, db *database) {
	s := db.open(t)
	o, p := halfway(t, s)
	before := contents(t, s, o.Generation)
	stale := *o
	o.Epoch = acquire(t, s, o.ID, "owner of p").Epoch
	for _, epoch := range []int64{stale.Epoch, o.Epoch + 1, 0, -1} {
		stale.Epoch = epoch
		wantError(t, stale.try(t.Context(), p[1], everything(p)), store.ErrLeaseLost)
		wantError(t, stale.try(t.Context(), p[0], everything(p)), store.ErrLeaseLost) // without moving, too
		err := s.SetCondition(t.Context(), o.ID, epoch, store.Condition{State: store.Paused, Reason: "stale"})
		wantError(t, err, store.ErrLeaseLost)
	}
	stale.Epoch, stale.Position = 0, p[1] // both wrong: the lease matters more
	wantError(t, stale.try(t.Context(), p[2], everything(p)), store.ErrLeaseLost)
	wantContents(t, s, o.Generation, before)
	o.commit(t, p[1], everything(p))
}

func commitMoved(t *testing.T, db *database) {
	s := db.open(t)
	o, p := halfway(t, s)
	before := contents(t, s, o.Generation)
	for _, expected := range []event.Position{0, p[1], p[2], far} {
		moved := *o
		moved.Position = expected
		wantError(t, moved.try(t.Context(), max(expected, p[2]), everything(p)), store.ErrCheckpointMoved)
	}
	wantContents(t, s, o.Generation, before)
	o.commit(t, p[1], everything(p))
	// The same commit again, as after a lost answer, does not apply twice.
	again := *o
	again.Position = p[0]
	wantError(t, again.try(t.Context(), p[1], everything(p)), store.ErrCheckpointMoved)
}

func commitNoGeneration(t *testing.T, db *database) {
	s := db.open(t)
	err := s.Commit(t.Context(), store.Commit{Generation: 4711, Owner: "h", Position: 1, Documents: []event.DocumentWrite{set("c", "1", `1`, 1)}})
	if err == nil {
		t.Error("committed to a generation that is not there")
	}
}

func commitFailure(t *testing.T, db *database) {
	s := db.open(t)
	o, p := halfway(t, s)
	before := contents(t, s, o.Generation)
	for name, c := range map[string]struct {
		bad  event.Emitted
		want error
	}{
		"id of another event": {emitted(p[1], "e-0", "out"), store.ErrIDConflict},
		"no type":             {event.Emitted{Cause: p[1], ID: "x", Stream: "out"}, store.ErrInvalid},
		"no stream":           {event.Emitted{Cause: p[1], ID: "x", Type: "T"}, store.ErrInvalid},
		"bad metadata":        {event.Emitted{Cause: p[1], ID: "x", Stream: "out", Type: "T", Metadata: []byte(`[`)}, store.ErrInvalid},
		"other stream type":   {event.Emitted{Cause: p[1], ID: "x", Stream: "out", StreamType: "other", Type: "T"}, store.ErrInvalid},
	} {
		err := o.try(t.Context(), p[1], func(c2 *store.Commit) {
			everything(p)(c2)
			c2.Emitted = append(c2.Emitted, c.bad, emitted(p[1], "after", "out"))
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
	wantContents(t, s, o.Generation, before)
	o.commit(t, p[1], everything(p))
}

func commitCanceled(t *testing.T, db *database) {
	s := db.open(t)
	o, p := halfway(t, s)
	before := contents(t, s, o.Generation)
	if err := o.try(canceled(t), p[1], everything(p)); err == nil {
		t.Error("committed under a canceled context")
	}
	if err := o.try(canceled(t), p[1], nil); err == nil {
		t.Error("moved the checkpoint under a canceled context")
	}
	wantContents(t, s, o.Generation, before)
	o.commit(t, p[1], everything(p))
}

// commitTwoOwners is invariant 2: two hosts that both believe they own a plugin, and take the lease
// from each other all the time, never apply a position twice.
func commitTwoOwners(t *testing.T, db *database) {
	handles := []store.Store{db.open(t), db.open(t)}
	s := handles[0]
	register(t, s, "h", long)
	g := ensure(t, s, "p", 0)
	const positions = 40
	var applied [2][]event.Position
	var wg sync.WaitGroup
	for w, s := range handles {
		wg.Go(func() {
			lease, err := s.Acquire(t.Context(), g.ID, "h")
			if err != nil {
				t.Errorf("owner %d: %v", w, err)
				return
			}
			for at := lease.Position; at < positions; {
				c := store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Expected: at, Position: at + 1,
					Documents: []event.DocumentWrite{set("applied", fmt.Sprintf("%03d", at+1), fmt.Sprint(w), at+1)}}
				switch err = s.Commit(t.Context(), c); {
				case err == nil:
					at++
					applied[w] = append(applied[w], at)
				case errors.Is(err, store.ErrLeaseLost):
					if lease, err = s.Acquire(t.Context(), g.ID, "h"); err == nil {
						at = lease.Position
					}
				}
				if err != nil {
					t.Errorf("owner %d at %d: %v", w, at, err)
					return
				}
			}
		})
	}
	wg.Wait()
	seen := map[event.Position]int{}
	for w, ps := range applied {
		for _, p := range ps {
			if other, twice := seen[p]; twice {
				t.Errorf("position %d was applied by owner %d and by owner %d", p, other, w)
			}
			seen[p] = w
		}
	}
	docs, err := s.Scan(t.Context(), g.ID, store.ScanOptions{Collection: "applied", Limit: 1000})
	check(t, err)
	if len(docs) != positions || len(seen) != positions {
		t.Fatalf("%d positions were applied, %d documents stored, want %d", len(seen), len(docs), positions)
	}
	for i, d := range docs {
		if string(d.Data) != fmt.Sprint(seen[event.Position(i+1)]) {
			t.Errorf("position %d was applied by owner %d, its document is %s", i+1, seen[event.Position(i+1)], d.Data)
		}
	}
}

func commitSpans(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	digest := func(d string) func(*store.Commit) { return func(c *store.Commit) { c.Digest = d } }
	if spans, err := s.Spans(t.Context(), o.ID); err != nil || len(spans) != 0 {
		t.Errorf("before the first commit: %v (%v)", spans, err)
	}
	o.commit(t, 10, digest("d1"))
	o.commit(t, 20, digest("d1"))
	o.commit(t, 30, digest("d2"))
	o.commit(t, 30, digest("")) // no module took part
	o.commit(t, 30, digest("d1"))
	o.commit(t, 40, digest("d1"))
	o.commit(t, 50, digest("d3"))
	o.commit(t, 50, digest(""))

	spans, err := s.Spans(t.Context(), o.ID)
	check(t, err)
	want := []store.ModuleSpan{{Digest: "d1", From: 0, To: 20}, {Digest: "d2", From: 20, To: 30}, {Digest: "d1", From: 30, To: 40}, {Digest: "d3", From: 40, To: 50}}
	for i := range spans {
		if spans[i].Since.Before(time.Now().Add(-time.Hour)) || spans[i].Since.After(time.Now().Add(time.Hour)) {
			t.Errorf("span %d began at %v", i, spans[i].Since)
		}
		spans[i].Since = time.Time{}
	}
	if !reflect.DeepEqual(spans, want) {
		t.Errorf("got  %+v\nwant %+v", spans, want)
	}
}

func commitLarge(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	const n = 12_000
	batch := func(data string, remove func(int) bool) func(*store.Commit) {
		return func(c *store.Commit) {
			for i := range n {
				key := fmt.Sprintf("%05d", i*7919%n) // not in order
				if w := set("c", key, data, 1); !remove(i * 7919 % n) {
					c.Documents = append(c.Documents, w)
				} else {
					c.Documents = append(c.Documents, del("c", key, 1))
				}
			}
		}
	}
	o.commit(t, 1, batch(`{"n":1}`, func(int) bool { return false }))
	o.commit(t, 2, batch(`{"n":2}`, func(i int) bool { return i%3 == 0 }))
	docs, err := s.Scan(t.Context(), o.ID, store.ScanOptions{Collection: "c", Limit: 2 * n})
	check(t, err)
	if len(docs) != n*2/3 {
		t.Fatalf("%d documents are left, want %d", len(docs), n*2/3)
	}
	for i, d := range docs {
		if want := fmt.Sprintf("%05d", i/2*3+i%2+1); d.Key != want || string(d.Data) != `{"n":2}` {
			t.Fatalf("document %d is %s %s, want %s", i, d.Key, d.Data, want)
		}
	}
}

func commitCondition(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	since := time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC)
	want := store.Condition{State: store.Paused, Reason: "event 7 failed: retry it", Since: since}
	check(t, s.SetCondition(t.Context(), o.ID, o.Epoch, want))
	status := findStatus(t, db.open(t), "p")
	if c := status.Condition; c.State != want.State || c.Reason != want.Reason || !c.Since.Equal(since) {
		t.Errorf("set %+v, got %+v", want, c)
	}
	check(t, s.SetCondition(t.Context(), o.ID, o.Epoch, store.Condition{State: store.Running, Since: since}))
	if c := findStatus(t, s, "p").Condition; c.State != store.Running || c.Reason != "" {
		t.Errorf("running again, got %+v", c)
	}
}
