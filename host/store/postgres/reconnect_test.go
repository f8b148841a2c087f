package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/postgres"
	"eshost/test/pgtest"
)

// private is a database on a server that the test may stop.
func private(t *testing.T, settings map[string]string) (*pgtest.Server, string) {
	t.Helper()
	server := pgtest.Private(t, pgtest.Options{Settings: settings})
	url, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return server, url
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDatabaseGoesAwayAndComesBack: nothing is lost, and everything works again by itself.
func TestDatabaseGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	server, url := private(t, nil)
	s := opened(t, url)
	r := follow(t, s)
	g, lease := owned(t, s, "p")
	appendID := func(id string) error {
		return s.Append(t.Context(), []store.AppendRequest{appendOne("a", store.AnyVersion, id)})[0].Err
	}
	check(t, appendID("1"))
	r.want("1")

	check(t, server.Stop())
	for step, err := range map[string]error{
		"poll":    r.tryPoll(t.Context()),
		"append":  appendID("2"),
		"commit":  s.Commit(t.Context(), store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Position: 1}),
		"acquire": func() error { _, err := s.Acquire(t.Context(), g.ID, "h"); return err }(),
		"read":    func() error { _, err := s.Read(t.Context(), store.ReadOptions{UpTo: 1, Limit: 1}); return err }(),
		"open":    func() error { _, err := postgres.Open(t.Context(), url, postgres.Options{}); return err }(),
	} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s without a server: %v", step, err)
		}
	}
	check(t, server.Start(t.Context()))
	check(t, appendID("2"))
	check(t, s.Commit(t.Context(), store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Position: 1}))
	eventually(t, "the tail goes on", func() bool { return r.tryPoll(t.Context()) == nil })
	r.want("1 2")
}

// TestPreparedTransactionOverARestart: it has another name after it.
func TestPreparedTransactionOverARestart(t *testing.T) {
	t.Parallel()
	server, url := private(t, nil)
	s := opened(t, url)
	w := begin(t, url)
	w.insert("w", 1)
	w.exec(`PREPARE TRANSACTION 'open'`)
	w.insert("o", 1)
	r := follow(t, s)
	r.stays("")
	check(t, server.Stop())
	check(t, server.Start(t.Context()))
	eventually(t, "the tail goes on", func() bool { return r.tryPoll(t.Context()) == nil })
	r.stays("")
	w = connect(t, url)
	if name := query[string](w, `SELECT virtualtransaction FROM pg_locks WHERE mode = 'RowExclusiveLock' AND relation = 'eshost.events'::regclass`); !strings.HasPrefix(name, "-1/") {
		t.Errorf("after a restart the prepared transaction is called %s", name)
	}
	eventually(t, "it is named", func() bool {
		h := r.poll().Holders
		return len(h) == 1 && h[0].Application == "open"
	}, func() string { return fmt.Sprintf("%+v", r.state.Holders) })
	w.exec(`COMMIT PREPARED 'open'`)
	r.want("w-1 o-1")
}

// TestCrashWithAHoleAtTheEnd: what was published survives a crash even where it is only a hole, because
// it was not published before the server had it on disk.
func TestCrashWithAHoleAtTheEnd(t *testing.T) {
	t.Parallel()
	server, url := private(t, map[string]string{"wal_writer_delay": "50ms"})
	s := opened(t, url)
	r := follow(t, s)
	for round := 1; round <= 6; round++ {
		w := connect(t, url)
		w.insert("w", round)
		before := len(r.events)
		eventually(t, "the event comes", func() bool { return r.tryPoll(t.Context()) == nil && len(r.events) > before })
		w.exec("BEGIN")
		for i := range 40 { // more than the server writes down ahead
			w.insert("hole", i+1)
		}
		w.exec("ROLLBACK")
		if round%2 == 0 {
			eventually(t, "the hole is published", func() bool { r.poll(); return r.state.Watermark == r.state.Head })
		} else {
			r.poll()
		}
		published := r.state.Watermark
		check(t, server.Crash())
		check(t, server.Start(t.Context()))
		eventually(t, "the tail goes on", func() bool {
			err := r.tryPoll(t.Context())
			if errors.Is(err, store.ErrLogWentBack) {
				t.Fatalf("round %d: %v", round, err)
			}
			return err == nil
		})
		if r.state.Watermark < published {
			t.Fatalf("the watermark fell from %d to %d", published, r.state.Watermark)
		}
	}
}

func TestOpenRefusesAStandby(t *testing.T) {
	t.Parallel()
	server, url := private(t, nil)
	s := opened(t, url)
	r := follow(t, s)
	check(t, server.Stop())
	check(t, os.WriteFile(filepath.Join(server.Data(), "standby.signal"), nil, 0o644))
	check(t, server.Start(t.Context()))
	wantOpenError(t, url, postgres.Options{}, store.ErrUnavailable, "hot standby", "primary")
	eventually(t, "the tail refuses the standby", func() bool {
		err := r.tryPoll(t.Context())
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("poll: %v", err)
		}
		return strings.Contains(err.Error(), "hot standby")
	})
	if err := s.Append(t.Context(), []store.AppendRequest{appendOne("a", store.AnyVersion, "1")})[0].Err; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
}

func TestPositionBeforeWaitsForOpenEvents(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	w, other := begin(t, url), connect(t, url)
	w.insert("w", 1)
	other.insert("o", 1)
	type answer struct {
		p   event.Position
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		p, err := s.PositionBefore(t.Context(), time.Now().Add(-time.Hour))
		answers <- answer{p, err}
	}()
	eventually(t, "it looks at the locks", func() bool {
		return query[int](other, `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'eshost/%' AND datname = current_database() AND query LIKE '%pg_locks%'`) > 0
	})
	w.exec("COMMIT")
	if a := <-answers; a.err != nil || a.p != 0 {
		t.Errorf("the position before an hour ago is %d (%v)", a.p, a.err)
	}

	w.exec("BEGIN")
	w.insert("w", 2)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if p, err := s.PositionBefore(ctx, time.Now()); err == nil {
		t.Errorf("with an event open the position is %d", p)
	}
}

// TestPlansDoNotAge fills tables that were empty when the statements on them were first planned.
func TestPlansDoNotAge(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := open(t, url)
	admin := connect(t, url)
	admin.exec(`VACUUM ANALYZE eshost.events`)
	admin.exec(`VACUUM ANALYZE eshost.documents`)
	tail := s.Tail(0)
	g, lease := owned(t, s, "p")
	at := event.Position(0)
	use := func(n int) {
		t.Helper()
		var group []store.AppendRequest
		for i := range n {
			group = append(group, appendOne(fmt.Sprint("s", i), store.AnyVersion, ""))
		}
		for _, r := range s.Append(t.Context(), group) {
			check(t, r.Err)
		}
		_, err := tail.Poll(t.Context(), 10)
		check(t, err)
		_, err = s.Read(t.Context(), store.ReadOptions{After: 0, UpTo: 1 << 40, Limit: 10})
		check(t, err)
		_, err = s.Read(t.Context(), store.ReadOptions{After: 0, UpTo: 1 << 40, Limit: 10, Stream: "s1"})
		check(t, err)
		c := store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Expected: at, Position: at + 1, Digest: "d"}
		var keys []store.DocumentKey
		for i := range n {
			c.Documents = append(c.Documents, event.DocumentWrite{Collection: "c", Key: fmt.Sprint(i), Data: []byte(`0`)})
			keys = append(keys, store.DocumentKey{Collection: "c", Key: fmt.Sprint(i)})
		}
		c.Documents = append(c.Documents, event.DocumentWrite{Collection: "c", Key: "gone"})
		c.Emitted = []event.Emitted{{Cause: at, ID: fmt.Sprint("m", at), Stream: "out", Type: "T"}}
		check(t, s.Commit(t.Context(), c))
		at++
		_, err = s.Documents(t.Context(), g.ID, keys)
		check(t, err)
	}
	for range 12 {
		use(1)
	}
	for range 4 {
		use(1000)
	}
	for range 12 {
		use(1)
	}
	tail.Close()
	check(t, s.Close()) // sessions hand in their counts at their end
	eventually(t, "the store's sessions have ended", func() bool {
		return query[int](admin, `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'eshost/%' AND datname = current_database()`) == 0
	})
	if n := query[int](admin, `SELECT sum(idx_scan) FROM pg_stat_user_tables WHERE schemaname = 'eshost' AND relname IN ('events', 'documents')`); n < 4000 {
		t.Errorf("only %d index scans were counted: this shows nothing", n)
	}
	// A table of a few rows may be read whole, one of thousands never.
	if got := query[string](admin, `SELECT coalesce(string_agg(relname || ': ' || seq_tup_read, ', '), '') FROM pg_stat_user_tables
		WHERE schemaname = 'eshost' AND relname IN ('events', 'documents') AND seq_tup_read > 2000`); got != "" {
		t.Errorf("whole tables were read, with so many rows: %s", got)
	}
}
