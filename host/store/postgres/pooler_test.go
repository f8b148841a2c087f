package postgres_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/postgres"
	"eshost/test/pgtest"
)

// TestPoolerIsFoundOut opens a store through a pooler and past it, with and without a word about it in the URL.
func TestPoolerIsFoundOut(t *testing.T) {
	t.Parallel()
	pooled, direct := pgtest.Pooled(t, nil)
	for raw, want := range map[string]bool{
		pooled: true, pooled + "&pgbouncer=true": true, pooled + "&default_query_exec_mode=exec": true,
		direct: false, direct + "&pgbouncer=false": false, direct + "&pgbouncer=true": true,
	} {
		s := opened(t, raw)
		if _, err := s.EnsurePlugin(t.Context(), "p", 0, 1, "stream"); err != nil {
			t.Error(err)
		}
		if said := strings.Contains(s.Describe(), "through a pooler"); said != want {
			t.Errorf("%q describes itself as %s", strings.TrimPrefix(raw, direct), s.Describe())
		}
	}
}

// TestPoolerWithSessionsIsTakenAtItsWord is PgBouncer in session mode: pgbouncer=false keeps what is prepared.
func TestPoolerWithSessionsIsTakenAtItsWord(t *testing.T) {
	t.Parallel()
	pooled, _ := pgtest.Pooled(t, map[string]string{"pool_mode": "session"})
	s := opened(t, pooled+"&pgbouncer=false")
	owned(t, s, "p")
	r := follow(t, s)
	for _, result := range s.Append(t.Context(), []store.AppendRequest{appendOne("a", store.AnyVersion, "a-1")}) {
		if result.Err != nil {
			t.Error(result.Err)
		}
	}
	r.want("a-1")
}

// TestPoolerDenied is a URL that says there is none, before a pooler in transaction mode.
func TestPoolerDenied(t *testing.T) {
	t.Parallel()
	pooled, _ := pgtest.Pooled(t, map[string]string{"default_pool_size": "1"})
	eventually(t, "an error names the parameter", func() bool {
		s, err := postgres.Open(t.Context(), pooled+"&pgbouncer=false", postgres.Options{})
		if err == nil {
			s.Close()
			return false
		}
		if !strings.Contains(err.Error(), "take pgbouncer=false out") {
			t.Fatal(err)
		}
		return true
	})
}

// TestNothingIsLeftInASession has a pooler hand one session of the server from each transaction of everything a store
// does to the next, and then looks what has been left in it.
func TestNothingIsLeftInASession(t *testing.T) {
	t.Parallel()
	pooled, direct := pgtest.Pooled(t, map[string]string{"default_pool_size": "1"})
	s := opened(t, pooled)
	r := follow(t, s)
	g, lease := owned(t, s, "p")
	writer := begin(t, pooled+"&default_query_exec_mode=exec") // an application's transaction has the one session for itself
	writer.insert("written", 1)
	writer.exec("COMMIT")
	if result := s.Append(t.Context(), []store.AppendRequest{appendOne("appended", store.AnyVersion, "appended-1")})[0]; result.Err != nil {
		t.Fatal(result.Err)
	}
	r.want("written-1 appended-1")
	commit := store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Position: 2, Documents: []event.DocumentWrite{{Position: 2, Collection: "c", Key: "k", Data: []byte("{}")}},
		Emitted: []event.Emitted{{ID: "emitted-1", Stream: "emitted", Type: "T", Data: []byte("{}"), Cause: 2}}}
	if err := s.Commit(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
	r.want("written-1 appended-1 emitted-1")
	commit.Epoch--
	if err := s.Commit(t.Context(), commit); err == nil {
		t.Error("a commit of an old epoch passed")
	}

	server := connect(t, direct)
	const sessions = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
	if n := query[int](server, sessions); n != 1 {
		t.Errorf("the server has %d sessions, so the statements have not shared one", n)
	}
	// What the pooler itself sets for each of its clients is not a session's.
	left := connect(t, pooled+"&default_query_exec_mode=exec")
	const remains = `
SELECT coalesce(string_agg(what, ', '), '') FROM (
    SELECT 'prepared: ' || statement AS what FROM pg_prepared_statements WHERE name <> ''
    UNION ALL SELECT 'listens: ' || c FROM pg_listening_channels() c
    UNION ALL SELECT 'holds: ' || locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'
    UNION ALL SELECT 'set: ' || name FROM pg_settings WHERE source = 'session'
        AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')
    UNION ALL SELECT 'temporary: ' || relname FROM pg_class WHERE relpersistence = 't') kept`
	if kept := query[string](left, remains); kept != "" {
		t.Errorf("left in the session: %s", kept)
	}
}

// TestPoolerComesBetween moves a store that is open from the server to a pooler, without a word to it.
func TestPoolerComesBetween(t *testing.T) {
	t.Parallel()
	pooled, direct := pgtest.Pooled(t, map[string]string{"default_pool_size": "2", "server_round_robin": "1"})
	var to atomic.Value
	to.Store(hostOf(t, direct))
	moved, never := make(chan struct{}), make(chan struct{})
	address := listen(t, func(c net.Conn) {
		broken := moved
		if to.Load() != hostOf(t, direct) {
			broken = never
		}
		server, err := net.Dial("tcp", to.Load().(string))
		if err != nil {
			return
		}
		defer server.Close()
		ended := make(chan struct{}, 2)
		for _, way := range [][2]net.Conn{{server, c}, {c, server}} {
			go func() { io.Copy(way[0], way[1]); ended <- struct{}{} }()
		}
		select {
		case <-ended:
		case <-broken:
		}
	})
	s := opened(t, strings.Replace(direct, hostOf(t, direct), address, 1))
	g, lease := owned(t, s, "p")
	to.Store(hostOf(t, pooled))
	close(moved)
	refused := 0
	for p := event.Position(0); p < 20; {
		err := s.Commit(t.Context(), store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Expected: p, Position: p + 1})
		if err == nil {
			p++
		} else if refused++; refused > 5 || !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if !strings.Contains(s.Describe(), "through a pooler") {
		t.Errorf("it describes itself as %s", s.Describe())
	}
}

func hostOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
