package storetest

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var generationCases = []testCase{
	{"build", generationBuild},
	{"switch", generationSwitch},
	{"switch is refused", generationSwitchRefused},
	{"drop", generationDrop},
	{"a former leader can begin and drop nothing", generationFormerLeader},
	{"what anybody may drop", generationKept},
	{"modules", generationModules},
}

func take(t *testing.T, s store.Store, generation int64) store.Lease {
	t.Helper()
	register(t, s, "h", time.Minute)
	return acquire(t, s, generation, "h")
}

// leader is who leads a plugin: whoever has the lease of its first partition, or else a host that takes it. It is nobody
// where there is no such plugin.
func leader(t *testing.T, s store.Store, plugin string) store.Leader {
	t.Helper()
	all, err := s.Generations(t.Context(), plugin)
	check(t, err)
	for _, g := range all {
		if g.State != store.Live {
			continue
		}
		root := g.Partitions[0]
		if !root.Owned() {
			root.Owner = &store.Host{ID: "leader"}
			register(t, s, root.Owner.ID, time.Minute)
			root.Epoch = acquire(t, s, root.ID, root.Owner.ID).Epoch
		}
		return store.Leader{Owner: root.Owner.ID, Held: store.Held{Generation: root.ID, Epoch: root.Epoch}}
	}
	return store.Leader{}
}

// held is the lease of a generation with one partition.
func held(g store.Generation, l store.Lease) []store.Held {
	return []store.Held{{Generation: g.ID, Epoch: l.Epoch}}
}

// moveTo commits nothing but a checkpoint.
func moveTo(t *testing.T, s store.Store, generation int64, l store.Lease, p event.Position) {
	t.Helper()
	check(t, s.Commit(t.Context(), store.Commit{Generation: generation, Owner: "h", Epoch: l.Epoch, Expected: l.Position, Position: p}))
}

// build adds a generation with some documents.
func build(t *testing.T, s store.Store, plugin string, docs int, module string) (store.Generation, store.Lease) {
	t.Helper()
	g, err := s.BuildGeneration(t.Context(), leader(t, s, plugin), plugin, 0, module)
	check(t, err)
	l := take(t, s, g.ID)
	c := store.Commit{Generation: g.ID, Owner: "h", Epoch: l.Epoch, Position: 1, Digest: "new"}
	for i := range docs {
		c.Documents = append(c.Documents, event.DocumentWrite{Collection: "c", Key: fmt.Sprint(i), Data: []byte("2"), Position: 1})
	}
	check(t, s.Commit(t.Context(), c))
	return g, l
}

func generationBuild(t *testing.T, db *database) {
	s := db.open(t)
	if _, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 0, ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a build without the plugin: %v", err)
	}
	first := ensure(t, s, "p", 7)
	if _, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 0, "nobody has it"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a build without the module: %v", err)
	}
	second, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 3, "")
	check(t, err)
	if second.ID == first.ID || second.Number != 2 || second.Position != 3 || second.Plugin != "p" {
		t.Errorf("got %+v", second)
	}
	if _, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 0, ""); !errors.Is(err, store.ErrBuilding) {
		t.Errorf("a second build: %v", err)
	}
	if g, err := s.FindPlugin(t.Context(), "p"); err != nil || g.ID != first.ID {
		t.Errorf("the live one is %+v (%v)", g, err)
	}
	all, err := s.Generations(t.Context(), "p")
	check(t, err)
	if len(all) != 2 || all[0].Generation != second || all[0].State != store.Building || all[0].HeldUntil != math.MaxInt64 || all[0].CreatedAt.IsZero() ||
		all[1].ID != first.ID || all[1].State != store.Live || all[1].HeldUntil != 0 || all[0].Owner != nil || all[1].Owner == nil || all[1].Owner.ID != "leader" {
		t.Errorf("got %+v", all)
	}
	ensure(t, s, "other", 0)
	others, err := s.NotLive(t.Context())
	check(t, err)
	if len(others) != 1 || others[0].Generation != second {
		t.Errorf("not live are %+v", others)
	}
	take(t, s, second.ID)
	if all, err = s.Generations(t.Context(), "p"); err != nil || all[0].Owner == nil || !all[0].Owner.Live {
		t.Errorf("got %+v (%v)", all, err)
	}
}

func generationSwitch(t *testing.T, db *database) {
	s := db.open(t)
	mustAppend(t, s, one("a", store.AnyVersion, evs("1")...))
	first := ensure(t, s, "p", 0)
	old := take(t, s, first.ID)
	moveTo(t, s, first.ID, old, 1)
	check(t, s.PutModule(t.Context(), "dd", []byte("wasm")))
	second, fresh := build(t, s, "p", 2, "dd")
	id, err := s.Ask(t.Context(), store.Request{Plugin: "p", Action: store.AskRebuild, Who: "me"})
	check(t, err)
	w := store.Switch{Plugin: "p", Owner: "h", From: held(first, old), To: held(second, fresh), HeldUntil: 1,
		StandIn: store.StandIn{Digest: "dd", InsteadOf: "ee"}, Answers: []store.Answer{{Request: id, State: store.Done, Text: "so it is"}}}
	began := time.Now()
	check(t, s.SwitchGeneration(t.Context(), w))
	switched := time.Now()
	if g, err := s.FindPlugin(t.Context(), "p"); err != nil || g.ID != second.ID || g.Position != 1 {
		t.Errorf("the live one is %+v (%v)", g, err)
	}
	all, err := s.Generations(t.Context(), "p")
	check(t, err)
	if all[0].State != store.Live || all[0].HeldUntil != 1 || all[0].Owner == nil || all[1].State != store.Retired || all[1].RetiredAt.IsZero() || all[1].Owner != nil {
		t.Errorf("got %+v", all)
	}
	if all[0].RetiredFor != 0 {
		t.Errorf("the live one was retired %s ago", all[0].RetiredFor)
	}
	grows(t, began, switched, func() []time.Duration {
		all, err := s.NotLive(t.Context())
		check(t, err)
		return []time.Duration{all[0].RetiredFor}
	})
	if in, err := s.FindStandIn(t.Context(), "p"); err != nil || in != w.StandIn {
		t.Errorf("the stand-in is %+v (%v)", in, err)
	}
	if r, err := s.Request(t.Context(), id); err != nil || r.State != store.Done || r.Answer != "so it is" {
		t.Errorf("the request is %+v (%v)", r, err)
	}
	// And back.
	back := take(t, s, first.ID)
	check(t, s.SwitchGeneration(t.Context(), store.Switch{Plugin: "p", Owner: "h", Rollback: true, From: held(second, fresh), To: held(first, back), HeldUntil: 9}))
	if all, err = s.Generations(t.Context(), "p"); err != nil || all[1].State != store.Live || !all[1].RetiredAt.IsZero() || all[1].HeldUntil != 9 || all[0].State != store.Retired {
		t.Errorf("got %+v (%v)", all, err)
	}
	if in, err := s.FindStandIn(t.Context(), "p"); err != nil || in != (store.StandIn{}) {
		t.Errorf("the stand-in is %+v (%v)", in, err)
	}
}

func generationSwitchRefused(t *testing.T, db *database) {
	s := db.open(t)
	first := ensure(t, s, "p", 0)
	old := take(t, s, first.ID)
	moveTo(t, s, first.ID, old, 1)
	second, fresh := build(t, s, "p", 1, "")
	good := store.Switch{Plugin: "p", Owner: "h", From: held(first, old), To: held(second, fresh)}
	id, err := s.Ask(t.Context(), store.Request{Plugin: "p", Action: store.AskRebuild, Who: "me"})
	check(t, err)
	check(t, s.AnswerRequest(t.Context(), 0, 0, store.Answer{Request: id, State: store.Refused, Text: "no"}))
	for name, c := range map[string]struct {
		change func(*store.Switch)
		want   error
	}{
		"the old lease is lost": {func(w *store.Switch) { w.From = held(first, store.Lease{Epoch: old.Epoch - 1}) }, store.ErrLeaseLost},
		"the new lease is lost": {func(w *store.Switch) { w.To = held(second, store.Lease{Epoch: fresh.Epoch - 1}) }, store.ErrLeaseLost},
		"of another plugin":     {func(w *store.Switch) { w.Plugin = "q" }, store.ErrLeaseLost},
		"to itself":             {func(w *store.Switch) { w.To = w.From }, store.ErrLeaseLost},
		"from one not live":     {func(w *store.Switch) { w.From, w.To = w.To, w.From }, store.ErrCheckpointMoved},
		"asked and answered":    {func(w *store.Switch) { w.Answers = []store.Answer{{Request: id, State: store.Done}} }, store.ErrAnswered},
	} {
		w := good
		c.change(&w)
		if err := s.SwitchGeneration(t.Context(), w); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if all, err := s.Generations(t.Context(), "p"); err != nil || all[0].State != store.Building || all[1].State != store.Live {
		t.Errorf("got %+v (%v)", all, err)
	}
}

func generationDrop(t *testing.T, db *database) {
	s := db.open(t)
	mustAppend(t, s, one("a", store.AnyVersion, evs("1", "2")...))
	first := ensure(t, s, "p", 0)
	take(t, s, first.ID)
	second, fresh := build(t, s, "p", 25, "")
	if _, err := s.DropGeneration(t.Context(), store.Drop{Generation: first.ID, By: leader(t, s, "p"), Limit: 10}); !errors.Is(err, store.ErrLive) {
		t.Errorf("dropping the live one: %v", err)
	}
	back := store.Switch{Plugin: "p", Owner: "h", From: held(first, take(t, s, first.ID))}
	rounds := 0
	for gone := false; !gone; rounds++ {
		var err error
		gone, err = s.DropGeneration(t.Context(), store.Drop{Generation: second.ID, By: leader(t, s, "p"), Limit: 10})
		check(t, err)
		err = s.Commit(t.Context(), store.Commit{Generation: second.ID, Owner: "h", Epoch: fresh.Epoch, Expected: 1, Position: 2})
		if err == nil || !gone && !errors.Is(err, store.ErrLeaseLost) {
			t.Fatalf("a commit to what is dropped: %v", err)
		}
		if all, err := s.NotLive(t.Context()); err != nil || !gone && (len(all) != 1 || all[0].State != store.Dropping) {
			t.Fatalf("what is being dropped is %+v (%v)", all, err)
		}
		if !gone {
			half := take(t, s, second.ID)
			back.To = held(second, half)
			if err := s.SwitchGeneration(t.Context(), back); !errors.Is(err, store.ErrLeaseLost) {
				t.Fatalf("a switch to half of a generation: %v", err)
			}
		}
	}
	if rounds != 3 {
		t.Errorf("%d rounds", rounds)
	}
	if all, err := s.Generations(t.Context(), "p"); err != nil || len(all) != 1 || all[0].ID != first.ID {
		t.Errorf("left are %+v (%v)", all, err)
	}
	if c, err := s.Collections(t.Context(), second.ID); err != nil || len(c) != 0 {
		t.Errorf("collections %v are left (%v)", c, err)
	}
}

// generationFormerLeader is a host that stood still while another one took its plugin over: whatever it was about to do is
// refused, and so is what a host would do that has another lease, or none.
func generationFormerLeader(t *testing.T, db *database) {
	s := db.open(t)
	first := ensure(t, s, "p", 0)
	other := ensure(t, s, "other", 0)
	former := take(t, s, first.ID)
	before := store.Leader{Owner: "h", Held: store.Held{Generation: first.ID, Epoch: former.Epoch}}
	built, err := s.BuildGeneration(t.Context(), before, "p", 0, "")
	check(t, err)
	id := ask(t, s, store.Request{Plugin: "p", Action: store.AskRebuild})

	check(t, s.RemoveHost(t.Context(), "h"))
	register(t, s, "next", time.Minute)
	now := store.Leader{Owner: "next", Held: store.Held{Generation: first.ID, Epoch: acquire(t, s, first.ID, "next").Epoch}}
	elsewhere := leader(t, s, "other")
	register(t, s, "h", time.Minute)
	build := acquire(t, s, built.ID, "next")
	refused := map[string]store.Leader{
		"the former leader":             before,
		"another owner, the same epoch": {Owner: "h", Held: now.Held},
		"an older epoch":                {Owner: "next", Held: before.Held},
		"an epoch that is to come":      {Owner: "next", Held: store.Held{Generation: first.ID, Epoch: now.Epoch + 1}},
		"another plugin's leader":       elsewhere,
		"whoever builds":                {Owner: "next", Held: store.Held{Generation: built.ID, Epoch: build.Epoch}},
		"nobody":                        {},
	}
	for name, by := range refused {
		if _, err := s.DropGeneration(t.Context(), store.Drop{Generation: built.ID, By: by, Limit: 10}); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("%s drops: %v", name, err)
		}
		if _, err := s.BuildGeneration(t.Context(), by, "p", 0, ""); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("%s builds: %v", name, err)
		}
	}
	a := store.Answer{Request: id, State: store.Refused, Text: "there is no such generation"}
	wantError(t, s.AnswerRequest(t.Context(), before.Generation, before.Epoch, a), store.ErrLeaseLost)
	// Nothing of it has touched the build.
	check(t, s.Commit(t.Context(), store.Commit{Generation: built.ID, Owner: "next", Epoch: build.Epoch, Expected: build.Position, Position: build.Position + 1}))
	if all, err := s.NotLive(t.Context()); err != nil || len(all) != 1 || all[0].State != store.Building {
		t.Errorf("not live are %+v (%v)", all, err)
	}
	if _, err := s.BuildGeneration(t.Context(), now, "p", 0, ""); !errors.Is(err, store.ErrBuilding) {
		t.Errorf("the leader builds a second one: %v", err)
	}
	gone, err := s.DropGeneration(t.Context(), store.Drop{Generation: built.ID, By: now, Limit: 10})
	if check(t, err); !gone {
		t.Error("it has no documents, and is not gone")
	}
	if _, err := s.BuildGeneration(t.Context(), now, "p", 0, ""); err != nil {
		t.Errorf("the leader builds another one: %v", err)
	}
	if g, err := s.FindPlugin(t.Context(), "other"); err != nil || g.ID != other.ID {
		t.Errorf("the other plugin is %+v (%v)", g, err)
	}
}

// generationKept is what needs no leader: to drop what has been kept for long enough, and to go on with a drop.
func generationKept(t *testing.T, db *database) {
	s := db.open(t)
	first := ensure(t, s, "p", 0)
	old := take(t, s, first.ID)
	moveTo(t, s, first.ID, old, 1)
	second, fresh := build(t, s, "p", 5, "")
	swap := func(from store.Generation, a store.Lease, to store.Generation, b store.Lease) {
		t.Helper()
		check(t, s.SwitchGeneration(t.Context(), store.Switch{Plugin: "p", Owner: "h", Rollback: true, From: held(from, a), To: held(to, b)}))
	}
	swap(first, old, second, fresh)
	sweep := func(g store.Generation, keptFor time.Duration) error {
		_, err := s.DropGeneration(t.Context(), store.Drop{Generation: g.ID, KeptFor: keptFor, Limit: 1})
		return err
	}
	wantError(t, sweep(first, time.Hour), store.ErrLeaseLost)
	wantError(t, sweep(second, 0), store.ErrLive)
	retiredFor := func() time.Duration {
		all, err := s.NotLive(t.Context())
		check(t, err)
		return all[0].RetiredFor
	}
	const keep = 200 * time.Millisecond
	eventually(t, "it has been kept for long enough", func() bool { return retiredFor() > keep })
	// Whoever saw this and stood still finds another one, that has just been retired.
	swap(second, take(t, s, second.ID), first, take(t, s, first.ID))
	wantError(t, sweep(first, keep), store.ErrLive)
	wantError(t, sweep(second, time.Hour), store.ErrLeaseLost)
	eventually(t, "the other has been kept for long enough", func() bool { return retiredFor() > keep })
	check(t, sweep(second, keep))
	if all, err := s.NotLive(t.Context()); err != nil || len(all) != 1 || all[0].State != store.Dropping {
		t.Errorf("what is being dropped is %+v (%v)", all, err)
	}
	check(t, sweep(second, time.Hour)) // it is begun
}

func generationModules(t *testing.T, db *database) {
	s := db.open(t)
	if _, err := s.Module(t.Context(), "aa"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a module nobody put: %v", err)
	}
	if _, err := s.FindStandIn(t.Context(), "p"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the stand-in of a plugin that is not there: %v", err)
	}
	want := "\x00asm\xff\x00"
	for range 2 {
		check(t, s.PutModule(t.Context(), "aa", []byte(want)))
	}
	if got, err := s.Module(t.Context(), "aa"); err != nil || string(got) != want {
		t.Errorf("got %q (%v)", got, err)
	}
}
