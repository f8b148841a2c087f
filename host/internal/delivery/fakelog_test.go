package delivery

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// fakeLog is an events table in memory. All that is in it is final.
type fakeLog struct {
	mu     sync.Mutex
	events []event.Event
	byID   map[string]int
	types  map[string]string // stream types, by stream
	more   chan struct{}     // closed when there is more
	hole   func() int        // how many positions to leave out before the next event; nil leaves none
}

func newFakeLog() *fakeLog {
	return &fakeLog{byID: make(map[string]int), types: make(map[string]string), more: make(chan struct{})}
}

func (l *fakeLog) append(events ...event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		e.Position = l.last() + 1
		if l.hole != nil {
			e.Position += event.Position(l.hole())
		}
		l.byID[e.ID] = len(l.events)
		l.events = append(l.events, e)
	}
	close(l.more)
	l.more = make(chan struct{})
}

// refuses is what a store says to emitted events that it would not keep.
func (l *fakeLog) refuses(emitted []event.Emitted) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range emitted {
		if t, ok := l.types[e.Stream]; ok && t != e.StreamType {
			return fmt.Errorf("append emitted events: %w", &store.InvalidError{Field: "stream_type", Reason: "is another"})
		}
		if i, ok := l.byID[e.ID]; ok && string(l.events[i].Data) != string(e.Data) {
			return fmt.Errorf("append emitted events: %w", &store.IDConflictError{ID: e.ID, Position: l.events[i].Position})
		}
	}
	return nil
}

// refusesEver is refuses without the part that depends on what is stored.
func (l *fakeLog) refusesEver(emitted []event.Emitted) error {
	for _, e := range emitted {
		if t, ok := l.types[e.Stream]; ok && t != e.StreamType {
			return &store.InvalidError{Field: "stream_type", Reason: "is another"}
		}
	}
	return nil
}

func (l *fakeLog) emit(emitted []event.Emitted) {
	for _, e := range emitted {
		l.mu.Lock()
		_, stored := l.byID[e.ID]
		l.mu.Unlock()
		if !stored {
			l.append(event.Event{Stream: e.Stream, StreamType: e.StreamType, ID: e.ID, Type: e.Type, Data: slices.Clone(e.Data)})
		}
	}
}

func (l *fakeLog) last() event.Position {
	if len(l.events) == 0 {
		return 0
	}
	return l.events[len(l.events)-1].Position
}

func (l *fakeLog) head() event.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last()
}

// at returns the event at a position, nil if there is none.
func (l *fakeLog) at(p event.Position) *event.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.events), func(i int) bool { return l.events[i].Position >= p })
	if i == len(l.events) || l.events[i].Position != p {
		return nil
	}
	return &l.events[i]
}

// between returns the wanted events of (after, upTo].
func (l *fakeLog) between(after, upTo event.Position, f event.Filter) []event.Event {
	return l.some(after, upTo, f, math.MaxInt)
}

// some is between of at most limit events.
func (l *fakeLog) some(after, upTo event.Position, f event.Filter, limit int) []event.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []event.Event
	i := sort.Search(len(l.events), func(i int) bool { return l.events[i].Position > after })
	for ; i < len(l.events) && l.events[i].Position <= upTo && len(out) < limit; i++ {
		if f.Match(&l.events[i]) {
			out = append(out, l.events[i])
		}
	}
	return out
}

// fakeFeed hands out a log's events to one runner.
type fakeFeed struct {
	log    *fakeLog
	filter event.Filter
	fault  func(call string) fault
	// cut shortens a limit; nil leaves it.
	cut func(limit int) int
}

func (f *fakeFeed) Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error) {
	if f.fault != nil {
		switch ft := f.fault("Next"); {
		case !pause(ctx, ft.before):
			return event.Batch{}, ctx.Err()
		case ft.kind != noFault:
			return event.Batch{}, errFake
		}
	}
	if f.cut != nil {
		limit = f.cut(limit)
	}
	for {
		f.log.mu.Lock()
		more := f.log.more
		f.log.mu.Unlock()
		head := f.log.head()
		if b := (event.Batch{UpTo: head}); head > after {
			for _, e := range f.log.some(after, head, f.filter, limit) {
				b.Events = append(b.Events, e)
				if maxBytes -= e.Size(); len(b.Events) == limit || maxBytes <= 0 {
					b.UpTo = e.Position
					break
				}
			}
			return b, nil
		}
		select {
		case <-ctx.Done():
			return event.Batch{}, ctx.Err()
		case <-more:
		}
	}
}

// eventually waits, on the bubble's clock, until something holds.
func eventually(within time.Duration, holds func() bool) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return holds()
}
