package postgres_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/test/pgtest"
)

// TestCommitsOverBrokenConnections breaks the owner's connections in the middle of its commits. After an
// unknown outcome it acquires again and goes on from the checkpoint: each position is applied once.
func TestCommitsOverBrokenConnections(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	admin := connect(t, url)
	g, lease := owned(t, s, "p")
	const positions = 60
	admin.exec(`INSERT INTO eshost.events (stream, version, type) SELECT 'in', n, 'T' FROM generate_series(1, $1::int) n`, positions)

	done := make(chan struct{})
	var wg sync.WaitGroup
	broken := 0
	wg.Go(func() { broken = breakConnections(admin, `SELECT position FROM eshost.generations`, done) })
	unknown := 0
	for at := lease.Position; at < positions; {
		c := store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Expected: at, Position: at + 1, Digest: "d",
			Emitted: []event.Emitted{{Cause: at + 1, ID: fmt.Sprint("of ", at+1), Stream: "out", Type: "T"}}}
		for i := range 500 {
			c.Documents = append(c.Documents, event.DocumentWrite{Collection: "c", Key: fmt.Sprint(i), Data: fmt.Appendf(nil, `{"at":%d}`, at+1), Position: at + 1})
		}
		err := s.Commit(t.Context(), c)
		if err == nil {
			at++
			continue
		}
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("commit %d: %v", at+1, err)
		}
		unknown++
		eventually(t, "the lease is acquired again", func() bool { lease, err = s.Acquire(t.Context(), g.ID, "h"); return err == nil })
		if lease.Position != at && lease.Position != at+1 {
			t.Fatalf("the checkpoint was %d and is %d", at, lease.Position)
		}
		at = lease.Position
	}
	close(done)
	wg.Wait()
	if broken < 5 || unknown == 0 {
		t.Errorf("%d connections were broken, %d commits failed: this shows nothing", broken, unknown)
	}
	checkStreams(t, admin, 2*positions)
	if n := query[int](admin, `SELECT count(*) FROM eshost.events WHERE stream = 'out' AND id <> 'of ' || version`); n != 0 {
		t.Errorf("%d events were emitted out of order", n)
	}
	if n := query[int](admin, `SELECT count(*) FROM eshost.documents WHERE data->>'at' = $1 AND position = $2`, fmt.Sprint(positions), positions); n != 500 {
		t.Errorf("%d documents are as the last commit left them", n)
	}
}

// TestCommitAgainAfterAnUnknownOutcome is a commit that was applied although its answer was lost.
func TestCommitAgainAfterAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	g, lease := owned(t, s, "p")
	c := store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Position: 5, Digest: "d", Documents: []event.DocumentWrite{{Collection: "c", Key: "k", Data: []byte("1"), Position: 5}}}
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), c); !errors.Is(err, store.ErrCheckpointMoved) || !strings.Contains(err.Error(), "it is at 5") {
		t.Errorf("the same commit again: %v", err)
	}
	if err := s.Release(t.Context(), g.ID, lease.Epoch); err != nil {
		t.Fatal(err)
	}
	c.Expected, c.Position = 5, 6
	if err := s.Commit(t.Context(), c); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("a commit after the lease was released: %v", err)
	}
}

// TestAcquireWaitsForACommitUnderWay is the zombie: a commit whose owner has lost its connection, and
// that the server is still working on.
func TestAcquireWaitsForACommitUnderWay(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	g, lease := owned(t, s, "p")
	zombie := begin(t, url)
	zombie.exec(`UPDATE eshost.generations SET position = 7 WHERE id = $1 AND epoch = $2 AND position = 0`, g.ID, lease.Epoch)
	acquired := make(chan store.Lease)
	go func() {
		l, err := s.Acquire(t.Context(), g.ID, "h")
		if err != nil {
			t.Errorf("acquire: %v", err)
		}
		acquired <- l
	}()
	admin := connect(t, url)
	eventually(t, "acquire waits", func() bool {
		return query[int](admin, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`) == 1
	})
	zombie.exec("COMMIT")
	if l := <-acquired; l.Position != 7 || l.Epoch != lease.Epoch+1 {
		t.Errorf("acquired %+v after %+v", l, lease)
	}
}

func TestCommitNamesWhatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	connect(t, url).exec(`ALTER TABLE eshost.documents ADD CHECK (data::text <> '"refused"')`)
	g, lease := owned(t, s, "p")
	good := func() store.Commit {
		c := store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Position: 9, Digest: "d"}
		for i := range 100 {
			c.Documents = append(c.Documents, event.DocumentWrite{Collection: "c", Key: fmt.Sprint(i), Data: []byte(`{}`), Position: 3})
		}
		return c
	}
	for name, c := range map[string]struct {
		change func(c *store.Commit)
		word   string
	}{
		"no JSON":          {func(c *store.Commit) { c.Documents[77].Data = []byte(`{"a":`) }, `document "77" of collection "c", written by event 3`},
		"empty":            {func(c *store.Commit) { c.Documents[77].Data = []byte{} }, `document "77" of collection "c"`},
		"a zero byte":      {func(c *store.Commit) { c.Documents[77].Key = "a\x00" }, `document "a\x00" of collection "c"`},
		"a constraint":     {func(c *store.Commit) { c.Documents[77].Data = []byte(`"refused"`) }, `document "77" of collection "c"`},
		"a key of a queue": {func(c *store.Commit) { c.Queue = []store.QueuedEvent{{Key: "b\xff", Position: 4}} }, `"b\xff" of event 4`},
		"a sequence's key": {func(c *store.Commit) {
			c.Sequences = []store.Sequence{{Key: "b\xff", State: store.Parked, Position: 4}}
		}, `"b\xff" of event 4`},
	} {
		commit := good()
		c.change(&commit)
		err := s.Commit(t.Context(), commit)
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if docs, err := s.Scan(t.Context(), g.ID, store.ScanOptions{Collection: "c", Limit: 1000}); err != nil || len(docs) != 0 {
		t.Errorf("%d documents were written (%v)", len(docs), err)
	}
	// What a guest says about its failure never stops a commit.
	commit := good()
	commit.Sequences = []store.Sequence{{Key: "k", State: store.Parked, Position: 4, Error: "zero \x00 and \xff", Stack: "\x00"}}
	if err := s.Commit(t.Context(), commit); err != nil {
		t.Fatal(err)
	}
	if err := s.SetCondition(t.Context(), g.ID, lease.Epoch, store.Condition{State: store.Paused, Reason: "zero \x00"}); err != nil {
		t.Fatal(err)
	}
	if q, err := s.Sequences(t.Context(), g.ID); err != nil || q[0].Error != "zero \uFFFD and \uFFFD" {
		t.Errorf("sequences are %+v (%v)", q, err)
	}
}

// TestCommitsEmitIntoOneStream has two plugins and an appender write to the same stream.
func TestCommitsEmitIntoOneStream(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	const rounds, each = 15, 3
	var wg sync.WaitGroup
	for _, plugin := range []string{"p", "q"} {
		s := opened(t, url)
		g, lease := owned(t, s, plugin)
		wg.Go(func() {
			for at := event.Position(0); at < rounds; at++ {
				c := store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Expected: at, Position: at + 1, Digest: "d"}
				for i := range each {
					c.Emitted = append(c.Emitted, event.Emitted{Cause: at + 1, ID: fmt.Sprintf("%s-%d-%d", plugin, at, i), Stream: "shared", Type: "T"})
				}
				if err := s.Commit(t.Context(), c); err != nil {
					t.Errorf("commit of %s: %v", plugin, err)
					return
				}
			}
		})
	}
	s := opened(t, url)
	wg.Go(func() {
		for i := range rounds {
			if r := s.Append(t.Context(), []store.AppendRequest{appendOne("shared", store.AnyVersion, fmt.Sprint("a-", i))})[0]; r.Err != nil {
				t.Errorf("append: %v", r.Err)
			}
		}
	})
	wg.Wait()
	checkStreams(t, connect(t, url), 2*rounds*each+rounds)
}

func TestHostsThatAreLongDeadAreForgotten(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	admin := connect(t, url)
	for _, id := range []string{"old", "recent"} {
		if err := s.RegisterHost(t.Context(), store.Host{ID: id}, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	admin.exec(`UPDATE eshost.hosts SET expires_at = now() - CASE id WHEN 'old' THEN interval '25 hours' ELSE interval '23 hours' END`)
	if err := s.RegisterHost(t.Context(), store.Host{ID: "new"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := query[string](admin, `SELECT string_agg(id, ' ' ORDER BY id) FROM eshost.hosts`); got != "new recent" {
		t.Errorf("hosts are %s", got)
	}
}

func TestAdHocSQL(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	app := connect(t, url)
	r := follow(t, s)

	// An application's own events, in its own transaction.
	app.exec("BEGIN")
	app.exec(`CREATE TABLE orders (id text)`)
	app.exec(`INSERT INTO eshost.events (stream, version, type, data) VALUES ('account-7', 1, 'Opened', convert_to('{"owner": "Ada"}', 'UTF8'))`)
	app.exec(`SELECT eshost.append_event('account-7', 'Deposited', '{"amount": 5}', id => 'd-1', metadata => '{"by": "me"}')`)
	app.exec(`SELECT eshost.append_event('account-7', 'Deposited', '{"amount": 6}', expected_version => 2)`)
	app.exec("COMMIT")
	if _, err := app.conn.Exec(t.Context(), `SELECT eshost.append_event('account-7', 'Deposited', '{}', expected_version => 2)`); err == nil || !strings.Contains(err.Error(), "is at version 3, expected 2") {
		t.Errorf("append_event at a wrong version: %v", err)
	}
	app.exec(`INSERT INTO eshost.events (stream, version, type, data, content_type) VALUES
		('x', 1, 'Text', convert_to('naïve', 'UTF8'), 'text/plain'), ('x', 2, 'Binary', '\x00ff', 'application/octet-stream'),
		('x', 3, 'Broken', '{', 'application/json'), ('x', 4, 'NotUTF8', '\xff', 'text/plain')`)
	eventually(t, "all arrive", func() bool { r.poll(); return len(r.events) == 7 })
	e := r.events[1]
	if e.Stream != "account-7" || e.Version != 2 || e.ID != "d-1" || string(e.Data) != `{"amount": 5}` || string(e.Metadata) != `{"by": "me"}` || e.ContentType != "application/json" {
		t.Errorf("the application's event is %+v", e)
	}
	if got := query[int](app, `SELECT sum((data->>'amount')::int) FROM eshost.event_log WHERE type = 'Deposited'`); got != 11 {
		t.Errorf("the sum of deposits is %d", got)
	}
	if got := query[string](app, `SELECT string_agg(data #>> '{}', ' ' ORDER BY position) FROM eshost.event_log WHERE stream = 'x'`); got != "naïve AP8= ew== /w==" {
		t.Errorf("other content shows as %s", got)
	}
	for _, bad := range []string{
		`INSERT INTO eshost.events (stream, version, type) VALUES ('', 1, 'T')`,
		`INSERT INTO eshost.events (stream, version, type) VALUES ('y', 0, 'T')`,
		`INSERT INTO eshost.events (stream, version, type, metadata) VALUES ('y', 1, 'T', '[]')`,
		`INSERT INTO eshost.events (stream, version, type, time) VALUES ('y', 1, 'T', 'infinity')`,
		`INSERT INTO eshost.events (position, stream, version, type) VALUES (99, 'y', 1, 'T')`,
	} {
		if _, err := app.conn.Exec(t.Context(), bad); err == nil {
			t.Errorf("accepted: %s", bad)
		}
	}

	g, lease := owned(t, s, "balances")
	data, err := json.Marshal(map[string]int{"balance": 11})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Position: 3, Documents: []event.DocumentWrite{{Collection: "accounts", Key: "7", Data: data, Position: 3}}}); err != nil {
		t.Fatal(err)
	}
	if got := query[string](app, `SELECT data->>'balance' FROM eshost.read_models WHERE plugin = 'balances' AND collection = 'accounts' AND key = '7'`); got != "11" {
		t.Errorf("the balance is %s", got)
	}
}
