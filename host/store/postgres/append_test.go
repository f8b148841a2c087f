package postgres_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/store"
	"eshost/test/pgtest"
)

// checkStreams makes sure that every stream's versions are without holes and no id is there twice.
func checkStreams(t *testing.T, s *session, wantEvents int) {
	t.Helper()
	if n := query[int](s, `SELECT count(*) FROM eshost.events`); n != wantEvents {
		t.Errorf("%d events are stored, want %d", n, wantEvents)
	}
	if n := query[int](s, `SELECT count(*) FROM (SELECT stream FROM eshost.events GROUP BY stream HAVING max(version) <> count(*) OR min(version) <> 1) x`); n != 0 {
		t.Errorf("%d streams have holes in their versions", n)
	}
}

// TestAppendsOverBrokenConnections has every connection of the store broken again and again: no event
// that was answered may be missing, and none may be there twice.
func TestAppendsOverBrokenConnections(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	admin := connect(t, url)
	const writers, each = 4, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				for deadline := time.Now().Add(30 * time.Second); ; {
					group := []store.AppendRequest{appendOne("own-"+strconv.Itoa(w), store.Expected(i), id), appendOne("shared", store.AnyVersion, "s"+id)}
					results := s.Append(t.Context(), group)
					if results[0].Err == nil && results[1].Err == nil {
						if got := results[0].Events[0]; got.Version != int64(i+1) {
							t.Errorf("event %s was recorded as %+v", id, got)
						}
						break
					}
					for _, r := range results {
						if r.Err != nil && !errors.Is(r.Err, store.ErrUnavailable) {
							t.Errorf("append: %v", r.Err)
							return
						}
					}
					if time.Now().After(deadline) {
						t.Errorf("event %s cannot be stored: %v %v", id, results[0].Err, results[1].Err)
						return
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	broken := breakConnections(admin, `SELECT count(*) / 4 FROM eshost.events`, done)
	if broken < 5 {
		t.Errorf("only %d connections were broken: this shows nothing", broken)
	}
	checkStreams(t, admin, 2*writers*each)
}

// breakConnections ends sessions of stores in this database, each time that they have made progress,
// until done. It returns how many it has ended.
func breakConnections(admin *session, progress string, done <-chan struct{}) (broken int) {
	admin.t.Helper()
	for last := -1; ; {
		select {
		case <-done:
			return broken
		case <-time.After(time.Millisecond):
		}
		now := query[int](admin, progress)
		if now == last {
			continue
		}
		if n := query[int](admin, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE application_name LIKE 'eshost/%' AND datname = current_database() AND state = 'active'`); n > 0 {
			last, broken = now, broken+n
		}
	}
}

// TestAppendsPastAHeldStream: a foreign transaction holds the next version of a stream and does not end.
func TestAppendsPastAHeldStream(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	holder := begin(t, url)
	holder.insert("held", 1)

	group := []store.AppendRequest{
		appendOne("free", store.NoStream, "1"),
		appendOne("held", store.AnyVersion, "2"),
		appendOne("free", 1, "3"),
		appendOne("held", store.AnyVersion, "4"),
		appendOne("held", store.NoStream, "held-1"), // the same id, too
	}
	start := time.Now()
	results := s.Append(t.Context(), group)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the group took %v", took)
	}
	for _, i := range []int{0, 2} {
		if results[i].Err != nil {
			t.Errorf("request %d: %v", i, results[i].Err)
		}
	}
	for _, i := range []int{1, 3, 4} {
		err := results[i].Err
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d (application of %s)", holder.conn.PgConn().PID(), t.Name())) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if alone := s.Append(t.Context(), group[1:2])[0]; !errors.Is(alone.Err, store.ErrUnavailable) {
		t.Errorf("alone: %v", alone.Err)
	}
	holder.exec("COMMIT")
	results = s.Append(t.Context(), group[1:4])
	for i, want := range []int64{2, 2, 3} {
		if r := results[i]; r.Err != nil || r.Events[0].Version != want {
			t.Errorf("afterwards request %d: %+v", i+1, r)
		}
	}
	checkStreams(t, connect(t, url), 5)
}

// TestAppendsInOppositeOrder has two hosts append to the same streams, each in the other's order.
func TestAppendsInOppositeOrder(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	const rounds, streams = 25, 10
	var wg sync.WaitGroup
	for host := range 2 {
		s := opened(t, url)
		wg.Go(func() {
			for round := range rounds {
				var group []store.AppendRequest
				for i := range streams {
					if host == 1 {
						i = streams - 1 - i
					}
					group = append(group, appendOne(fmt.Sprint("s", i), store.AnyVersion, fmt.Sprintf("%d-%d-%d", host, round, i)))
				}
				for i, r := range s.Append(t.Context(), group) {
					if r.Err != nil {
						t.Errorf("host %d, round %d, request %d: %v", host, round, i, r.Err)
					}
				}
			}
		})
	}
	wg.Wait()
	checkStreams(t, connect(t, url), 2*rounds*streams)
}

func TestAppendOfWhatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	admin := connect(t, url)
	admin.exec(`ALTER TABLE eshost.events ADD CHECK (stream <> 'forbidden')`)
	admin.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.stream = 'late' THEN RAISE EXCEPTION 'not today'; END IF; RETURN NULL; END $$`)
	admin.exec(`CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON eshost.events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)

	results := s.Append(t.Context(), []store.AppendRequest{
		appendOne("a", store.NoStream, "1"), appendOne("forbidden", store.NoStream, "2"), appendOne("late", store.NoStream, "3"), appendOne("a", 1, "4"),
	})
	for i, word := range []string{"", "forbidden", "not today", ""} {
		err := results[i].Err
		if (word == "") != (err == nil) || err != nil && (!errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), word)) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	// What is refused only when the transaction commits was not stored, either.
	if alone := s.Append(t.Context(), []store.AppendRequest{appendOne("late", store.NoStream, "5")})[0]; !errors.Is(alone.Err, store.ErrInvalid) {
		t.Errorf("refused at commit: %+v", alone)
	}
	checkStreams(t, admin, 2)
}

func TestAppendsAreDurableWhateverTheDefault(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	admin := connect(t, url)
	admin.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`)
	s := opened(t, url)
	admin.exec(`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.content_type = current_setting('synchronous_commit'); RETURN NEW; END $$`)
	admin.exec(`CREATE TRIGGER note BEFORE INSERT ON eshost.events FOR EACH ROW EXECUTE FUNCTION note()`)
	if r := s.Append(t.Context(), []store.AppendRequest{appendOne("a", store.NoStream, "1")})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	if got := query[string](admin, `SELECT content_type FROM eshost.events`); got != "on" {
		t.Errorf("the append ran with synchronous_commit = %s", got)
	}
}

func TestAppendOfMoreThanOneStatementHolds(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	data := make([]byte, 9<<20)
	request := store.AppendRequest{Streams: []store.StreamAppend{{Stream: "a", Expected: store.NoStream}}}
	for i := range 4 {
		request.Streams[0].Events = append(request.Streams[0].Events, store.NewEvent{ID: strconv.Itoa(i), Type: "T", Data: data})
	}
	r := s.Append(t.Context(), []store.AppendRequest{request})[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	for i, e := range r.Events {
		if e.ID != strconv.Itoa(i) || e.Version != int64(i+1) || i > 0 && e.Position <= r.Events[i-1].Position {
			t.Errorf("event %d was recorded as %+v", i, e)
		}
	}
	b, err := s.Read(t.Context(), store.ReadOptions{UpTo: 100, Limit: 100, MaxBytes: 10 << 20})
	if err != nil || len(b.Events) != 2 || b.UpTo != b.Events[1].Position {
		t.Errorf("a read of 10 MiB gave %d events up to %d (%v)", len(b.Events), b.UpTo, err)
	}
}
