package test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
	"eshost/test/pgtest"
)

// TestWatermark is the proof that no event is skipped, whatever the order in which writers' transactions
// commit (invariant 1), and that it could find one that is: two naive readers beside eshost's lose some.
func TestWatermark(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	// A server of its own: a transaction that any test leaves open holds one of the naive readers.
	server := pgtest.Private(t, pgtest.Options{})
	url := privateDatabase(t, server)
	s := openStore(t, url)
	w := newWriters(t, url)
	others := startUnrelated(t, url, privateDatabase(t, server), seed)

	readers := map[string]*follower{}
	for i := range 2 {
		name := fmt.Sprintf("eshost's reader %d", i+1)
		readers[name] = follow(t, name, &hostReader{s: s, rng: newRand(seed, 1000+uint64(i))})
	}
	const first, second = "position > checkpoint", "xid < xmin, ordered by position"
	readers[first] = follow(t, first, &naiveReader{conn: connect(t, url), sql: abovePosition})
	readers[second] = follow(t, second, &naiveReader{conn: connect(t, url), sql: belowOldest})

	const least, most, transactions = 3, 20, 25
	for round := 1; ; round++ {
		if err := w.run(t.Context(), seed+uint64(round), transactions, s); err != nil {
			t.Fatal(err)
		}
		last := lastPosition(t, url)
		verdicts := map[string]*verdict{}
		for name, f := range readers {
			verdicts[name] = w.history.judge(f.end(t, last))
		}
		for name, v := range verdicts {
			if name != first && name != second && !v.flawless() {
				t.Errorf("round %d: %s: %v", round, name, v)
			}
		}
		enough := verdicts[first].lost > 0 && verdicts[second].lost > 0
		if t.Failed() || round >= least && enough {
			t.Logf("%d events in %d positions, %d unrelated transactions beside them", w.history.size(), last, others.Load())
			for name, v := range verdicts {
				t.Logf("%s: %v", name, v)
			}
			break
		}
		if round == most {
			t.Fatalf("after %d events a naive reader has lost none: %v, %v; the writers are too tame for this test to prove anything",
				w.history.size(), verdicts[first], verdicts[second])
		}
	}
	checkHistory(t, url, &w.history)
}

func privateDatabase(t *testing.T, server *pgtest.Server) string {
	t.Helper()
	url, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// checkHistory holds what the writers say to what is in the table.
func checkHistory(t *testing.T, url string, h *history) {
	t.Helper()
	rows, err := connect(t, url).Query(t.Context(), "SELECT position, stream, version FROM eshost.events ORDER BY position")
	if err != nil {
		t.Fatal(err)
	}
	table, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d delivery, err error) {
		err = row.Scan(&d.position, &d.stream, &d.version)
		return d, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := h.judge(table); !v.flawless() {
		t.Errorf("the writers have written something else than they say: %v", v)
	}
}

func lastPosition(t *testing.T, url string) event.Position {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var last event.Position
	if err := conn.QueryRow(t.Context(), "SELECT max(position) FROM eshost.events").Scan(&last); err != nil {
		t.Fatal(err)
	}
	return last
}

// startUnrelated leaves transactions open beside the test: in this database and in another one, reading
// all the time, and writing other tables for a while again and again. The answer counts the latter.
func startUnrelated(t *testing.T, url, other string, seed uint64) *atomic.Int64 {
	t.Helper()
	for _, database := range []string{url, other} {
		execute(t, database, "CREATE TABLE IF NOT EXISTS notes (text text)")
		reading := connect(t, database)
		for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM notes"} {
			if _, err := reading.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	execute(t, url, "BEGIN", "SELECT count(*) FROM eshost.events") // an open reader of the very table
	var ended atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		rng := newRand(seed, 2000)
		for ctx.Err() == nil {
			database := []string{url, other}[rng.IntN(2)]
			if err := writeNote(ctx, rng, database); err != nil && ctx.Err() == nil {
				t.Errorf("an unrelated transaction: %v", err)
				return
			}
			ended.Add(1)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return &ended
}

func writeNote(ctx context.Context, rng *rand.Rand, database string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "BEGIN; INSERT INTO notes VALUES ('x')"); err != nil {
		return err
	}
	pause(ctx, upTo(rng, 2*longestOpen))
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		return err
	}
	pause(ctx, upTo(rng, 2*longestOpen))
	return nil
}

// TestUnrelatedTransactionsDoNotHoldTheWatermark leaves open what holds other designs' readers.
func TestUnrelatedTransactionsDoNotHoldTheWatermark(t *testing.T) {
	t.Parallel()
	url, other := pgtest.Database(t), pgtest.Database(t)
	s := openStore(t, url)
	otherStore := openStore(t, other) // another eshost's database on the same server
	appendOne(t, s, "before")
	execute(t, url, "CREATE TABLE notes (text text)")
	for _, open := range [][]string{
		{url, "BEGIN", "INSERT INTO notes VALUES ('writing another table')"},
		{url, "BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT count(*) FROM eshost.events"},
		{url, "BEGIN", "SELECT * FROM eshost.events FOR SHARE"},
		{url, "BEGIN", "SELECT pg_current_xact_id()"},
		{url, "BEGIN", "INSERT INTO notes VALUES ('prepared')", "PREPARE TRANSACTION 'unrelated " + anyName() + "'"},
		{other, "BEGIN", "INSERT INTO eshost.events (stream, version, type) VALUES ('s', 1, 'T')"},
	} {
		execute(t, open[0], open[1:]...)
	}
	recorded := appendOne(t, s, "after")
	tail := s.Tail(0)
	defer tail.Close()
	eventually(t, "the watermark reaches the event", func() error {
		state, err := tail.Poll(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		if state.Watermark < recorded.Position {
			return fmt.Errorf("it stands at %d of %d, held by %v", state.Watermark, recorded.Position, state.Holders)
		}
		return nil
	})
	_ = otherStore
}

func appendOne(t *testing.T, s store.Store, stream string) store.Recorded {
	t.Helper()
	req := store.AppendRequest{Streams: []store.StreamAppend{{Stream: stream, Expected: store.AnyVersion, Events: []store.NewEvent{{Type: "T", Data: []byte("{}")}}}}}
	res := s.Append(t.Context(), []store.AppendRequest{req})[0]
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	return res.Events[0]
}

// TestStatusNamesWhoHoldsTheWatermark is invariant 9 for the watermark, through the real command.
func TestStatusNamesWhoHoldsTheWatermark(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := openStore(t, url)
	p := newProject(t, url, "h")
	gid := "till-" + anyName()
	execute(t, url, "BEGIN", "INSERT INTO eshost.events (stream, version, type) VALUES ('prepared', 1, 'T')", "PREPARE TRANSACTION '"+gid+"'")
	conn := connect(t, url)
	var pid int
	if err := conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"SET application_name = 'till 7'", "BEGIN", "INSERT INTO eshost.events (stream, version, type) VALUES ('open', 1, 'T')"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	last := appendOne(t, s, "a").Position

	var status struct {
		Log struct {
			Watermark, Head event.Position
			HeldBy          []struct {
				PID         int
				Application string
				AgeSeconds  float64 `json:"age_seconds"`
			} `json:"held_by"`
		}
	}
	text := p.must("status", "--json")
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if status.Log.Watermark >= status.Log.Head || status.Log.Head != last || len(status.Log.HeldBy) != 2 {
		t.Fatalf("status says %s", text)
	}
	found := map[string]bool{}
	for _, h := range status.Log.HeldBy {
		switch {
		case h.PID == pid && h.Application == "till 7" && h.AgeSeconds > 0:
			found["open"] = true
		case h.PID == 0 && h.Application == gid && h.AgeSeconds > 0:
			found["prepared"] = true
		}
	}
	if len(found) != 2 {
		t.Errorf("status --json says %s", text)
	}
	text = p.must("status")
	for _, want := range []string{fmt.Sprintf(`pid %d "till 7"`, pid), fmt.Sprintf("prepared transaction %q", gid), "open for "} {
		if !strings.Contains(text, want) {
			t.Errorf("status does not say %q:\n%s", want, text)
		}
	}

	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	execute(t, url, "ROLLBACK PREPARED '"+gid+"'")
	if text := p.must("status"); !strings.Contains(text, fmt.Sprintf("watermark %d, head %d", last, last)) || strings.Contains(text, "held back") {
		t.Errorf("when nobody holds it any more status says:\n%s", text)
	}
}

// TestWatermarkUnderAHost runs the same writers against a whole host, whose plugin rejects an event that
// is not exactly the next one of its stream.
func TestWatermarkUnderAHost(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	url := pgtest.Database(t)
	s := openStore(t, url)
	w := newWriters(t, url)
	startUnrelated(t, url, pgtest.Database(t), seed)
	p := newProject(t, url, "watermark", plugin{name: "journal", module: journalModule(t)})
	runHost(t, p.config(), host.Options{LaneWork: 1})
	for round := range uint64(2) {
		if err := w.run(t.Context(), seed+round, 20, s); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, s, "journal")
	got := documents(t, s, "journal", "journal")
	want := map[string]string{}
	for stream, version := range w.streams.versions {
		if version > 0 {
			want[stream] = fmt.Sprint(version)
		}
	}
	compareDocuments(t, "journal", got, want)
}

// runHost runs a host inside the test until it is stopped, at the latest when the test ends.
func runHost(t *testing.T, conf *hostConfig, o host.Options) (stop func()) {
	t.Helper()
	h, err := host.Open(t.Context(), conf, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run the host: %v", err)
			}
		case <-time.After(patience):
			t.Fatalf("the host does not stop")
		}
		if err := h.Close(); err != nil {
			t.Errorf("close the host: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}
