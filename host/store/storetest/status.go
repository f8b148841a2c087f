package storetest

import (
	"regexp"
	"testing"
	"time"

	"eshost/host/store"
)

var statusCases = []testCase{
	{"a new plugin", statusNew},
	{"by name", statusOrder},
	{"owner", statusOwner},
	{"failures", statusFailures},
	{"describe", statusDescribe},
	{"identity", statusIdentity},
}

func findStatus(t *testing.T, s store.Store, plugin string) store.PluginStatus {
	t.Helper()
	all, err := s.Plugins(t.Context())
	check(t, err)
	for _, p := range all {
		if p.Plugin == plugin {
			return p
		}
	}
	t.Fatalf("no plugin %q in %+v", plugin, all)
	return store.PluginStatus{}
}

func statusNew(t *testing.T, db *database) {
	s := db.open(t)
	if all, err := s.Plugins(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("a new store has plugins %+v (%v)", all, err)
	}
	g := ensure(t, s, "p", 7)
	got := findStatus(t, s, "p")
	if got.Generation != g || got.Condition.State != store.Running || got.Condition.Reason != "" || got.Owner != nil || got.Digest != "" ||
		got.Retrying != 0 || got.Parked != 0 || got.Waiting != 0 || got.FirstFailure != nil {
		t.Errorf("got %+v", got)
	}
}

func statusOrder(t *testing.T, db *database) {
	s := db.open(t)
	for _, name := range []string{"b", "a", "é", "B"} {
		ensure(t, s, name, 0)
	}
	all, err := s.Plugins(t.Context())
	check(t, err)
	var names string
	for _, p := range all {
		names += p.Plugin + " "
	}
	if names != "B a b é " {
		t.Errorf("plugins are in order %s", names)
	}
}

func statusOwner(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	o.commit(t, 9, nil)
	o.commit(t, 9, func(c *store.Commit) { c.Digest = "" }) // no module took part
	got := findStatus(t, s, "p")
	if got.Generation != o.Generation || got.Digest != "d1" {
		t.Errorf("got %+v, want generation %+v", got, o.Generation)
	}
	if h := got.Owner; h == nil || h.ID != "owner of p" || h.Name != "name of owner of p" || !h.Live || !between(h.ExpiresIn, long) {
		t.Errorf("owner is %+v", got.Owner)
	}
	if got.UpdatedAt.Before(time.Now().Add(-time.Hour)) || got.UpdatedAt.After(time.Now().Add(time.Hour)) {
		t.Errorf("updated at %v", got.UpdatedAt)
	}
	register(t, s, "owner of p", time.Millisecond)
	waitExpired(t, s, "owner of p")
	if h := findStatus(t, s, "p").Owner; h == nil || h.Live {
		t.Errorf("an owner that has expired is %+v", h)
	}
	check(t, s.Release(t.Context(), o.ID, o.Epoch))
	if h := findStatus(t, s, "p").Owner; h != nil {
		t.Errorf("released, and the owner is %+v", h)
	}
}

func statusFailures(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 5)
	o := own(t, s, "p")
	own(t, s, "q").commit(t, p[4], nil)
	o.commit(t, p[4], func(c *store.Commit) {
		for i, key := range []string{"k", "l", "m", "k", "m"} {
			c.Queue = append(c.Queue, store.QueuedEvent{Key: key, Position: p[i]})
		}
		c.Sequences = []store.Sequence{
			{Key: "m", State: store.Retrying, Position: p[2]},
			{Key: "k", State: store.Parked, Position: p[0], Attempts: 5, Error: "no"},
			{Key: "l", State: store.Parked, Position: p[1]},
		}
	})
	got := findStatus(t, s, "p")
	if got.Retrying != 1 || got.Parked != 2 || got.Waiting != 5 {
		t.Errorf("got %+v", got)
	}
	if f := got.FirstFailure; f == nil || f.Key != "k" || f.Position != p[0] || f.State != store.Parked || f.Error != "no" || f.Attempts != 5 {
		t.Errorf("the first failure is %+v", f)
	}
	if other := findStatus(t, s, "q"); other.Parked != 0 || other.Waiting != 0 || other.FirstFailure != nil {
		t.Errorf("another plugin is %+v", other)
	}
}

func statusDescribe(t *testing.T, db *database) {
	if s := db.open(t); s.Describe() == "" {
		t.Error("the store does not say what it is")
	}
}

func statusIdentity(t *testing.T, db *database) {
	identity := func() string {
		id, err := db.open(t).Identity(t.Context())
		check(t, err)
		return id
	}
	first := identity()
	if !regexp.MustCompile(`^[0-9a-z-]+$`).MatchString(first) {
		t.Errorf("the identity is %q", first)
	}
	if again := identity(); again != first {
		t.Errorf("the identity was %q and is %q", first, again)
	}
}
