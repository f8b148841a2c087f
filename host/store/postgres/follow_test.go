package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/postgres"
)

// reader follows a tail as a host does.
type reader struct {
	t      *testing.T
	s      *postgres.Store
	tail   store.Tail
	state  store.TailState
	events []event.Event
}

func follow(t *testing.T, s *postgres.Store) *reader {
	t.Helper()
	tail := s.Tail(0)
	t.Cleanup(tail.Close)
	r := &reader{t: t, s: s, tail: tail}
	r.poll()
	return r
}

func (r *reader) poll() store.TailState {
	r.t.Helper()
	if err := r.tryPoll(r.t.Context()); err != nil {
		r.t.Fatalf("poll: %v", err)
	}
	return r.state
}

func (r *reader) tryPoll(ctx context.Context) error {
	before := r.state.Watermark
	state, err := r.tail.Poll(ctx, 100)
	if err != nil {
		return err
	}
	if state.Watermark < before {
		r.t.Fatalf("the watermark fell from %d to %d", before, state.Watermark)
	}
	r.state = state
	if !state.Complete && state.Watermark > before {
		b, err := r.s.Read(ctx, store.ReadOptions{After: before, UpTo: state.Watermark, Limit: 1 << 20})
		if err != nil {
			return err
		}
		state.Events = b.Events
	}
	r.events = append(r.events, state.Events...)
	return nil
}

func (r *reader) ids() string {
	var ids []string
	for _, e := range r.events {
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}

// want polls until exactly these events have come, and polls once more to see that none follows.
func (r *reader) want(ids string) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("the tail gives %q", ids), func() bool { r.poll(); return r.ids() == ids }, func() string { return r.ids() })
	if r.poll(); r.ids() != ids {
		r.t.Fatalf("the tail gave %q, want %q", r.ids(), ids)
	}
}

// stays polls some times and checks that nothing moves.
func (r *reader) stays(ids string) {
	r.t.Helper()
	for range 5 {
		if r.poll(); r.ids() != ids {
			r.t.Fatalf("the tail gave %q, want %q", r.ids(), ids)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool, now ...func() string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			for _, f := range now {
				what += "; now: " + f()
			}
			t.Fatalf("still not so after 30 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (s *session) insert(stream string, version int) {
	s.t.Helper()
	s.exec(`INSERT INTO eshost.events (stream, version, id, type) VALUES ($1::text, $2::bigint, $1::text || '-' || $2::bigint, 'T')`, stream, version)
}
