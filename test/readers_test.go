package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host/event"
	"eshost/host/store"
)

// reader looks once for events after those it has given out, and says how far it has come: it will never
// give out a position at or below that any more.
type reader interface {
	poll(ctx context.Context) (got []delivery, reached event.Position, err error)
}

// follower polls a reader beside the test and keeps what it is given.
type follower struct {
	name string
	stop context.CancelFunc
	done chan struct{}

	mu         sync.Mutex
	deliveries []delivery
	reached    event.Position
	err        error
}

// follow starts a follower. It ends with the test.
func follow(t *testing.T, name string, r reader) *follower {
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{name: name, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for ctx.Err() == nil {
			got, reached, err := r.poll(ctx)
			f.take(ctx, got, reached, err)
			if err != nil {
				return
			}
			pause(ctx, time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-f.done })
	return f
}

func (f *follower) take(ctx context.Context, got []delivery, reached event.Position, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		f.err = err
	}
	f.deliveries = append(f.deliveries, got...)
	f.reached = reached
}

// end waits until the reader has reached the log's last event: no more will come. It returns all it gave.
func (f *follower) end(t *testing.T, last event.Position) []delivery {
	t.Helper()
	var got []delivery
	eventually(t, f.name+" reaches the end", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.err != nil {
			t.Fatalf("%s: %v", f.name, f.err)
		}
		if f.reached < last {
			return fmt.Errorf("is at %d of %d", f.reached, last)
		}
		got = append(got, f.deliveries...)
		return nil
	})
	return got
}

// hostReader reads as a host does: what the tail carries if it carries all, and the store where it does not.
// Now and then it begins anew, as a host that was stopped.
type hostReader struct {
	s    store.Store
	rng  *rand.Rand
	tail store.Tail
	at   event.Position
}

func (r *hostReader) poll(ctx context.Context) ([]delivery, event.Position, error) {
	if r.tail != nil && r.rng.IntN(200) == 0 {
		r.tail.Close()
		r.tail = nil
	}
	if r.tail == nil {
		r.tail = r.s.Tail(r.at)
	}
	state, err := r.tail.Poll(ctx, 1+r.rng.IntN(50))
	if err != nil {
		return nil, r.at, err
	}
	if state.Complete {
		r.at = state.Watermark
		return deliveries(state.Events), r.at, nil
	}
	var all []delivery
	for r.at < state.Watermark {
		b, err := r.s.Read(ctx, store.ReadOptions{After: r.at, UpTo: state.Watermark, Limit: 100})
		if err != nil {
			return nil, r.at, err
		}
		all = append(all, deliveries(b.Events)...)
		r.at = b.UpTo
	}
	return all, r.at, nil
}

func deliveries(events []event.Event) []delivery {
	var all []delivery
	for i := range events {
		e := &events[i]
		all = append(all, delivery{entry{e.Stream, e.Version}, e.Position})
	}
	return all
}

// naiveReader reads as many do who never met the problem.
type naiveReader struct {
	conn *pgx.Conn
	sql  string // $1 is the highest position seen
	at   event.Position
}

const (
	// abovePosition takes what is visible above the last position.
	abovePosition = `SELECT position, stream, version FROM eshost.events WHERE position > $1 ORDER BY position`
	// belowOldest also waits until every transaction as old as the row's has ended, which would be enough
	// if transactions drew their positions in the order of their ids.
	belowOldest = `SELECT position, stream, version FROM eshost.events
		WHERE position > $1 AND xmin::text::bigint < (pg_snapshot_xmin(pg_current_snapshot())::text::bigint & 4294967295) ORDER BY position`
)

func (r *naiveReader) poll(ctx context.Context) ([]delivery, event.Position, error) {
	rows, err := r.conn.Query(ctx, r.sql, int64(r.at))
	if err != nil {
		return nil, r.at, err
	}
	got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d delivery, err error) {
		err = row.Scan(&d.position, &d.stream, &d.version)
		return d, err
	})
	if len(got) > 0 {
		r.at = got[len(got)-1].position
	}
	return got, r.at, err
}
