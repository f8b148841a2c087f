package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

func openFile(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "es.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func request(id string, data []byte) []store.AppendRequest {
	return []store.AppendRequest{{Streams: []store.StreamAppend{{Stream: "a", Expected: store.AnyVersion, Events: []store.NewEvent{{ID: id, Type: "T", Data: data}}}}}}
}

// TestDurable: with less than FULL a position could be answered and be gone after a power cut, which no
// test can bring about.
func TestDurable(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	err := s.writer.with(t.Context(), func(c *conn) (bool, error) {
		for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal"} {
			var got string
			if _, err := c.one(func(r row) { got = fmt.Sprint(r[0]) }, "PRAGMA "+pragma); err != nil || got != want {
				t.Errorf("%s is %s (%v), want %s", pragma, got, err, want)
			}
		}
		return false, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// setMaxPages makes the file behave as if its disk had no more room. SQLite reports both alike.
func setMaxPages(t *testing.T, s *Store, pages string) {
	t.Helper()
	err := s.writer.with(t.Context(), func(c *conn) (bool, error) { return false, c.script("PRAGMA max_page_count = " + pages) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	if r := s.Append(t.Context(), request("1", nil)); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	g, err := s.EnsurePlugin(t.Context(), "p", 0, 1, "stream")
	if err != nil {
		t.Fatal(err)
	}
	setMaxPages(t, s, "1") // no more than there are
	full := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "disk is full") || !strings.Contains(err.Error(), s.file) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	big := make([]byte, 1<<20)
	reqs := append(request("2", nil), append(request("3", big), store.AppendRequest{})...)
	res := s.Append(t.Context(), reqs)
	full("append", res[0].Err)
	full("append", res[1].Err)
	if !errors.Is(res[2].Err, store.ErrInvalid) {
		t.Errorf("an invalid request on a full disk: %v", res[2].Err)
	}
	lease, err := s.Acquire(t.Context(), g.ID, "host")
	if err != nil {
		t.Fatal(err)
	}
	commit := store.Commit{Generation: g.ID, Owner: "host", Epoch: lease.Epoch, Position: 1, Documents: []event.DocumentWrite{{Collection: "c", Key: "k", Data: []byte(`"` + string(bytes.Repeat([]byte("x"), 1<<20)) + `"`)}}}
	setMaxPages(t, s, "1") // the first failure closed the connection
	full("commit", s.Commit(t.Context(), commit))

	setMaxPages(t, s, "1000000")
	if res := s.Append(t.Context(), reqs[:2]); res[0].Err != nil || res[1].Err != nil || res[0].Events[0].Version != 2 || res[0].Events[0].Duplicate {
		t.Errorf("with room again: %+v", res)
	}
	if err := s.Commit(t.Context(), commit); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestWALIsBounded: readers that overlap without a gap would let the WAL grow for ever.
func TestWALIsBounded(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	s.walLimit, s.walNext = 1<<20, 1<<20
	if r := s.Append(t.Context(), request("", nil)); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var turn [2]chan struct{}
	turn[0], turn[1] = make(chan struct{}, 1), make(chan struct{}, 1)
	turn[0] <- struct{}{}
	for r := range 2 { // each ends its snapshot only once the other has begun one
		wg.Go(func() {
			for ctx.Err() == nil {
				s.snapshot(ctx, func(c *conn) error {
					if _, err := highest(c); err != nil {
						return err
					}
					select {
					case <-turn[r]:
						turn[1-r] <- struct{}{}
					case <-ctx.Done():
					}
					return nil
				})
			}
		})
	}
	const size = 200 << 10
	largest := int64(0)
	for i := range 100 { // 20 MiB
		if r := s.Append(t.Context(), request(fmt.Sprint(i), make([]byte, size))); r[0].Err != nil {
			t.Fatal(r[0].Err)
		}
		if info, err := os.Stat(s.file + "-wal"); err != nil {
			t.Fatal(err)
		} else {
			largest = max(largest, info.Size())
		}
	}
	if largest > 5<<20 {
		t.Errorf("the WAL grew to %d bytes, its limit is %d", largest, s.walLimit)
	}
}

// TestLongReader: a reader that does not end may not stop writers, and the WAL is cut after it.
func TestLongReader(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	s.walLimit, s.walNext = 1<<20, 1<<20
	grow := func() {
		t.Helper()
		for range 10 {
			if r := s.Append(t.Context(), request("", make([]byte, 400<<10))); r[0].Err != nil {
				t.Fatal(r[0].Err)
			}
		}
	}
	grow()
	err := s.snapshot(t.Context(), func(c *conn) error {
		before, err := highest(c)
		if err != nil {
			return err
		}
		start := time.Now()
		grow()
		if took := time.Since(start); took > 10*checkpointWait {
			t.Errorf("ten writes beside a reader took %v", took)
		}
		if after, err := highest(c); err != nil || after != before {
			t.Errorf("the snapshot moved from %d to %d (%v)", before, after, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	grow()
	if info, err := os.Stat(s.file + "-wal"); err != nil || info.Size() > 3<<20 {
		t.Errorf("after the reader the WAL has %d bytes (%v)", info.Size(), err)
	}
}

// TestPanic: a bug in what runs inside a transaction must not take the connection with it.
func TestPanic(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	func() {
		defer func() { _ = recover() }()
		s.write(t.Context(), func(c *conn) error {
			if _, err := c.exec("INSERT INTO hosts VALUES ('h', '', '', 0, 0)"); err != nil {
				return err
			}
			panic("a bug")
		})
	}()
	if r := s.Append(t.Context(), request("", nil)); r[0].Err != nil {
		t.Error(r[0].Err)
	}
	if hosts, err := s.Hosts(t.Context()); err != nil || len(hosts) != 0 {
		t.Errorf("half a transaction is stored: %v (%v)", hosts, err)
	}
}

// TestSteps: a filtered read goes through the log in steps and misses nothing where they meet.
func TestSteps(t *testing.T) {
	t.Parallel()
	s := openFile(t)
	const n = 2*scanStep + 10
	err := s.write(t.Context(), func(c *conn) error {
		_, err := c.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO events (stream, version, id, type, time) SELECT 's', i, i, CASE WHEN i % ? IN (0, 1, 7) THEN 'wanted' ELSE 'other' END, i FROM n`, int64(n), int64(scanStep))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wanted := event.Filter{Types: []string{"wanted"}}
	b, err := s.Read(t.Context(), store.ReadOptions{UpTo: 1 << 40, Filter: wanted, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	want := []event.Position{1, 7, scanStep, scanStep + 1, scanStep + 7, 2 * scanStep, 2*scanStep + 1, 2*scanStep + 7}
	if len(b.Events) != len(want) || b.UpTo != 1<<40 {
		t.Fatalf("got %d events up to %d, want %d", len(b.Events), b.UpTo, len(want))
	}
	for i, e := range b.Events {
		if e.Position != want[i] {
			t.Errorf("event %d is at %d, want %d", i, e.Position, want[i])
		}
	}
	b, err = s.Read(t.Context(), store.ReadOptions{After: 8, UpTo: 2 * scanStep, Filter: wanted, Limit: 3})
	if err != nil || len(b.Events) != 3 || b.UpTo != scanStep+7 {
		t.Errorf("with a limit: %d events up to %d (%v)", len(b.Events), b.UpTo, err)
	}
	for _, at := range []int64{1, scanStep, scanStep + 1, 2*scanStep + 1, n, n + 1} {
		if p, err := s.PositionBefore(t.Context(), time.UnixMicro(at)); err != nil || p != event.Position(at-1) {
			t.Errorf("the position before time %d is %d (%v)", at, p, err)
		}
	}
}
