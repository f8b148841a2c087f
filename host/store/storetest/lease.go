package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var leaseCases = []testCase{
	{"a plugin is made once", ensureOnce},
	{"many make one plugin", ensureRace},
	{"a plugin that is not there", findNone},
	{"hosts are listed", hostsListed},
	{"a held lease is refused", leaseHeld},
	{"the owner may take its lease again", leaseAgain},
	{"a lease ends with its host's registration", leaseExpires},
	{"a renewed registration keeps the lease", leaseRenewed},
	{"a removed host holds nothing", leaseRemoved},
	{"a released lease is free", leaseReleased},
	{"many want one lease", leaseRace},
}

const (
	long  = time.Hour
	short = 50 * time.Millisecond
)

func register(t *testing.T, s store.Store, id string, ttl time.Duration) store.Host {
	t.Helper()
	h := store.Host{ID: id, Name: "name of " + id, Process: "process of " + id, StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC)}
	check(t, s.RegisterHost(t.Context(), h, ttl))
	return h
}

func ensure(t *testing.T, s store.Store, plugin string, start event.Position) store.Generation {
	t.Helper()
	g, err := s.EnsurePlugin(t.Context(), plugin, start, 1, "stream")
	check(t, err)
	return g
}

func acquire(t *testing.T, s store.Store, generation int64, host string) store.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), generation, host)
	check(t, err)
	return l
}

func wantHeld(t *testing.T, s store.Store, generation int64, host, owner string) {
	t.Helper()
	_, err := s.Acquire(t.Context(), generation, host)
	wantError(t, err, store.ErrLeaseHeld)
	var held *store.LeaseHeldError
	if !errors.As(err, &held) || held.Owner.ID != owner || held.Owner.Name != "name of "+owner || held.Owner.Process != "process of "+owner ||
		!between(held.ExpiresIn, long) {
		t.Errorf("got %#v, want that %s holds it", err, owner)
	}
}

func waitExpired(t *testing.T, s store.Store, host string) {
	t.Helper()
	eventually(t, "the registration of "+host+" expires", func() bool {
		hosts, err := s.Hosts(t.Context())
		check(t, err)
		for _, h := range hosts {
			if h.ID == host {
				return !h.Live
			}
		}
		return false
	})
}

func ensureOnce(t *testing.T, db *database) {
	s := db.open(t)
	first := ensure(t, s, "p", 7)
	if first.ID == 0 || first.Plugin != "p" || first.Number != 1 || first.Position != 7 {
		t.Errorf("made %+v", first)
	}
	if again := ensure(t, s, "p", 99); again != first {
		t.Errorf("made %+v, then found %+v", first, again)
	}
	other := ensure(t, s, "q", 0)
	if other.ID == first.ID || other.Position != 0 {
		t.Errorf("another plugin is %+v, the first %+v", other, first)
	}
	found, err := db.open(t).FindPlugin(t.Context(), "p")
	if check(t, err); found != first {
		t.Errorf("made %+v, another handle finds %+v", first, found)
	}
}

func ensureRace(t *testing.T, db *database) {
	handles := []store.Store{db.open(t), db.open(t)}
	made := make([]store.Generation, 8)
	var wg sync.WaitGroup
	for i := range made {
		wg.Go(func() {
			var err error
			if made[i], err = handles[i%2].EnsurePlugin(t.Context(), "p", event.Position(i), 1+i%3, "stream"); err != nil {
				t.Errorf("ensure: %v", err)
			}
		})
	}
	wg.Wait()
	for _, g := range made {
		if g != made[0] {
			t.Fatalf("two generations: %+v and %+v", g, made[0])
		}
	}
}

func findNone(t *testing.T, db *database) {
	s := db.open(t)
	_, err := s.FindPlugin(t.Context(), "none")
	wantError(t, err, store.ErrNotFound)
	_, err = s.Acquire(t.Context(), 4711, "h")
	wantError(t, err, store.ErrNotFound)
}

func hostsListed(t *testing.T, db *database) {
	s := db.open(t)
	if hosts, err := s.Hosts(t.Context()); err != nil || len(hosts) != 0 {
		t.Errorf("a new store has hosts %v (%v)", hosts, err)
	}
	want := register(t, s, "h1", long)
	register(t, s, "h2", time.Millisecond)
	waitExpired(t, s, "h2")
	hosts, err := s.Hosts(t.Context())
	check(t, err)
	if len(hosts) != 2 {
		t.Fatalf("got %+v", hosts)
	}
	for _, h := range hosts {
		switch h.ID {
		case "h1":
			if h.Name != want.Name || h.Process != want.Process || !h.StartedAt.Equal(want.StartedAt) || !h.Live || !between(h.ExpiresIn, long) {
				t.Errorf("registered %+v, got %+v", want, h)
			}
		case "h2":
			if h.Live || h.ExpiresIn > 0 {
				t.Errorf("an expired host is %+v", h)
			}
		default:
			t.Errorf("unknown host %+v", h)
		}
	}
}

func leaseHeld(t *testing.T, db *database) {
	s := db.open(t)
	g := ensure(t, s, "p", 7)
	register(t, s, "h1", long)
	register(t, s, "h2", long)
	if l := acquire(t, s, g.ID, "h1"); l.Epoch <= g.Epoch || l.Position != 7 {
		t.Errorf("generation %+v gave lease %+v", g, l)
	}
	wantHeld(t, db.open(t), g.ID, "h2", "h1")
	acquire(t, s, ensure(t, s, "q", 0).ID, "h2") // another plugin is free
}

func leaseAgain(t *testing.T, db *database) {
	s := db.open(t)
	g := ensure(t, s, "p", 0)
	register(t, s, "h1", long)
	first := acquire(t, s, g.ID, "h1")
	second := acquire(t, s, g.ID, "h1")
	if second.Epoch <= first.Epoch {
		t.Errorf("the epoch went from %d to %d", first.Epoch, second.Epoch)
	}
	err := s.Commit(t.Context(), store.Commit{Generation: g.ID, Owner: "h1", Epoch: first.Epoch, Position: 1})
	wantError(t, err, store.ErrLeaseLost)
}

func leaseExpires(t *testing.T, db *database) {
	s := db.open(t)
	g := ensure(t, s, "p", 0)
	register(t, s, "h1", short)
	register(t, s, "h2", long)
	first := acquire(t, s, g.ID, "h1")
	waitExpired(t, s, "h1")

	// An owner nobody replaced may go on.
	check(t, s.Commit(t.Context(), store.Commit{Generation: g.ID, Owner: "h1", Epoch: first.Epoch, Position: 1}))

	second := acquire(t, s, g.ID, "h2")
	if second.Epoch <= first.Epoch || second.Position != 1 {
		t.Errorf("lease %+v followed %+v", second, first)
	}
	err := s.Commit(t.Context(), store.Commit{Generation: g.ID, Owner: "h1", Epoch: first.Epoch, Expected: 1, Position: 2})
	wantError(t, err, store.ErrLeaseLost)
	register(t, s, "h1", long) // coming back does not bring the lease back
	wantHeld(t, s, g.ID, "h1", "h2")
}

func leaseRenewed(t *testing.T, db *database) {
	s := db.open(t)
	g := ensure(t, s, "p", 0)
	register(t, s, "h1", time.Millisecond)
	acquire(t, s, g.ID, "h1")
	waitExpired(t, s, "h1")
	register(t, s, "h1", long)
	register(t, s, "h2", long)
	wantHeld(t, s, g.ID, "h2", "h1")
}

func leaseRemoved(t *testing.T, db *database) {
	s := db.open(t)
	p, q := ensure(t, s, "p", 0), ensure(t, s, "q", 0)
	register(t, s, "h1", long)
	register(t, s, "h2", long)
	first := acquire(t, s, p.ID, "h1")
	acquire(t, s, q.ID, "h1")
	check(t, s.RemoveHost(t.Context(), "h1"))
	check(t, s.RemoveHost(t.Context(), "h1")) // once more does no harm
	register(t, s, "h1", long)                // coming back does not bring the leases back
	if l := acquire(t, s, p.ID, "h2"); l.Epoch <= first.Epoch {
		t.Errorf("the epoch went from %d to %d", first.Epoch, l.Epoch)
	}
	acquire(t, s, q.ID, "h2")
	check(t, s.RemoveHost(t.Context(), "h1"))
	hosts, err := s.Hosts(t.Context())
	if check(t, err); len(hosts) != 1 || hosts[0].ID != "h2" {
		t.Errorf("hosts are %+v", hosts)
	}
}

func leaseReleased(t *testing.T, db *database) {
	s := db.open(t)
	g := ensure(t, s, "p", 0)
	register(t, s, "h1", long)
	register(t, s, "h2", long)
	first := acquire(t, s, g.ID, "h1")
	check(t, s.Release(t.Context(), g.ID, first.Epoch))
	second := acquire(t, s, g.ID, "h2")
	if second.Epoch <= first.Epoch {
		t.Errorf("the epoch went from %d to %d", first.Epoch, second.Epoch)
	}
	check(t, s.Release(t.Context(), g.ID, first.Epoch)) // too late: it is the other's now
	wantHeld(t, s, g.ID, "h1", "h2")
}

func leaseRace(t *testing.T, db *database) {
	handles := []store.Store{db.open(t), db.open(t)}
	g := ensure(t, handles[0], "p", 0)
	hosts := []string{"h0", "h1", "h2", "h3", "h4", "h5"}
	for _, h := range hosts {
		register(t, handles[0], h, long)
	}
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { _, errs[i] = handles[i%2].Acquire(t.Context(), g.ID, h) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantError(t, err, store.ErrLeaseHeld)
		}
	}
	if won != 1 {
		t.Errorf("%d hosts got the lease", won)
	}
}
