package tail

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// fakeLog is a store's log in memory. Its watermark is moved by the test.
type fakeLog struct {
	t testing.TB

	mu         sync.Mutex
	events     []event.Event
	head       event.Position
	watermark  event.Position
	holders    []store.Holder
	bell       int64
	err        error         // of the next polls
	incomplete bool          // the next polls carry no events
	takes      time.Duration // a poll
	polls      []time.Time
	reads      []store.ReadOptions
	readErr    error
	readTakes  time.Duration
	reading    int // now
	most       int // reads at once
	closed     int
}

var errAway = errors.New("the database is away")

// append adds final events of the types, with a hole before each of an empty type.
func (l *fakeLog) append(types ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, typ := range types {
		l.head++
		if typ != "" {
			l.events = append(l.events, event.Event{Position: l.head, Type: typ, Stream: "s", ID: fmt.Sprint(l.head)})
		}
	}
	l.watermark = l.head
}

// hold is append of events that are not final yet.
func (l *fakeLog) hold(types ...string) {
	mark := l.watermark
	l.append(types...)
	l.watermark = mark
}

func (l *fakeLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *fakeLog) pollCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.polls)
}

func (l *fakeLog) between(after, upTo event.Position, f event.Filter) []event.Event {
	var out []event.Event
	i := sort.Search(len(l.events), func(i int) bool { return l.events[i].Position > after })
	for ; i < len(l.events) && l.events[i].Position <= upTo; i++ {
		if f.Match(&l.events[i]) {
			out = append(out, l.events[i])
		}
	}
	return out
}

func (l *fakeLog) Read(ctx context.Context, o store.ReadOptions) (event.Batch, error) {
	l.mu.Lock()
	l.reads = append(l.reads, o)
	l.reading++
	l.most = max(l.most, l.reading)
	err, takes := l.readErr, l.readTakes
	if o.UpTo > l.watermark {
		l.t.Errorf("a read goes to %d, the watermark is at %d", o.UpTo, l.watermark)
	}
	b := event.Batch{UpTo: o.UpTo, Events: l.between(o.After, o.UpTo, o.Filter)}
	l.mu.Unlock()
	time.Sleep(takes)
	l.mu.Lock()
	l.reading--
	l.mu.Unlock()
	size := 0
	for i := range b.Events {
		size += b.Events[i].Size()
		if i+1 == o.Limit || o.MaxBytes > 0 && size >= o.MaxBytes {
			b.Events, b.UpTo = b.Events[:i+1], b.Events[i].Position
			break
		}
	}
	return b, err
}

func (l *fakeLog) Tail(floor event.Position) store.Tail { return &fakeTail{l: l, last: -1} }

// fakeTail keeps the contract of store.Tail.
type fakeTail struct {
	l    *fakeLog
	last event.Position // the last watermark; -1 before the first poll
}

func (t *fakeTail) Poll(ctx context.Context, limit int) (store.TailState, error) {
	l := t.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.polls = append(l.polls, time.Now())
	if takes := l.takes; takes > 0 {
		l.mu.Unlock()
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
		l.mu.Lock()
	}
	if ctx.Err() != nil {
		return store.TailState{}, ctx.Err()
	}
	if l.err != nil {
		return store.TailState{}, l.err
	}
	s := store.TailState{Watermark: l.watermark, Head: l.head, Holders: l.holders, Bell: l.bell}
	if t.last >= 0 && !l.incomplete {
		s.Events = l.between(t.last, l.watermark, event.Filter{})
		s.Complete = len(s.Events) <= limit
	}
	if !s.Complete {
		s.Events = nil
	}
	t.last = l.watermark
	return s, nil
}

func (t *fakeTail) Close() { t.l.set(func() { t.l.closed++ }) }

// running starts a tail in a bubble and stops it when the test ends.
func running(t *testing.T, l *fakeLog, o Options) *Tail {
	t.Helper()
	l.t = t
	tail := New(l, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- tail.Run(ctx, 0) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, store.ErrLogWentBack) {
			t.Errorf("the tail ended with %v", err)
		}
		if l.closed != 1 {
			t.Errorf("the store's tail was closed %d times", l.closed)
		}
	})
	return tail
}

func positions(b event.Batch) string {
	s := ""
	for _, e := range b.Events {
		s += fmt.Sprint(e.Position, " ")
	}
	return fmt.Sprintf("%sup to %d", s, b.UpTo)
}
