package test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host/store"
)

// longestOpen is how long a writer pauses in its transaction at most.
const longestOpen = 200 * time.Millisecond

// writers append as applications do, on connections of their own, in every kind of transaction.
type writers struct {
	url     string
	streams streams
	history history
}

// streams hands each stream to one transaction at a time. The next writer of a stream begins after the
// last one has committed: that is what makes a stream's order one that readers must keep.
type streams struct {
	mu       sync.Mutex
	versions map[string]int64
	busy     map[string]bool
}

func newWriters(t *testing.T, url string) *writers {
	t.Helper()
	w := &writers{url: url, streams: streams{versions: map[string]int64{}, busy: map[string]bool{}}}
	for i := range 200 { // more than all writers can hold at once
		w.streams.versions[fmt.Sprintf("stream-%03d", i)] = 0
	}
	execute(t, url, "CREATE TABLE IF NOT EXISTS orders (id bigint GENERATED ALWAYS AS IDENTITY, note text)")
	return w
}

// claim returns a stream that nobody writes, and its version.
func (s *streams) claim(rng *rand.Rand) (string, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.versions))
	for {
		if name := names[rng.IntN(len(names))]; !s.busy[name] {
			s.busy[name] = true
			return name, s.versions[name]
		}
	}
}

// release lets others write the streams, which are at these versions now.
func (s *streams) release(versions map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, version := range versions {
		s.versions[name] = version
		delete(s.busy, name)
	}
}

// run makes each of eight writers, and one that appends through eshost's own store, do so many
// transactions, all of them ended when it returns.
func (w *writers) run(ctx context.Context, seed uint64, transactions int, log store.Log) error {
	const connections = 8
	errs := make(chan error, connections+1)
	for i := range connections {
		go func() { errs <- w.write(ctx, newRand(seed, uint64(i)), i, transactions) }()
	}
	go func() { errs <- w.append(ctx, newRand(seed, connections), transactions, log) }()
	var all error
	for range connections + 1 {
		all = errors.Join(all, <-errs)
	}
	return all
}

// append is the writer that uses the store's Append.
func (w *writers) append(ctx context.Context, rng *rand.Rand, transactions int, log store.Log) error {
	for range transactions {
		pause(ctx, upTo(rng, longestOpen))
		u := &unit{w: w, rng: rng}
		var req store.AppendRequest
		for range 1 + rng.IntN(3) {
			e := u.next()
			req.Streams = append(req.Streams, store.StreamAppend{Stream: e.stream, Expected: store.AnyVersion, Events: []store.NewEvent{{Type: "T", Data: []byte("{}")}}})
		}
		if res := log.Append(ctx, []store.AppendRequest{req})[0]; res.Err != nil {
			return fmt.Errorf("append through the store: %w", res.Err)
		}
		u.ended(true)
	}
	return nil
}

// write is one connection's writer.
func (w *writers) write(ctx context.Context, rng *rand.Rand, number, transactions int) error {
	conn, err := pgx.Connect(ctx, w.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var open []*prepared
	for i := range transactions {
		u := &unit{w: w, rng: rng, conn: conn, gid: fmt.Sprintf("writer-%d-%d-%x", number, i, rng.Uint32())}
		p, err := u.run(ctx)
		if err != nil {
			return fmt.Errorf("writer %d, transaction %d: %w", number, i, err)
		}
		if p != nil {
			open = append(open, p)
		}
		for len(open) > 0 && (len(open) > 2 || i == transactions-1 || rng.IntN(2) == 0) {
			if err := open[0].end(ctx, conn); err != nil {
				return fmt.Errorf("writer %d: %w", number, err)
			}
			open = open[1:]
		}
	}
	return nil
}

// unit is one transaction: what it has appended so far, in the streams it has claimed.
type unit struct {
	w      *writers
	rng    *rand.Rand
	conn   *pgx.Conn
	gid    string
	events []entry
	held   map[string]int64 // streams and their versions as the transaction sees them
	before map[string]int64 // versions when claimed
}

func (u *unit) chance(percent int) bool { return u.rng.IntN(100) < percent }

// next makes the next event of a stream: one the transaction has written before, or another.
func (u *unit) next() entry {
	const mostStreams = 4
	var stream string
	if len(u.held) == mostStreams || len(u.held) > 0 && u.chance(30) {
		names := slices.Sorted(maps.Keys(u.held))
		stream = names[u.rng.IntN(len(names))]
	} else {
		var version int64
		stream, version = u.w.streams.claim(u.rng)
		if u.held == nil {
			u.held, u.before = map[string]int64{}, map[string]int64{}
		}
		u.held[stream], u.before[stream] = version, version
	}
	u.held[stream]++
	e := entry{stream, u.held[stream]}
	u.events = append(u.events, e)
	return e
}

// ended gives the streams back and records what was committed.
func (u *unit) ended(committed bool) {
	if committed {
		u.w.history.commit(u.events)
		u.w.streams.release(u.held)
		return
	}
	u.w.streams.release(u.before)
}

// run makes one transaction, and returns it if it was left prepared.
func (u *unit) run(ctx context.Context) (*prepared, error) {
	pause(ctx, upTo(u.rng, 10*time.Millisecond))
	if err := u.exec(ctx, "BEGIN"); err != nil {
		return nil, err
	}
	if u.chance(40) { // the transaction's id is older than its positions
		if err := u.exec(ctx, "INSERT INTO orders (note) VALUES ('first')"); err != nil {
			return nil, err
		}
		u.think(ctx)
	}
	for range 1 + u.rng.IntN(3) {
		if err := u.step(ctx); err != nil {
			return nil, err
		}
		u.think(ctx)
	}
	switch {
	case u.chance(15):
		defer u.ended(false)
		return nil, u.exec(ctx, "ROLLBACK")
	case u.chance(20):
		p := &prepared{u, time.Now().Add(upTo(u.rng, longestOpen))}
		return p, u.exec(ctx, "PREPARE TRANSACTION '"+u.gid+"'")
	}
	if err := u.exec(ctx, "COMMIT"); err != nil {
		return nil, err
	}
	u.ended(true)
	return nil, nil
}

// think leaves the transaction open for a moment.
func (u *unit) think(ctx context.Context) {
	if u.chance(60) {
		pause(ctx, upTo(u.rng, longestOpen))
	}
}

func (u *unit) step(ctx context.Context) error {
	if !u.chance(30) {
		return u.insert(ctx)
	}
	if err := u.exec(ctx, "SAVEPOINT s"); err != nil {
		return err
	}
	events, held := len(u.events), maps.Clone(u.held)
	if err := u.insert(ctx); err != nil {
		return err
	}
	u.think(ctx)
	if u.chance(50) {
		return u.exec(ctx, "RELEASE s")
	}
	u.events = u.events[:events]
	for stream := range u.held {
		if version, known := held[stream]; known {
			u.held[stream] = version
		} else {
			u.held[stream] = u.before[stream]
		}
	}
	return u.exec(ctx, "ROLLBACK TO s")
}

// insert appends one or several events in one of the ways that there are.
func (u *unit) insert(ctx context.Context) error {
	const columns = "INSERT INTO eshost.events (stream, version, type) "
	switch u.rng.IntN(5) {
	case 0: // one statement, several rows
		var names []string
		var versions []int64
		for range 2 + u.rng.IntN(4) {
			e := u.next()
			names, versions = append(names, e.stream), append(versions, e.version)
		}
		return u.exec(ctx, columns+"SELECT *, 'T' FROM unnest($1::text[], $2::bigint[])", names, versions)
	case 1:
		var rows [][]any
		for range 1 + u.rng.IntN(6) {
			e := u.next()
			rows = append(rows, []any{e.stream, e.version, "T"})
		}
		_, err := u.conn.CopyFrom(ctx, pgx.Identifier{"eshost", "events"}, []string{"stream", "version", "type"}, pgx.CopyFromRows(rows))
		return err
	case 2:
		return u.exec(ctx, "SELECT eshost.append_event($1, 'T', '{}')", u.next().stream)
	}
	e := u.next()
	return u.exec(ctx, columns+"VALUES ($1, $2, 'T')", e.stream, e.version)
}

func (u *unit) exec(ctx context.Context, sql string, args ...any) error {
	_, err := u.conn.Exec(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// prepared is a transaction that has been prepared and not yet ended.
type prepared struct {
	u   *unit
	due time.Time
}

func (p *prepared) end(ctx context.Context, conn *pgx.Conn) error {
	pause(ctx, time.Until(p.due))
	commit := p.u.chance(70)
	how := "ROLLBACK PREPARED"
	if commit {
		how = "COMMIT PREPARED"
	}
	if _, err := conn.Exec(ctx, how+" '"+p.u.gid+"'"); err != nil {
		return fmt.Errorf("%s: %w", how, err)
	}
	p.u.ended(commit)
	return nil
}

// execute runs statements on a connection of their own.
func execute(t *testing.T, url string, sql ...string) {
	t.Helper()
	conn := connect(t, url)
	for _, stmt := range sql {
		if _, err := conn.Exec(t.Context(), stmt); err != nil {
			t.Fatalf("%s: %v", stmt, err)
		}
	}
}

// connect opens a connection that is closed, whatever its transaction does, when the test ends.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
