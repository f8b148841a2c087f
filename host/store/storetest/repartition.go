package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
)

var repartitionCases = []testCase{
	{"from one to three, to two, to one", repartitionAll},
	{"refused, nothing changes", repartitionRefused},
	{"beside commits of the old partitions", repartitionBesideCommits},
	{"two at a time, one counts", repartitionRace},
	{"back to a generation that was split otherwise", repartitionRollback},
	{"new partitions remember the log", repartitionRemembers},
}

// repartition is a change that nothing speaks against while all partitions are at a position.
func (p *split) repartition(at event.Position, n int) store.Repartition {
	return store.Repartition{Plugin: p.plugin, Owner: p.owner, From: p.held(), Position: at, Partitions: n, OrderBy: "stream", Digest: "d1"}
}

func repartitionAll(t *testing.T, db *database) {
	s := db.open(t)
	f := fill(t, s, "a", "e", 6)
	p := splitUp(t, s, "p", 1)
	p.commit(t, 0, f[2], func(c *store.Commit) {
		parkedAt("old", f[0])(c)
		c.Documents = []event.DocumentWrite{set("c", "1", `1`, f[2])}
	})
	merged := p.parts[:0:0]
	for _, n := range []int{3, 2, 1} {
		before := *p
		r := p.repartition(p.root().Position, n)
		r.OrderBy = fmt.Sprint("metadata.", n)
		for i := range n {
			r.Sequences = append(r.Sequences, store.PlacedSequence{Partition: i, Sequence: store.Sequence{Key: fmt.Sprint("k", i), State: store.Parked, Position: f[i], Attempts: i}})
			r.Queue = append(r.Queue, store.PlacedEvent{Partition: i, QueuedEvent: store.QueuedEvent{Key: fmt.Sprint("k", i), Position: f[i]}})
		}
		check(t, s.Repartition(t.Context(), r))

		parts := partitionsOf(t, db.open(t), "p")
		if len(parts) != n || parts[0].ID != before.root().ID || parts[0].Epoch != before.root().Epoch+1 {
			t.Fatalf("split into %d, and there are %+v", n, parts)
		}
		for i, g := range parts {
			if g.Partition != i || g.Partitions != n || g.Root != parts[0].ID || g.OrderBy != r.OrderBy || g.Position != r.Position || g.Number != 1 {
				t.Errorf("partition %d of %d is %+v", i, n, g)
			}
			own, err := s.Sequences(t.Context(), g.ID)
			check(t, err)
			if len(own) != 1 || own[0].Key != fmt.Sprint("k", i) || own[0].Attempts != i || own[0].Waiting != 1 {
				t.Errorf("partition %d of %d has %+v", i, n, own)
			}
			if i > 0 {
				wantSpans(t, s, g.ID, store.ModuleSpan{Digest: "d1", From: r.Position, To: r.Position})
			}
		}
		for _, u := range unitsOf(t, s, "p") {
			if u.Owner != "" || u.State != store.Live {
				t.Errorf("after it %+v", u)
			}
		}
		for i := range before.parts { // nobody commits with what he had
			wantError(t, before.try(t, i, f[5], nil), store.ErrLeaseLost)
		}
		merged = append(merged, before.parts[1:]...)
		for _, g := range merged {
			_, err := s.Acquire(t.Context(), g.ID, p.owner)
			wantError(t, err, store.ErrNotFound)
		}
		if all, err := s.Generations(t.Context(), "p"); err != nil || len(all) != 1 || len(all[0].Partitions) != n || all[0].Waiting != n {
			t.Errorf("generations are %+v (%v)", all, err)
		}
		if others, err := s.NotLive(t.Context()); err != nil || len(others) != 0 {
			t.Errorf("not live are %+v (%v)", others, err)
		}
		if got := db.ReadModel(t, "p"); !slices.Equal(got, []string{"1"}) {
			t.Errorf("the view read_models has %q", got)
		}
		p.take(t, parts[0].ID)
		p.moveAll(t, r.Position+1)
	}
	wantSpans(t, s, p.root().ID, store.ModuleSpan{Digest: "d1", From: 0, To: p.root().Position})
	for i, to := range []event.Position{f[2] + 1, f[2] + 1, f[2] + 2} { // invariant 8: the record of those that are no more stays
		from := f[2]
		if i == 2 {
			from++
		}
		wantSpans(t, s, merged[i].ID, store.ModuleSpan{Digest: "d1", From: from, To: to})
	}
}

func wantSpans(t *testing.T, s store.Store, generation int64, want ...store.ModuleSpan) {
	t.Helper()
	spans, err := s.Spans(t.Context(), generation)
	check(t, err)
	for i := range spans {
		spans[i].Since = want[0].Since
	}
	if !reflect.DeepEqual(spans, want) {
		t.Errorf("generation %d has spans %+v, want %+v", generation, spans, want)
	}
}

func repartitionRefused(t *testing.T, db *database) {
	s := db.open(t)
	f := fill(t, s, "a", "e", 3)
	p := splitUp(t, s, "p", 2)
	other := splitUp(t, s, "other", 1)
	p.commit(t, 0, f[1], parkedAt("k", f[0]))
	p.commit(t, 1, f[1], func(c *store.Commit) { c.Documents = []event.DocumentWrite{set("c", "1", `1`, f[1])} })
	before := p.contents(t)
	refused := func(what string, want error, change func(*store.Repartition)) {
		t.Helper()
		r := p.repartition(f[1], 3)
		r.Sequences = []store.PlacedSequence{{Partition: 2, Sequence: store.Sequence{Key: "k", State: store.Parked, Position: f[0]}}}
		r.Queue = []store.PlacedEvent{{Partition: 2, QueuedEvent: store.QueuedEvent{Key: "k", Position: f[0]}}}
		change(&r)
		t.Log(what)
		wantError(t, s.Repartition(t.Context(), r), want)
		if after := p.contents(t); after != before {
			t.Errorf("the store holds\n%s\nwant\n%s", after, before)
		}
	}
	refused("no plugin", store.ErrNotFound, func(r *store.Repartition) { r.Plugin = "none" })
	refused("another plugin", store.ErrLeaseLost, func(r *store.Repartition) { r.Plugin = "other" })
	refused("another plugin's leases", store.ErrLeaseLost, func(r *store.Repartition) { r.From = other.held() })
	refused("another host", store.ErrLeaseLost, func(r *store.Repartition) { r.Owner = "h" })
	refused("nobody", store.ErrInvalid, func(r *store.Repartition) { r.Owner = "" })
	refused("an old epoch", store.ErrLeaseLost, func(r *store.Repartition) { r.From[1].Epoch-- })
	refused("a partition is missing", store.ErrLeaseLost, func(r *store.Repartition) { r.From = r.From[:1] })
	refused("nothing is held", store.ErrLeaseLost, func(r *store.Repartition) { r.From = nil })
	refused("one is held twice", store.ErrLeaseLost, func(r *store.Repartition) { r.From[1] = r.From[0] })
	refused("one too many", store.ErrLeaseLost, func(r *store.Repartition) { r.From = append(r.From, other.held()...) })
	refused("another position", store.ErrCheckpointMoved, func(r *store.Repartition) { r.Position = f[0] })
	refused("no partitions", store.ErrInvalid, func(r *store.Repartition) { r.Partitions = 0 })
	refused("no order", store.ErrInvalid, func(r *store.Repartition) { r.OrderBy = "" })
	refused("a sequence in no partition", store.ErrInvalid, func(r *store.Repartition) { r.Sequences[0].Partition = 3 })
	refused("a sequence in no state", store.ErrInvalid, func(r *store.Repartition) { r.Sequences[0].State = "" })
	refused("an event in no partition", store.ErrInvalid, func(r *store.Repartition) { r.Queue[0].Partition = -1 })

	p.commit(t, 1, f[2], nil)
	before = p.contents(t)
	refused("one is further", store.ErrCheckpointMoved, func(*store.Repartition) {})
	check(t, s.Release(t.Context(), p.parts[1].ID, p.parts[1].Epoch))
	before = p.contents(t)
	refused("one was given up", store.ErrLeaseLost, func(*store.Repartition) {})
	p.parts[1].Epoch = acquire(t, s, p.parts[1].ID, p.owner).Epoch
	p.commit(t, 0, f[2], nil)
	built, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 0, "")
	check(t, err)
	before = p.contents(t)
	refused("a generation is being built", store.ErrBuilding, func(r *store.Repartition) { r.Position = f[2] })
	_, err = s.DropGeneration(t.Context(), store.Drop{Generation: built.ID, By: leader(t, s, "p"), Limit: 10})
	check(t, err)
	check(t, s.Repartition(t.Context(), p.repartition(f[2], 3)))
}

// repartitionBesideCommits is invariant 2: what the old partitions commit is before the change, or nothing.
func repartitionBesideCommits(t *testing.T, db *database) {
	s := db.open(t)
	p := splitUp(t, s, "p", 2)
	other := db.open(t)
	var last [2]event.Position
	var wg sync.WaitGroup
	for i := range p.parts {
		wg.Go(func() {
			g := p.parts[i]
			const far = 10_000
			for at := event.Position(0); ; at++ {
				if at == far {
					t.Errorf("partition %d commits on and on", i)
					return
				}
				err := other.Commit(t.Context(), store.Commit{Generation: g.ID, Root: g.Root, Owner: p.owner, Epoch: g.Epoch, Expected: at, Position: at + 1,
					Documents: []event.DocumentWrite{set("c", fmt.Sprint(i), fmt.Sprint(at+1), at+1)}})
				if err != nil {
					if !errors.Is(err, store.ErrLeaseLost) {
						t.Errorf("commit: %v", err)
					}
					last[i] = at
					return
				}
			}
		})
	}
	for at := event.Position(0); ; { // until it meets them both at one position
		parts := partitionsOf(t, s, "p")
		at = parts[0].Position
		err := s.Repartition(t.Context(), p.repartition(at, 3))
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrCheckpointMoved) {
			t.Fatal(err)
		}
		if at > 50 { // they have gone too far apart: shut them out
			p.take(t, p.root().ID)
			break
		}
	}
	wg.Wait()
	for i := range p.parts {
		docs, err := s.Documents(t.Context(), p.root().ID, []store.DocumentKey{{Collection: "c", Key: fmt.Sprint(i)}})
		check(t, err)
		if last[i] > 0 && (len(docs) != 1 || string(docs[0].Data) != fmt.Sprint(last[i])) {
			t.Errorf("partition %d was answered up to %d, and has %s", i, last[i], docs)
		}
	}
}

func repartitionRace(t *testing.T, db *database) {
	handles := []store.Store{db.open(t), db.open(t)}
	p := splitUp(t, handles[0], "p", 2)
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = handles[i%2].Repartition(t.Context(), p.repartition(0, 3+i)) })
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err != nil:
			wantError(t, err, store.ErrLeaseLost)
		case won >= 0:
			t.Errorf("both %d and %d have won", won, i)
		default:
			won = i
		}
	}
	if parts := partitionsOf(t, handles[0], "p"); won < 0 || len(parts) != 3+won {
		t.Errorf("%d has won, and there are %d partitions", won, len(parts))
	}
}

func repartitionRollback(t *testing.T, db *database) {
	s := db.open(t)
	p := splitUp(t, s, "p", 2)
	p.moveAll(t, 4)
	old := *p
	check(t, s.Repartition(t.Context(), p.repartition(4, 3)))
	old.take(t, old.root().ID)
	built, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 0, "")
	check(t, err)
	p.take(t, built.ID)
	if len(p.parts) != 3 {
		t.Fatalf("built are %+v", p.parts)
	}
	p.moveAll(t, 4)
	check(t, s.SwitchGeneration(t.Context(), store.Switch{Plugin: "p", Owner: p.owner, From: old.held(), To: p.held()}))
	p.moveAll(t, 7)
	check(t, s.Repartition(t.Context(), p.repartition(7, 1)))
	p.take(t, built.ID)
	old.take(t, old.root().ID)
	w := store.Switch{Plugin: "p", Owner: p.owner, From: p.held(), To: old.held()}
	wantError(t, s.SwitchGeneration(t.Context(), w), store.ErrCheckpointMoved)
	w.Rollback = true
	check(t, s.SwitchGeneration(t.Context(), w))
	if parts := partitionsOf(t, s, "p"); len(parts) != 3 || parts[0].ID != old.root().ID || parts[2].Position != 4 {
		t.Errorf("live are %+v", parts)
	}

	// What was merged goes with its generation.
	for gone := false; !gone; {
		gone, err = s.DropGeneration(t.Context(), store.Drop{Generation: built.ID, By: leader(t, s, "p"), Limit: 10})
		check(t, err)
	}
	for _, g := range p.parts {
		wantSpansGone(t, s, g.ID)
	}
	if all, err := s.Generations(t.Context(), "p"); err != nil || len(all) != 1 || strings.Contains(fmt.Sprint(all), "merged") {
		t.Errorf("left are %+v (%v)", all, err)
	}
}

func repartitionRemembers(t *testing.T, db *database) {
	s := db.open(t)
	f := fill(t, s, "a", "e", 3)
	_, err := s.EnsurePlugin(t.Context(), "p", f[0], 1, "stream")
	check(t, err)
	p := splitUp(t, s, "p", 1)
	p.commit(t, 0, f[2], nil)
	check(t, s.Repartition(t.Context(), p.repartition(f[2], 2)))
	p.take(t, p.root().ID)
	if o, err := s.Origin(t.Context(), p.parts[1].ID); err != nil || o.Start != f[0] {
		t.Errorf("a new partition began %+v (%v)", o, err)
	}
	check(t, s.Repartition(t.Context(), p.repartition(f[2], 3)))
	parts := partitionsOf(t, s, "p")
	db.SetBack(t, f[1])
	fill(t, s, "a", "other", 1)
	for _, g := range parts { // invariant 1: that event would be skipped
		_, err := s.Acquire(t.Context(), g.ID, p.owner)
		wantError(t, err, store.ErrLogWentBack)
	}
}

func wantSpansGone(t *testing.T, s store.Store, generation int64) {
	t.Helper()
	if spans, err := s.Spans(t.Context(), generation); err != nil || len(spans) != 0 {
		t.Errorf("spans %+v are left (%v)", spans, err)
	}
}
