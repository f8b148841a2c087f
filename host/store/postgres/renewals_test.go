package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/test/pgtest"
)

// TestRenewBesideCommitsThatWait renews and registers a host while more commits wait for a lock than there are
// connections for them.
func TestRenewBesideCommitsThatWait(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	const commits = 8
	var ready []store.Commit
	for i := range commits {
		g, lease := owned(t, s, fmt.Sprint("p", i))
		ready = append(ready, store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Expected: lease.Position, Position: lease.Position + 1,
			Documents: []event.DocumentWrite{{Collection: "c", Key: "k", Data: []byte("1"), Position: lease.Position + 1}}})
	}
	lock := begin(t, url)
	lock.exec(`LOCK TABLE eshost.documents IN SHARE MODE`)
	var wg sync.WaitGroup
	for _, c := range ready {
		wg.Go(func() {
			if err := s.Commit(t.Context(), c); err != nil {
				t.Errorf("commit: %v", err)
			}
		})
	}
	defer wg.Wait()
	defer lock.exec("ROLLBACK")
	admin := connect(t, url)
	eventually(t, "no connection for commits is free", func() bool {
		return query[int](admin, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'eshost.documents'::regclass`) == 6
	})
	for range 3 {
		for name, step := range map[string]func(context.Context) error{
			"renew": func(ctx context.Context) error { return s.RenewHost(ctx, "h", time.Minute) },
			"register": func(ctx context.Context) error {
				return s.RegisterHost(ctx, store.Host{ID: "h", Name: "h", StartedAt: time.Now(), Weight: 1}, time.Minute)
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // less than a commit waits for a lock
			if err := step(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
		}
	}
}

// TestRenewOverBrokenConnections: a renewal finds out by itself that its connection was lost, and one that timed out keeps
// none of the next waiting.
func TestRenewOverBrokenConnections(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	admin := connect(t, url)
	check(t, s.RegisterHost(t.Context(), store.Host{ID: "h", Name: "h", StartedAt: time.Now(), Weight: 1}, time.Minute))
	for range 3 {
		admin.exec(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'eshost%'`)
		check(t, s.RenewHost(t.Context(), "h", time.Minute))
	}
	lock := begin(t, url)
	lock.exec(`SELECT 1 FROM eshost.hosts WHERE id = 'h' FOR UPDATE`)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := s.RenewHost(ctx, "h", time.Minute); err == nil {
			t.Error("the row is locked, and the host was renewed")
		}
		cancel()
	}
	lock.exec("ROLLBACK")
	check(t, s.RenewHost(t.Context(), "h", time.Minute))
	check(t, s.Close())
	if err := s.RenewHost(t.Context(), "h", time.Minute); err == nil {
		t.Error("the store is closed, and the host was renewed")
	}
}
