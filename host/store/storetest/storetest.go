// Package storetest is the contract of host/store as tests: every driver runs Exercise.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// Database is one empty database, made for one test and gone when that test ends.
type Database struct {
	// Open opens one more handle on the database. The suite closes it.
	Open func(t *testing.T) store.Store
	// MakeHole makes the log skip at least one position, for instance by rolling back an insert.
	MakeHole func(t *testing.T)
	// ReadModel returns the keys of a plugin's documents as the view read_models has them, in order.
	ReadModel func(t *testing.T, plugin string) []string
	// SetBack takes the events after a position away and has their positions handed out again, as a backup does that is
	// put in the place of the log.
	SetBack func(t *testing.T, to event.Position)
	// MoveCheckpoint moves a plugin's checkpoint and nothing else, as a version before marks does.
	MoveCheckpoint func(t *testing.T, plugin string, to event.Position)
}

// Exercise holds a driver to the comments of host/store. newDatabase is called once for every
// test; the tests run in parallel.
func Exercise(t *testing.T, newDatabase func(t *testing.T) Database) {
	areas := []struct {
		name  string
		cases []testCase
	}{
		{"append", appendCases},
		{"idempotency", idempotencyCases},
		{"read", readCases},
		{"tail", tailCases},
		{"lease", leaseCases},
		{"host", hostCases},
		{"commit", commitCases},
		{"note", noteCases},
		{"emitted", emittedCases},
		{"document", documentCases},
		{"sequence", sequenceCases},
		{"status", statusCases},
		{"reload", reloadCases},
		{"generation", generationCases},
		{"partition", partitionCases},
		{"repartition", repartitionCases},
		{"request", requestCases},
		{"diverged", divergedCases},
	}
	for _, area := range areas {
		t.Run(area.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range area.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					db := newDatabase(t)
					c.run(t, &database{Database: db})
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(t *testing.T, db *database)
}

type database struct{ Database }

func (d *database) open(t *testing.T) store.Store {
	t.Helper()
	s := d.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// one is a request to append events to one stream.
func one(stream string, expected store.Expected, events ...store.NewEvent) store.AppendRequest {
	return store.AppendRequest{Streams: []store.StreamAppend{{Stream: stream, Expected: expected, Events: events}}}
}

// ev is an event with an id and a little content that depends on it.
func ev(id string) store.NewEvent {
	return store.NewEvent{ID: id, Type: "Happened", Data: fmt.Appendf(nil, `{"id":%q}`, id)}
}

func evs(ids ...string) []store.NewEvent {
	events := make([]store.NewEvent, len(ids))
	for i, id := range ids {
		events[i] = ev(id)
	}
	return events
}

// mustAppend appends one request, which must be stored.
func mustAppend(t *testing.T, s store.Store, req store.AppendRequest) []store.Recorded {
	t.Helper()
	res := appendAll(t, s, req)
	if res[0].Err != nil {
		t.Fatalf("append: %v", res[0].Err)
	}
	return res[0].Events
}

// appendAll appends all requests in one call.
func appendAll(t *testing.T, s store.Store, reqs ...store.AppendRequest) []store.AppendResult {
	t.Helper()
	res := s.Append(t.Context(), reqs)
	if len(res) != len(reqs) {
		t.Fatalf("%d requests got %d results", len(reqs), len(res))
	}
	for i, r := range res {
		n := 0
		for _, sa := range reqs[i].Streams {
			n += len(sa.Events)
		}
		if r.Err == nil && len(r.Events) != n {
			t.Fatalf("request %d has %d events and got %d positions", i, n, len(r.Events))
		}
		if r.Err != nil && len(r.Events) != 0 {
			t.Fatalf("request %d was refused (%v) and still got positions %v", i, r.Err, r.Events)
		}
	}
	return res
}

// fill appends n events with ids prefix-0, prefix-1, … to one stream and returns their positions.
func fill(t *testing.T, s store.Store, stream, prefix string, n int) []event.Position {
	t.Helper()
	events := make([]store.NewEvent, n)
	for i := range events {
		events[i] = ev(fmt.Sprintf("%s-%d", prefix, i))
	}
	var positions []event.Position
	for _, r := range mustAppend(t, s, one(stream, store.AnyVersion, events...)) {
		positions = append(positions, r.Position)
	}
	return positions
}

// far is a position beyond every log of the suite.
const far event.Position = 1 << 40

// readAll returns the whole log, given that nobody is writing.
func readAll(t *testing.T, s store.Store) []event.Event {
	t.Helper()
	return read(t, s, store.ReadOptions{UpTo: far, Limit: 1 << 20}).Events
}

func read(t *testing.T, s store.Store, o store.ReadOptions) event.Batch {
	t.Helper()
	b, err := s.Read(t.Context(), o)
	if err != nil {
		t.Fatalf("read %+v: %v", o, err)
	}
	return b
}

func ids(events []event.Event) []string {
	out := []string{}
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually tries until ok says yes, for as long as a slow machine may need.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("still not so after 30 s: %s", what)
		case <-tick.C:
		}
	}
}

// between reports whether d lies in (0, limit].
func between(d, limit time.Duration) bool { return d > 0 && d <= limit }

// canceled is a context that has ended.
func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
