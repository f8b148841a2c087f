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
	mostRead    = 20_000 // events with one statement, of all partitions
)

// Reader is one plugin's place in the log. One goroutine uses it at a time.
type Reader struct {
	t      *Tail
	turns  chan struct{} // to read from the store
	filter event.Filter
	signal chan struct{}
	window event.Position
	paced  bool      // its quiet steps count for Options.QuietRate
	quiet  time.Time // the last quiet step
	due    time.Time // the turn that it has for the next one; zero if none
	hurry  bool      // guarded by t.mu: it need not wait for its turn
	empty  empty
}

// empty is a span in which the reader has found nothing it wants, so that it does not look there again.
type empty struct{ after, upTo event.Position }

// NewReader returns a reader that sees what the filter wants. Close it.
func (t *Tail) NewReader(f event.Filter) *Reader {
	return t.add(&Reader{turns: t.catchUp, filter: f, paced: true})
}

// NewViewer is NewReader for who only looks on: however many viewers catch up, they take no turn from the
// plugins' readers.
func (t *Tail) NewViewer(f event.Filter) *Reader { return t.add(&Reader{turns: t.viewers, filter: f}) }

func (t *Tail) add(r *Reader) *Reader {
	r.t, r.signal, r.window = t, make(chan struct{}, 1), firstWindow
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

// notice wakes the reader if it may want events of one of the types, or if nil says that nobody knows which there are. It
// is asked for each type and not for each event, so that what else the filter says is looked at later, by the reader
// itself. The tail's lock is held.
func (r *Reader) notice(types []string) {
	if types != nil && !slices.ContainsFunc(types, r.filter.MatchType) {
		return // Next looks by itself once in a while
	}
	r.wake()
}

func (r *Reader) wake() {
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

// Hurry makes a quiet step due now: somebody waits until it is known that there is nothing for this reader. Any
// goroutine may call it.
func (r *Reader) Hurry() {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	r.hurry = true
	r.wake()
}

// Next returns the next batch after a position, and waits until there is one: events the filter
// wants, at most limit of them and about maxBytes, or, at most once in Options.Quiet and where
// somebody hurries, none but a higher UpTo. Events are shared: nobody may change them.
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
	from := after
	if r.empty.after == after {
		from = max(after, r.empty.upTo)
	}
	r.t.mu.Lock()
	watermark, started, start := r.t.status.Watermark, r.t.started, r.t.ring.start
	var spans []span
	if started && start <= from && from < watermark {
		spans = r.t.ring.after(from)
	}
	hurry := r.hurry
	r.hurry = false
	r.t.mu.Unlock()
	if !started || after >= watermark {
		return event.Batch{UpTo: after}, false, nil
	}
	if from < start {
		b, err := r.readStore(ctx, from, watermark, limit, maxBytes)
		return b, err == nil, err
	}
	b := collect(spans, from, watermark, r.filter, limit, maxBytes)
	if len(b.Events) > 0 {
		return b, true, nil
	}
	r.empty = empty{after: after, upTo: b.UpTo}
	return b, r.mayStep(hurry), nil
}

// mayStep reports whether a quiet step is due. If not, r.nextStep says when to ask again.
func (r *Reader) mayStep(hurry bool) bool {
	now := time.Now()
	if !hurry && now.Before(r.nextStep()) {
		return false
	}
	if !hurry && r.paced && r.due.IsZero() {
		if r.due = r.t.turn(now); now.Before(r.due) {
			return false
		}
	}
	r.quiet, r.due = now, time.Time{}
	return true
}

func (r *Reader) nextStep() time.Time {
	if !r.due.IsZero() {
		return r.due
	}
	return r.quiet.Add(r.t.o.Quiet)
}

// turn returns a time for a quiet step that no other reader has, the first from now on.
func (t *Tail) turn(now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.quiet.Before(now) {
		t.quiet = now
	}
	turn := t.quiet
	t.quiet = turn.Add(time.Second / time.Duration(t.o.QuietRate))
	return turn
}

// wait blocks until the tail has something for this reader, or a quiet step is due. It looks at least once in
// Options.Quiet, before the ring forgets what it has not looked at.
func (r *Reader) wait(ctx context.Context, moved bool) error {
	d := r.t.o.Quiet
	if moved {
		d = max(min(d, time.Until(r.nextStep())), time.Millisecond)
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

// readStore reads from the store a span the ring no longer has. Where other partitions want all that it finds it reads on
// for a while, rather than have a checkpoint moved for nothing.
func (r *Reader) readStore(ctx context.Context, after, watermark event.Position, limit, maxBytes int) (event.Batch, error) {
	for began, at := time.Now(), after; ; {
		b, err := r.readWindow(ctx, at, watermark, limit, maxBytes)
		if err != nil || len(b.Events) > 0 || r.filter.Partition.Of <= 1 || b.UpTo >= watermark || time.Since(began) > slowRead {
			return b, err
		}
		at = b.UpTo
	}
}

// readWindow reads with one statement.
func (r *Reader) readWindow(ctx context.Context, after, watermark event.Position, limit, maxBytes int) (event.Batch, error) {
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return event.Batch{}, ctx.Err()
	}
	o := store.ReadOptions{
		After:    after,
		UpTo:     min(watermark, after+r.window),
		Filter:   event.Filter{Types: r.filter.Types},
		Limit:    limit,
		MaxBytes: maxBytes,
	}
	if n := r.filter.Partition.Of; n > 1 { // the others' are read too
		o.Limit = max(limit, min(limit*n, mostRead))
	}
	began := time.Now()
	b, err := r.t.log.Read(ctx, o)
	if err != nil {
		return event.Batch{}, fmt.Errorf("read events after %d: %w", after, err)
	}
	switch took := time.Since(began); {
	case took > slowRead:
		r.window = max(r.window/2, minWindow)
	case took < fastRead && len(b.Events) < o.Limit:
		r.window = min(2*r.window, maxWindow)
	}
	return r.own(b, limit), nil
}

// own leaves other partitions' events out of a batch that was read for this reader alone.
func (r *Reader) own(b event.Batch, limit int) event.Batch {
	if r.filter.Partition.Of <= 1 {
		return b
	}
	b.Events = r.filter.Partition.Own(b.Events)
	if len(b.Events) > limit {
		clear(b.Events[limit:])
		b.Events = b.Events[:limit]
		b.UpTo = b.Events[limit-1].Position
	}
	return b
}
