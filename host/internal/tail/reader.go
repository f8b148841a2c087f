package tail

import (
	"context"
	"fmt"
	"slices"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// A catch-up read looks through a window of positions, so that a filter that wants nearly nothing
// still moves on and never holds a statement open for long. The window follows how long reads take.
const (
	firstWindow = 100_000
	minWindow   = 10_000
	maxWindow   = 10_000_000
	fastRead    = 50 * time.Millisecond
	slowRead    = 500 * time.Millisecond
)

// Reader is one plugin's place in the log. One goroutine uses it at a time.
type Reader struct {
	t      *Tail
	turns  chan struct{} // to read from the store
	filter event.Filter
	signal chan struct{}
	window event.Position
	quiet  time.Time // when a batch without events was last returned
}

// NewReader returns a reader that sees what the filter wants. Close it.
func (t *Tail) NewReader(f event.Filter) *Reader { return t.newReader(f, t.catchUp) }

// NewViewer is NewReader for who only looks on: however many viewers catch up, they take no turn from the
// plugins' readers.
func (t *Tail) NewViewer(f event.Filter) *Reader { return t.newReader(f, t.viewers) }

func (t *Tail) newReader(f event.Filter, turns chan struct{}) *Reader {
	r := &Reader{t: t, turns: turns, filter: f, signal: make(chan struct{}, 1), window: firstWindow}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers[r] = struct{}{}
	return r
}

// Close makes the tail forget the reader.
func (r *Reader) Close() {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	delete(r.t.readers, r)
}

// notice wakes the reader if it wants one of the events, or if nil says that nobody knows. The tail's
// lock is held.
func (r *Reader) notice(events []*event.Event) {
	if events != nil && !slices.ContainsFunc(events, r.filter.Match) {
		return // Next looks by itself once in a while
	}
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

// Next returns the next batch after a position, and waits until there is one: events the filter
// wants, at most limit of them and about maxBytes, or, at most once in Options.Quiet, none but a
// higher UpTo. Events are shared: nobody may change them.
func (r *Reader) Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error) {
	for {
		b, found, err := r.look(ctx, after, limit, maxBytes)
		if err != nil || found {
			return b, err
		}
		if err := r.wait(ctx, b.UpTo > after); err != nil {
			return event.Batch{}, err
		}
	}
}

// look returns what there is now. Without events it is found only when a quiet step is due.
func (r *Reader) look(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, bool, error) {
	r.t.mu.Lock()
	watermark, started, start := r.t.status.Watermark, r.t.started, r.t.ring.start
	var spans []span
	if started && start <= after && after < watermark {
		spans = r.t.ring.after(after)
	}
	r.t.mu.Unlock()
	if !started || after >= watermark {
		return event.Batch{UpTo: after}, false, nil
	}
	if after < start {
		b, err := r.readStore(ctx, after, watermark, limit, maxBytes)
		return b, err == nil, err
	}
	b := collect(spans, after, watermark, r.filter, limit, maxBytes)
	if len(b.Events) > 0 {
		return b, true, nil
	}
	if time.Since(r.quiet) < r.t.o.Quiet {
		return b, false, nil
	}
	r.quiet = time.Now()
	return b, true, nil
}

// wait blocks until the tail has something for this reader, or a quiet step is due.
func (r *Reader) wait(ctx context.Context, moved bool) error {
	d := r.t.o.Quiet
	if moved {
		d = max(time.Until(r.quiet.Add(r.t.o.Quiet)), time.Millisecond)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.signal:
	case <-timer.C:
	}
	return nil
}

// readStore reads from the store a span the ring no longer has.
func (r *Reader) readStore(ctx context.Context, after, watermark event.Position, limit, maxBytes int) (event.Batch, error) {
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return event.Batch{}, ctx.Err()
	}
	began := time.Now()
	b, err := r.t.log.Read(ctx, store.ReadOptions{
		After:    after,
		UpTo:     min(watermark, after+r.window),
		Filter:   r.filter,
		Limit:    limit,
		MaxBytes: maxBytes,
	})
	if err != nil {
		return event.Batch{}, fmt.Errorf("read events after %d: %w", after, err)
	}
	switch took := time.Since(began); {
	case took > slowRead:
		r.window = max(r.window/2, minWindow)
	case took < fastRead && len(b.Events) < limit:
		r.window = min(2*r.window, maxWindow)
	}
	return b, nil
}
