package storetest

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var partitionCases = []testCase{
	{"a plugin is made in partitions", partitionMade},
	{"documents belong to the root", partitionDocuments},
	{"only owner and epoch together commit", partitionFencing},
	{"sequences are found from every partition", partitionSequences},
	{"units", partitionUnits},
	{"a plugin's status is of all its partitions", partitionStatus},
	{"a generation is built in partitions", partitionBuild},
	{"a switch needs all leases", partitionSwitchRefused},
}

func partitionMade(t *testing.T, db *database) {
	s := db.open(t)
	root, err := s.EnsurePlugin(t.Context(), "p", 7, 3, "metadata.tenant")
	check(t, err)
	parts, err := db.open(t).Partitions(t.Context(), root.ID)
	check(t, err)
	if len(parts) != 3 || parts[0] != root || root.Root != root.ID {
		t.Fatalf("made %+v in %+v", root, parts)
	}
	for i, p := range parts {
		want := store.Generation{ID: p.ID, Plugin: "p", Number: 1, Position: 7, Root: root.ID, Partition: i, Partitions: 3, OrderBy: "metadata.tenant"}
		if p != want || i > 0 && p.ID == root.ID {
			t.Errorf("partition %d is %+v", i, p)
		}
	}
	for _, n := range []int{1, 5} {
		if again, err := s.EnsurePlugin(t.Context(), "p", 0, n, "stream"); err != nil || again != root {
			t.Errorf("asked for %d partitions, what is there is %+v (%v)", n, again, err)
		}
	}
	l := acquire(t, s, parts[2].ID, "h")
	if l.Partitions != 3 || l.OrderBy != "metadata.tenant" || l.Position != 7 {
		t.Errorf("got lease %+v", l)
	}
	_, err = s.Partitions(t.Context(), root.ID+1000)
	wantError(t, err, store.ErrNotFound)
	_, err = s.EnsurePlugin(t.Context(), "q", 0, 0, "stream")
	wantError(t, err, store.ErrInvalid)
	_, err = s.EnsurePlugin(t.Context(), "q", 0, 1, "")
	wantError(t, err, store.ErrInvalid)
	_, err = s.FindPlugin(t.Context(), "q")
	wantError(t, err, store.ErrNotFound)
}

func partitionDocuments(t *testing.T, db *database) {
	s := db.open(t)
	other := own(t, s, "other")
	p := splitUp(t, s, "p", 2)
	for i := range p.parts {
		p.commit(t, i, 1, func(c *store.Commit) {
			c.Documents = []event.DocumentWrite{set("c", fmt.Sprint("of ", i), `1`, 1), set("c", fmt.Sprint("gone of ", i), `1`, 1)}
		})
	}
	for i := range p.parts {
		p.commit(t, i, 2, func(c *store.Commit) { c.Documents = []event.DocumentWrite{del("c", fmt.Sprint("gone of ", i), 2)} })
	}
	want := []string{"of 0", "of 1"}
	for _, root := range []int64{0, other.ID, p.parts[1].ID} { // no partition writes elsewhere
		wantError(t, p.try(t, 1, 3, func(c *store.Commit) {
			c.Root, c.Documents = root, []event.DocumentWrite{set("c", "astray", `1`, 1)}
		}), store.ErrInvalid)
	}
	docs, err := s.Scan(t.Context(), p.root().ID, store.ScanOptions{Collection: "c", Limit: 10})
	check(t, err)
	var keys []string
	for _, d := range docs {
		keys = append(keys, d.Key)
	}
	if !slices.Equal(keys, want) {
		t.Errorf("the root has %q", keys)
	}
	if got := db.ReadModel(t, "p"); !slices.Equal(got, want) {
		t.Errorf("the view read_models has %q", got)
	}
	for i, at := range []event.Position{2, 2} {
		if got := partitionsOf(t, s, "p")[i].Position; got != at {
			t.Errorf("partition %d is at %d", i, got)
		}
	}
}

// partitionFencing is invariant 2: whatever of the lease is not the current one, nothing changes.
func partitionFencing(t *testing.T, db *database) {
	s := db.open(t)
	f := fill(t, s, "a", "e", 3)
	p := splitUp(t, s, "p", 2)
	p.moveAll(t, f[0])
	everything := func(change func(*store.Commit)) func(*store.Commit) {
		return func(c *store.Commit) { everything(f)(c); change(c) }
	}
	before := p.contents(t)
	for what, change := range map[string]func(*store.Commit){
		"another host":                func(c *store.Commit) { c.Owner = "h2" },
		"an old epoch":                func(c *store.Commit) { c.Epoch-- },
		"an epoch to come":            func(c *store.Commit) { c.Epoch++ },
		"the other partition's lease": func(c *store.Commit) { c.Generation = p.parts[0].ID; c.Epoch++ },
	} {
		t.Log(what)
		wantError(t, p.try(t, 1, f[1], everything(change)), store.ErrLeaseLost)
	}
	wantError(t, p.try(t, 1, f[1], everything(func(c *store.Commit) { c.Owner = "" })), store.ErrInvalid)
	if after := p.contents(t); after != before {
		t.Errorf("the store holds\n%s\nwant\n%s", after, before)
	}

	check(t, s.RemoveHost(t.Context(), p.owner))
	wantError(t, p.try(t, 1, f[1], everything(func(*store.Commit) {})), store.ErrLeaseLost)
	register(t, s, p.owner, long) // coming back does not bring the lease back
	wantError(t, p.try(t, 1, f[1], everything(func(*store.Commit) {})), store.ErrLeaseLost)
	register(t, s, "h2", long)
	l := acquire(t, s, p.parts[1].ID, "h2")
	wantError(t, p.try(t, 1, f[1], everything(func(c *store.Commit) { c.Epoch = l.Epoch })), store.ErrLeaseLost)
	check(t, p.try(t, 1, f[1], everything(func(c *store.Commit) { c.Owner, c.Epoch = "h2", l.Epoch })))
}

func partitionSequences(t *testing.T, db *database) {
	s := db.open(t)
	f := fill(t, s, "a", "e", 6)
	p := splitUp(t, s, "p", 3)
	other := splitUp(t, s, "other", 2)
	other.commit(t, 1, f[5], parkedAt("k1", f[1]))
	p.commit(t, 0, f[5], parkedAt("k0", f[2]))
	p.commit(t, 1, f[5], parkedAt("k1", f[1], f[4]))
	p.commit(t, 2, f[5], parkedAt("k2", f[3]))
	for _, g := range p.parts {
		list, err := s.ListSequences(t.Context(), g.ID, store.SequenceOptions{Limit: 10})
		check(t, err)
		if got := keysOf(list); got != "k1 k0 k2 " {
			t.Errorf("from partition %d the sequences are %s", g.Partition, got)
		}
		if list, err = s.ListSequences(t.Context(), g.ID, store.SequenceOptions{Limit: 1, After: f[1]}); err != nil || keysOf(list) != "k0 " {
			t.Errorf("the page is %s (%v)", keysOf(list), err)
		}
		if q, err := s.FindSequence(t.Context(), g.ID, "k1"); err != nil || q.Position != f[1] || q.Waiting != 2 {
			t.Errorf("got %+v (%v)", q, err)
		}
		if q, err := s.SequenceWith(t.Context(), g.ID, f[4]); err != nil || q.Key != "k1" {
			t.Errorf("with event %d: %+v (%v)", f[4], q, err)
		}
		if queued, err := s.Queued(t.Context(), g.ID, "k1", 10); err != nil || !slices.Equal(ids(queued), []string{"e-1", "e-4"}) {
			t.Errorf("queued are %v (%v)", ids(queued), err)
		}
		own, err := s.Sequences(t.Context(), g.ID) // the partition's alone
		if check(t, err); keysOf(own) != fmt.Sprintf("k%d ", g.Partition) {
			t.Errorf("partition %d has %s", g.Partition, keysOf(own))
		}
	}
}

func partitionUnits(t *testing.T, db *database) {
	s := db.open(t)
	if units, err := s.Units(t.Context()); err != nil || len(units) != 0 {
		t.Errorf("a new store has %+v (%v)", units, err)
	}
	b := splitUp(t, s, "b", 2)
	ensure(t, s, "a", 5)
	built, err := s.BuildGeneration(t.Context(), leader(t, s, "b"), "b", 0, "")
	check(t, err)
	register(t, s, "dying", long)
	acquire(t, s, built.ID, "dying")
	register(t, s, "dying", time.Millisecond)
	waitExpired(t, s, "dying")
	b.commit(t, 1, 9, func(c *store.Commit) { c.Pause = &store.Pause{Who: "ada", Why: "lunch"} })

	units, err := db.open(t).Units(t.Context())
	check(t, err)
	var got []string
	for _, u := range units {
		got = append(got, fmt.Sprintf("%s/%d/%d of %d %s at %d, owner %q %v, paused by %q", u.Plugin, u.Number, u.Partition, u.Partitions, u.State,
			u.Position, u.Owner, u.OwnerLive, u.PausedBy))
	}
	want := []string{
		`a/1/0 of 1 live at 5, owner "" false, paused by ""`,
		`b/1/0 of 2 live at 0, owner "owner of b" true, paused by "ada"`,
		`b/1/1 of 2 live at 9, owner "owner of b" true, paused by "ada"`,
		`b/2/0 of 2 building at 0, owner "dying" false, paused by "ada"`,
		`b/2/1 of 2 building at 0, owner "" false, paused by "ada"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("units are\n%q\nwant\n%q", got, want)
	}
	if units[1].ID != b.root().ID || units[2].Root != b.root().ID || units[2].Epoch != b.parts[1].Epoch {
		t.Errorf("got %+v", units)
	}
	counted := s.(interface{ Statements() uint64 })
	ran := counted.Statements()
	_, err = s.Units(t.Context())
	if check(t, err); counted.Statements() != ran+1 {
		t.Errorf("they took %d statements", counted.Statements()-ran)
	}
}

func partitionStatus(t *testing.T, db *database) {
	s := db.open(t)
	f := fill(t, s, "a", "e", 5)
	own(t, s, "o")
	p := splitUp(t, s, "p", 3)
	own(t, s, "q")
	p.commit(t, 0, f[4], parkedAt("k0", f[3]))
	p.commit(t, 1, f[2], parkedAt("k1", f[1], f[2]))
	check(t, s.SetCondition(t.Context(), p.parts[1].ID, p.parts[1].Epoch, store.Condition{State: store.BackingOff, Reason: "the disk"}))
	check(t, s.SetCondition(t.Context(), p.parts[2].ID, p.parts[2].Epoch, store.Condition{State: store.Paused, Reason: "no money"}))
	check(t, s.Release(t.Context(), p.parts[2].ID, p.parts[2].Epoch))

	all, err := s.Plugins(t.Context())
	check(t, err)
	if len(all) != 3 || all[0].Plugin != "o" || all[2].Plugin != "q" || len(all[0].Partitions) != 1 {
		t.Fatalf("got %+v", all)
	}
	got := all[1]
	if got.ID != p.root().ID || got.Root != p.root().ID || got.Position != 0 || got.Partition != 0 || got.Generation.Partitions != 3 || got.Epoch != p.root().Epoch {
		t.Errorf("the plugin is %+v", got.Generation)
	}
	if got.Parked != 2 || got.Waiting != 3 || got.Retrying != 0 || got.FirstFailure == nil || got.FirstFailure.Key != "k1" {
		t.Errorf("got %+v, first %+v", got, got.FirstFailure)
	}
	if got.Condition.State != store.BackingOff || got.Condition.Reason != "the disk" || got.Owner == nil || got.Owner.ID != p.owner || got.Digest != "d1" {
		t.Errorf("got %+v", got)
	}
	if len(got.Partitions) != 3 {
		t.Fatalf("partitions are %+v", got.Partitions)
	}
	for i, part := range got.Partitions {
		if part.Generation != p.parts[i] || part.UpdatedAt.After(got.UpdatedAt) {
			t.Errorf("partition %d is %+v", i, part)
		}
	}
	if one := got.Partitions[1]; one.Parked != 1 || one.Waiting != 2 || one.Condition.State != store.BackingOff || one.Owner == nil || one.Digest != "d1" {
		t.Errorf("partition 1 is %+v", one)
	}
	if two := got.Partitions[2]; two.Owner != nil || two.Condition.State != store.Paused || two.Digest != "" {
		t.Errorf("partition 2 is %+v", two)
	}
	generations, err := s.Generations(t.Context(), "p")
	check(t, err)
	if len(generations) != 1 || generations[0].Waiting != 3 || generations[0].Condition.State != store.BackingOff || len(generations[0].Partitions) != 3 {
		t.Errorf("generations are %+v", generations)
	}
}

func partitionBuild(t *testing.T, db *database) {
	s := db.open(t)
	p := splitUp(t, s, "p", 2)
	old := *p
	built, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 3, "")
	check(t, err)
	if built.Partitions != 2 || built.Partition != 0 || built.Root != built.ID || built.OrderBy != "stream" {
		t.Errorf("built %+v", built)
	}
	others, err := s.NotLive(t.Context())
	check(t, err)
	if len(others) != 1 || others[0].ID != built.ID || others[0].State != store.Building || len(others[0].Partitions) != 2 ||
		others[0].HeldUntil != math.MaxInt64 || others[0].Position != 3 {
		t.Errorf("not live are %+v", others)
	}
	p.take(t, built.ID)
	p.commit(t, 0, 9, func(c *store.Commit) { c.Documents = []event.DocumentWrite{set("c", "0", `2`, 9)} })
	p.commit(t, 1, 9, func(c *store.Commit) { c.Documents = []event.DocumentWrite{set("c", "1", `2`, 9)} })
	old.moveAll(t, 9)
	w := store.Switch{Plugin: "p", Owner: p.owner, From: old.held(), To: p.held(), HeldUntil: 9}
	check(t, s.SwitchGeneration(t.Context(), w))
	if got := partitionsOf(t, s, "p"); got[0].ID != built.ID || len(got) != 2 || got[1].Epoch != p.parts[1].Epoch {
		t.Errorf("live are %+v", got)
	}
	if got := db.ReadModel(t, "p"); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("the view read_models has %q", got)
	}
	all, err := s.Generations(t.Context(), "p")
	check(t, err)
	if len(all) != 2 || all[0].State != store.Live || all[0].HeldUntil != 9 || all[1].State != store.Retired || all[1].Partitions[1].Owner != nil {
		t.Errorf("got %+v", all)
	}
	p.commit(t, 1, 10, nil) // whoever built it goes on
	wantError(t, old.try(t, 1, 10, nil), store.ErrLeaseLost)

	gone, err := s.DropGeneration(t.Context(), store.Drop{Generation: old.root().ID, By: leader(t, s, "p"), Limit: 10})
	if check(t, err); !gone {
		t.Error("nothing of it is left, and it is not gone")
	}
	_, err = s.Partitions(t.Context(), old.root().ID)
	wantError(t, err, store.ErrNotFound)
	_, err = s.Acquire(t.Context(), old.parts[1].ID, p.owner)
	wantError(t, err, store.ErrNotFound)
}

func partitionSwitchRefused(t *testing.T, db *database) {
	s := db.open(t)
	p := splitUp(t, s, "p", 2)
	old := *p
	built, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 0, "")
	check(t, err)
	p.take(t, built.ID)
	old.moveAll(t, 5)
	p.moveAll(t, 5)
	good := func() store.Switch {
		return store.Switch{Plugin: "p", Owner: p.owner, From: old.held(), To: p.held()}
	}
	refused := func(what string, want error, change func(*store.Switch)) {
		t.Helper()
		w := good()
		change(&w)
		t.Log(what)
		wantError(t, s.SwitchGeneration(t.Context(), w), want)
		if g, err := s.FindPlugin(t.Context(), "p"); err != nil || g.ID != old.root().ID {
			t.Fatalf("the live one is %+v (%v)", g, err)
		}
	}
	refused("another host", store.ErrLeaseLost, func(w *store.Switch) { w.Owner = "h" })
	refused("nobody", store.ErrInvalid, func(w *store.Switch) { w.Owner = "" })
	refused("one partition of the old one is missing", store.ErrLeaseLost, func(w *store.Switch) { w.From = w.From[:1] })
	refused("one partition of the new one is missing", store.ErrLeaseLost, func(w *store.Switch) { w.To = w.To[:1] })
	refused("one is named twice", store.ErrLeaseLost, func(w *store.Switch) { w.To[1] = w.To[0] })
	refused("a lease is lost", store.ErrLeaseLost, func(w *store.Switch) { w.From[1].Epoch-- })
	refused("another lease is lost", store.ErrLeaseLost, func(w *store.Switch) { w.To[1].Epoch-- })
	refused("nothing is named", store.ErrLeaseLost, func(w *store.Switch) { w.To = nil })
	p.commit(t, 1, 6, nil)
	refused("one partition is further", store.ErrCheckpointMoved, func(*store.Switch) {})
	old.commit(t, 0, 6, nil)
	refused("they are further crosswise", store.ErrCheckpointMoved, func(*store.Switch) {})
	p.commit(t, 0, 6, nil)
	refused("the old one is behind", store.ErrCheckpointMoved, func(*store.Switch) {})
	old.commit(t, 1, 6, nil)
	old.commit(t, 0, 7, nil)
	p.commit(t, 0, 7, nil)
	check(t, s.SwitchGeneration(t.Context(), good())) // each stands where the one does that it takes the place of
}
