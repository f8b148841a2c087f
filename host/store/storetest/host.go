package storetest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"eshost/host/store"
)

var hostCases = []testCase{
	{"what hosts declare comes back", hostDeclares},
	{"a registration is renewed", hostRenewed},
	{"the long dead are forgotten", hostsForgotten},
	{"the bell is heard through another handle's tail", bellHeard},
	{"nothing else rings the bell", bellSilent},
}

func findHost(t *testing.T, s store.Store, id string) *store.Host {
	t.Helper()
	hosts, err := s.Hosts(t.Context())
	check(t, err)
	i := slices.IndexFunc(hosts, func(h store.Host) bool { return h.ID == id })
	if i < 0 {
		return nil
	}
	return &hosts[i]
}

func hostDeclares(t *testing.T, db *database) {
	s := db.open(t)
	h := register(t, s, "h", long)
	if got := findHost(t, s, "h"); got.Declares != nil || got.Weight != 0 || got.DeclaredAt.IsZero() {
		t.Errorf("declared nothing, got %+v", got)
	}
	var last time.Time
	for i, declared := range []struct {
		weight   float64
		declares []store.Declared
	}{
		{1, nil}, {2.5, nil}, {2.5, []store.Declared{{Plugin: `a "é`, Partitions: 4, OrderBy: "metadata.x", Weight: 0.25}, {Plugin: "b", Partitions: 1, OrderBy: "stream", Weight: 1}}},
		{2.5, []store.Declared{{Plugin: "b", Partitions: 2, OrderBy: "stream", Weight: 1}}},
	} {
		h.Weight, h.Declares = declared.weight, declared.declares
		check(t, s.RegisterHost(t.Context(), h, long))
		got := findHost(t, db.open(t), "h")
		if got.Weight != h.Weight || !reflect.DeepEqual(got.Declares, h.Declares) || !got.Live {
			t.Errorf("declared %+v, got %+v", h, got)
		}
		if !got.DeclaredAt.After(last) || got.DeclaredAt.Location() != time.UTC {
			t.Errorf("step %d: declared at %v, before at %v", i, got.DeclaredAt, last)
		}
		last = got.DeclaredAt
		eventually(t, "the database's clock goes on", func() bool { // so that another time would be seen
			check(t, s.RegisterHost(t.Context(), store.Host{ID: "clock", Weight: h.Weight + float64(time.Now().UnixNano())}, long))
			return findHost(t, s, "clock").DeclaredAt.After(last)
		})
		check(t, s.RegisterHost(t.Context(), h, long))
		if again := findHost(t, s, "h"); !again.DeclaredAt.Equal(last) {
			t.Errorf("step %d: declared the same again, and the time went from %v to %v", i, last, again.DeclaredAt)
		}
	}
}

func hostRenewed(t *testing.T, db *database) {
	s := db.open(t)
	wantError(t, s.RenewHost(t.Context(), "h", long), store.ErrNotFound)
	h := store.Host{ID: "h", Name: "n", Weight: 3, Declares: []store.Declared{{Plugin: "p", Partitions: 1, OrderBy: "stream", Weight: 1}}}
	check(t, s.RegisterHost(t.Context(), h, time.Millisecond))
	g := ensure(t, s, "p", 0)
	acquire(t, s, g.ID, "h")
	waitExpired(t, s, "h")
	check(t, s.RenewHost(t.Context(), "h", long))
	if got := findHost(t, s, "h"); !got.Live || !between(got.ExpiresIn, long) || got.Name != "n" || got.Weight != 3 || len(got.Declares) != 1 {
		t.Errorf("got %+v", got)
	}
	register(t, s, "h2", long)
	_, err := s.Acquire(t.Context(), g.ID, "h2")
	wantError(t, err, store.ErrLeaseHeld)
	check(t, s.RemoveHost(t.Context(), "h"))
	wantError(t, s.RenewHost(t.Context(), "h", long), store.ErrNotFound)
	if findHost(t, s, "h") != nil {
		t.Error("renewing has brought a host back that was removed")
	}
}

func hostsForgotten(t *testing.T, db *database) {
	s := db.open(t)
	register(t, s, "alive", long)
	register(t, s, "dead for an hour", -time.Hour)
	register(t, s, "dead for long", -25*time.Hour)
	if findHost(t, s, "dead for long") == nil {
		t.Error("a host forgets itself")
	}
	register(t, s, "me", -25*time.Hour)
	for id, want := range map[string]bool{"alive": true, "dead for an hour": true, "dead for long": false, "me": true} {
		if got := findHost(t, s, id) != nil; got != want {
			t.Errorf("%s is there: %v", id, got)
		}
	}
}

// listener polls a tail for the bell.
type listener struct {
	tail store.Tail
	last int64
}

func listen(t *testing.T, s store.Store) *listener {
	t.Helper()
	l := &listener{tail: s.Tail(0)}
	t.Cleanup(l.tail.Close)
	l.heard(t)
	return l
}

// heard reports whether the bell was rung since the last look.
func (l *listener) heard(t *testing.T) bool {
	t.Helper()
	state, err := l.tail.Poll(t.Context(), 10)
	check(t, err)
	rung := state.Bell != l.last
	l.last = state.Bell
	return rung
}

// bells are changes that other hosts should look at, each possible after those before it.
var bells = []struct {
	what   string
	change func(t *testing.T, s store.Store, p *split)
}{
	{"a host joins", func(t *testing.T, s store.Store, _ *split) { register(t, s, "new", long) }},
	{"a host declares something", func(t *testing.T, s store.Store, _ *split) {
		check(t, s.RegisterHost(t.Context(), store.Host{ID: "new", Declares: []store.Declared{{Plugin: "p"}}}, long))
	}},
	{"a host weighs more", func(t *testing.T, s store.Store, _ *split) {
		check(t, s.RegisterHost(t.Context(), store.Host{ID: "new", Weight: 2, Declares: []store.Declared{{Plugin: "p"}}}, time.Millisecond))
	}},
	{"a host comes back", func(t *testing.T, s store.Store, _ *split) {
		waitExpired(t, s, "new")
		check(t, s.RegisterHost(t.Context(), store.Host{ID: "new", Weight: 2, Declares: []store.Declared{{Plugin: "p"}}}, long))
	}},
	{"a host leaves", func(t *testing.T, s store.Store, _ *split) { check(t, s.RemoveHost(t.Context(), "new")) }},
	{"a plugin is made", func(t *testing.T, s store.Store, _ *split) { ensure(t, s, "made", 0) }},
	{"a lease is given up", func(t *testing.T, s store.Store, p *split) {
		check(t, s.Release(t.Context(), p.parts[1].ID, p.parts[1].Epoch))
	}},
	{"a request is asked", func(t *testing.T, s store.Store, _ *split) {
		ask(t, s, store.Request{Plugin: "p", Action: store.AskPause})
	}},
	{"a pause begins", func(t *testing.T, s store.Store, p *split) {
		check(t, s.Commit(t.Context(), store.Commit{Generation: p.root().ID, Owner: p.owner, Epoch: p.root().Epoch, Pause: &store.Pause{Who: "ada"}}))
	}},
	{"a pause ends", func(t *testing.T, s store.Store, p *split) {
		check(t, s.Commit(t.Context(), store.Commit{Generation: p.root().ID, Owner: p.owner, Epoch: p.root().Epoch, Pause: &store.Pause{}}))
	}},
	{"a plugin is split anew", func(t *testing.T, s store.Store, p *split) {
		p.take(t, p.root().ID)
		check(t, s.Repartition(t.Context(), p.repartition(0, 1)))
	}},
	{"a generation is to be built", func(t *testing.T, s store.Store, p *split) {
		p.take(t, p.root().ID)
		_, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 0, "")
		check(t, err)
	}},
	{"a generation takes over", func(t *testing.T, s store.Store, p *split) {
		p.take(t, p.root().ID)
		built := *p
		others, err := s.NotLive(t.Context())
		check(t, err)
		built.take(t, others[0].ID)
		check(t, s.SwitchGeneration(t.Context(), store.Switch{Plugin: "p", Owner: p.owner, From: p.held(), To: built.held()}))
	}},
}

func bellHeard(t *testing.T, db *database) {
	s := db.open(t)
	p := splitUp(t, s, "p", 2)
	l := listen(t, db.open(t))
	for _, b := range bells {
		if l.heard(t) {
			t.Errorf("the bell is heard before %s", b.what)
		}
		b.change(t, s, p)
		if !l.heard(t) {
			t.Errorf("%s, and the bell is not heard", b.what)
		}
	}
	fill(t, s, "a", "e", 1) // a poll that finds events
	if l.heard(t) {
		t.Error("an event rings the bell")
	}
}

func bellSilent(t *testing.T, db *database) {
	s := db.open(t)
	p := splitUp(t, s, "p", 2)
	check(t, s.Release(t.Context(), p.parts[1].ID, p.parts[1].Epoch))
	l := listen(t, db.open(t))
	register(t, s, p.owner, long)
	check(t, s.RenewHost(t.Context(), p.owner, long))
	p.commit(t, 0, 3, nil)
	ensure(t, s, "p", 0)
	check(t, s.Release(t.Context(), p.parts[1].ID, p.parts[1].Epoch)) // it is free already
	check(t, s.Release(t.Context(), p.parts[0].ID, p.parts[0].Epoch-1))
	acquire(t, s, p.parts[1].ID, p.owner)
	wantError(t, s.Repartition(t.Context(), p.repartition(99, 2)), store.ErrLeaseLost)
	if l.heard(t) {
		t.Error("the bell was rung")
	}
}
