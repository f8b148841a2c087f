package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/store/postgres"
	"eshost/test/pgtest"
)

func TestTailWaitsForOpenTransactions(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	r := follow(t, s)

	// The naive reader's trap: the later position commits first.
	slow, fast := begin(t, url), begin(t, url)
	slow.insert("slow", 1)
	fast.insert("fast", 1)
	fast.exec("COMMIT")
	r.stays("")
	if r.state.Head != 2 || r.state.Watermark != 0 {
		t.Errorf("while position 1 is open: %+v", r.state)
	}
	slow.exec("COMMIT")
	r.want("slow-1 fast-1")

	// A rollback leaves a hole.
	slow.exec("BEGIN")
	slow.insert("slow", 2)
	fast.insert("fast", 2)
	r.stays("slow-1 fast-1")
	slow.exec("ROLLBACK")
	r.want("slow-1 fast-1 fast-2")

	// What follows the open one without a hole below is final.
	slow.exec("BEGIN")
	fast.insert("fast", 3)
	slow.insert("slow", 3)
	fast.insert("fast", 4)
	r.want("slow-1 fast-1 fast-2 fast-3")
	slow.exec("COMMIT")
	r.want("slow-1 fast-1 fast-2 fast-3 slow-3 fast-4")
}

func TestTailOfAnOldWriterThatIsFirstToDraw(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	r := follow(t, s)

	// Each begins before the other ends: at no time is the table free.
	var before *session
	var want []string
	for i := 1; i <= 12; i++ {
		now := begin(t, url)
		now.insert("chain", i)
		r.poll()
		if before != nil {
			before.exec("COMMIT")
		}
		r.poll()
		want = append(want, fmt.Sprintf("chain-%d", i))
		if i > 2 { // and still the mark moves on
			got := strings.Join(want[:i-2], " ")
			eventually(t, "the tail gives "+got, func() bool { r.poll(); return strings.HasPrefix(r.ids(), got) })
		}
		before = now
	}
	before.exec("COMMIT")
	r.want(strings.Join(want, " "))
}

func TestTailSavepoints(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	r := follow(t, s)
	w, other := begin(t, url), connect(t, url)

	w.exec("SAVEPOINT a")
	w.insert("w", 1)
	w.exec("ROLLBACK TO a") // the lock is gone, and so is the event
	other.insert("o", 1)
	r.want("o-1")

	w.exec("SAVEPOINT b")
	w.insert("w", 1)
	w.exec("RELEASE b") // the lock stays
	other.insert("o", 2)
	r.stays("o-1")
	w.exec("SAVEPOINT c")
	w.insert("w", 2)
	w.exec("ROLLBACK TO c") // the lock stays: it was taken before
	other.insert("o", 3)
	r.stays("o-1")
	w.exec("COMMIT")
	r.want("o-1 w-1 o-2 o-3")
}

func TestTailCopy(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	r := follow(t, s)
	w, other := begin(t, url), connect(t, url)
	if _, err := w.conn.PgConn().CopyFrom(t.Context(), strings.NewReader("c\t1\tc-1\tT\nc\t2\tc-2\tT\n"), "COPY eshost.events (stream, version, id, type) FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	other.insert("o", 1)
	r.stays("")
	w.exec("COMMIT")
	r.want("c-1 c-2 o-1")
}

func TestTailPreparedTransactions(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	other := connect(t, url)
	if query[string](other, "SHOW max_prepared_transactions") == "0" {
		t.Skip("the server allows no prepared transactions")
	}
	r := follow(t, s)
	id := query[string](other, "SELECT current_database()") // the server's prepared transactions share one space of names
	for i, end := range []string{"COMMIT", "ROLLBACK"} {
		w := begin(t, url)
		w.insert("w", i+1)
		r.poll()
		w.exec(fmt.Sprintf("PREPARE TRANSACTION '%s-%d'", id, i))
		w.insert("own", i+1) // the session goes on
		w.conn.Close(t.Context())
		other.insert("o", i+1)
		before := r.ids()
		r.stays(before)
		eventually(t, "the holder is named", func() bool {
			h := r.poll().Holders
			return len(h) == 1 && h[0].PID == 0 && h[0].Application == fmt.Sprintf("%s-%d", id, i) && h[0].State == "prepared" && h[0].User != "" && h[0].Age > 0
		}, func() string { return fmt.Sprintf("%+v", r.state.Holders) })
		r.stays(before)
		other.exec(fmt.Sprintf("%s PREPARED '%s-%d'", end, id, i))
		if end == "COMMIT" {
			r.want("w-1 own-1 o-1")
		} else {
			r.want("w-1 own-1 o-1 own-2 o-2")
		}
	}
}

func TestTailIsNotHeldByOthers(t *testing.T) {
	t.Parallel()
	url, elsewhere := pgtest.Database(t), pgtest.Database(t)
	s := opened(t, url)
	opened(t, elsewhere)
	r := follow(t, s)
	w := connect(t, url)

	writer := begin(t, url) // has an xid, and writes to another table
	writer.exec("CREATE TABLE other (i int)")
	writer.exec("INSERT INTO other VALUES (1)")
	snapshot := begin(t, url)
	snapshot.exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
	snapshot.exec("SELECT count(*) FROM eshost.events")
	vacuum := begin(t, url)
	vacuum.exec("LOCK TABLE eshost.events IN SHARE UPDATE EXCLUSIVE MODE")
	otherDatabase := begin(t, elsewhere) // its events table has the same name, perhaps the same oid
	otherDatabase.insert("x", 1)

	w.insert("w", 1)
	failed := begin(t, url)
	if _, err := failed.conn.Exec(t.Context(), `INSERT INTO eshost.events (stream, version, type) VALUES ('w', 1, 'T')`); err == nil {
		t.Fatal("two events at one version")
	}
	failed.exec("ROLLBACK")
	w.insert("w", 2)
	r.want("w-1 w-2")
	eventually(t, "the mark reaches the head", func() bool { state := r.poll(); return state.Watermark == state.Head })
	if len(r.state.Holders) != 0 {
		t.Errorf("holders: %+v", r.state.Holders)
	}
}

func TestTailNamesHolders(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	admin := connect(t, url)
	role := "unprivileged_" + query[string](admin, "SELECT current_database()")
	admin.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'secret'")
	t.Cleanup(func() {
		admin := connect(t, url)
		admin.exec("DROP OWNED BY " + role)
		admin.exec("DROP ROLE " + role)
	})
	admin.exec("GRANT USAGE ON SCHEMA eshost TO " + role)
	admin.exec("GRANT ALL ON ALL TABLES IN SCHEMA eshost TO " + role)
	admin.exec("GRANT ALL ON ALL SEQUENCES IN SCHEMA eshost TO " + role)
	unprivileged := opened(t, withUser(t, url, role, "secret"))

	r, u := follow(t, s), follow(t, unprivileged)
	w := begin(t, url)
	w.insert("w", 1)
	admin.insert("a", 1)
	pid := int32(w.conn.PgConn().PID())
	eventually(t, "the holder is named", func() bool {
		h := r.poll().Holders
		return len(h) == 1 && h[0].PID == pid && h[0].Application == "application of "+t.Name() && h[0].User != "" &&
			h[0].State == "idle in transaction" && h[0].Age > 0
	}, func() string { return fmt.Sprintf("%+v", r.state.Holders) })
	eventually(t, "an unprivileged role learns what it may", func() bool {
		h := u.poll().Holders
		return len(h) == 1 && h[0].PID == pid && h[0].State == "" && h[0].Age == 0
	}, func() string { return fmt.Sprintf("%+v", u.state.Holders) })
	u.stays("")
	w.exec("COMMIT")
	r.want("w-1 a-1")
	u.want("w-1 a-1")
	if len(r.poll().Holders) != 0 {
		t.Errorf("holders of a free log: %+v", r.state.Holders)
	}
}

func TestTailWithPartitions(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	admin := connect(t, url)
	admin.exec(`CREATE SCHEMA app`)
	admin.exec(`CREATE SEQUENCE app.positions`)
	admin.exec(`CREATE TABLE app.log (position bigint NOT NULL DEFAULT nextval('app.positions'), stream text NOT NULL, stream_type text NOT NULL DEFAULT '',
		version bigint NOT NULL, id text NOT NULL, type text NOT NULL, data bytea NOT NULL DEFAULT '', metadata json NOT NULL DEFAULT '{}',
		content_type text NOT NULL DEFAULT 'application/json', time timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (stream, version)) PARTITION BY HASH (stream)`)
	admin.exec(`ALTER SEQUENCE app.positions OWNED BY app.log.position`)
	for i := range 3 {
		admin.exec(fmt.Sprintf(`CREATE TABLE app.log_%d PARTITION OF app.log FOR VALUES WITH (MODULUS 3, REMAINDER %d)`, i, i))
	}
	s, err := postgres.Open(t.Context(), url, postgres.Options{Events: postgres.Mapping{Schema: "app", Table: "log"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r := follow(t, s)
	leaf := query[string](admin, `WITH i AS (INSERT INTO app.log (stream, version, id, type) VALUES ('p', 1, 'p-1', 'T') RETURNING tableoid) SELECT tableoid::regclass::text FROM i`)
	r.want("p-1")

	direct, through := begin(t, url), begin(t, url)
	direct.exec(`INSERT INTO ` + leaf + ` (stream, version, id, type) VALUES ('p', 2, 'p-2', 'T')`)
	admin.exec(`INSERT INTO app.log (stream, version, id, type) VALUES ('q', 1, 'q-1', 'T')`)
	r.stays("p-1")
	direct.exec("COMMIT")
	r.want("p-1 p-2 q-1")
	through.exec(`INSERT INTO app.log (stream, version, id, type) VALUES ('p', 3, 'p-3', 'T')`)
	admin.exec(`INSERT INTO app.log (stream, version, id, type) VALUES ('q', 2, 'q-2', 'T')`)
	r.stays("p-1 p-2 q-1")
	through.exec("ROLLBACK")
	r.want("p-1 p-2 q-1 q-2")
}

// TestTailNoticesALateCommitInAPublishedHole is a server that came back without knowing that a position
// had been handed out, and a writer that got it again before the tail was back.
// terminate ends the sessions of an application in this database.
// TestTailLosesNothing drives writers that do everything at once, and counts what arrived.
func TestTailLosesNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	r := follow(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()

	var mu sync.Mutex
	var committed []string
	var wg sync.WaitGroup
	for i := range 6 {
		w := connect(t, url)
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			for version := 1; ctx.Err() == nil; version++ {
				stream := fmt.Sprintf("s%d-%d", i, version)
				w.exec("BEGIN")
				n := random.IntN(3) + 1
				for v := 1; v <= n; v++ {
					w.insert(stream, v)
					time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
				}
				w.exec("SAVEPOINT a")
				w.insert(stream, n+1)
				w.exec("ROLLBACK TO a")
				if random.IntN(4) == 0 {
					w.exec("ROLLBACK")
					continue
				}
				w.exec("COMMIT")
				mu.Lock()
				for v := 1; v <= n; v++ {
					committed = append(committed, fmt.Sprintf("%s-%d", stream, v))
				}
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		r.poll()
	}
	eventually(t, "the mark reaches the head", func() bool { state := r.poll(); return state.Watermark == state.Head })

	var got []string
	for i, e := range r.events {
		got = append(got, e.ID)
		if i > 0 && e.Position <= r.events[i-1].Position {
			t.Errorf("position %d came after %d", e.Position, r.events[i-1].Position)
		}
	}
	slices.Sort(got)
	slices.Sort(committed)
	if !slices.Equal(got, committed) {
		t.Errorf("%d events were committed, %d arrived", len(committed), len(got))
	}
	if len(committed) < 50 {
		t.Errorf("only %d events were committed: this shows nothing", len(committed))
	}
}

func TestIdlePollIsOneStatement(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgtest.Options{Settings: map[string]string{"log_statement": "all", "log_line_prefix": "%a|"}})
	url, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, url)
	w := connect(t, url)
	w.insert("w", 1)
	r := follow(t, s)
	r.want("w-1")
	ours := func() int { return strings.Count(server.Log(), "eshost/"+t.Name()+"|") }
	before := ours()
	const polls = 50
	for range polls {
		r.poll()
	}
	if got := ours() - before; got != polls {
		t.Errorf("%d idle polls sent %d statements", polls, got)
	}
}
