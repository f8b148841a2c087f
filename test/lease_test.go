package test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host/store"
)

// TestLeaseBesideCommitsThatWait has more plugins of a host wait for a lock, longer than a lease lasts, than the host has
// connections for commits. It is healthy: it keeps its plugins, although there is another host that would have them.
func TestLeaseBesideCommitsThatWait(t *testing.T) {
	t.Parallel()
	const leaseTTL, held = 2 * time.Second, 6 * time.Second
	seed := newSeed(t)
	storeURL := newDatabase(t, "postgres")
	s := openStore(t, storeURL)
	var plugins []plugin
	for i := range 9 {
		plugins = append(plugins, plugin{fmt.Sprint("p", i), balancesModule(t, "rust"), `events = ["AccountOpened", "Deposited", "Withdrawn"]`})
	}
	hosts := map[string]*process{}
	for name, weight := range map[string]int{"heavy": 99, "light": 1} {
		p := newProject(t, storeURL, name, plugins...)
		p.set("[host]", fmt.Sprintf("lease_ttl = %q\nweight = %d", leaseTTL, weight))
		hosts[name] = p.host()
	}
	for _, h := range hosts {
		h.ready()
	}
	stopFeed := feed(t, s, newSource("", seed))
	eventually(t, "the heavy host has all", func() error {
		by, err := owned(t, s)
		if err == nil && len(by["heavy"]) != len(plugins) {
			err = fmt.Errorf("%v", by)
		}
		return err
	})
	lock, err := pgx.Connect(t.Context(), storeURL)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close(context.WithoutCancel(t.Context()))
	before := leasesNow(t, s)
	if _, err := lock.Exec(t.Context(), "BEGIN; LOCK TABLE eshost.documents IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	var began time.Time // of the time in which no connection for commits is free
	eventually(t, "the lock is held for long", func() error {
		var waiting int
		err := lock.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'eshost.documents'::regclass").Scan(&waiting)
		switch {
		case err != nil:
			return err
		case waiting < 6:
			return fmt.Errorf("only %d commits wait", waiting)
		case began.IsZero():
			began = time.Now()
			stopFeed()
		}
		hosts, err := s.Hosts(t.Context())
		if err != nil {
			return err
		}
		for _, h := range hosts {
			if !h.Live {
				t.Fatalf("the registration of host %s has expired", h.Name)
			}
		}
		if time.Since(began) < held {
			return errors.New("not yet")
		}
		return nil
	})
	if _, err := lock.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(plugins))
	for i, p := range plugins {
		names[i] = p.name
	}
	settled(t, s, names...)
	if after := leasesNow(t, s); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("before the lock the leases were %v, and now they are %v", before, after)
	}
	want := modelOf(t, s).balances
	for _, name := range names {
		compareDocuments(t, name, documents(t, s, name, "balances"), want)
	}
	for _, h := range hosts {
		h.stop()
	}
}

// leasesNow says who owns each partition, under which epoch.
func leasesNow(t *testing.T, s store.Store) (leases []string) {
	t.Helper()
	units, err := s.Units(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		leases = append(leases, fmt.Sprintf("%s %s %d", u.Plugin, u.Owner, u.Epoch))
	}
	return leases
}
