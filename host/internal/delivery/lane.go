package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// lane handles the events of some ordering keys in position order. What it writes stays in its
// overlay until the batch is committed.
type lane struct {
	o      *Options
	module Module
	cache  *cache
	inst   Instance

	// Of the batch.
	bounds  bounds
	overlay map[string]*slot
	largest int     // the overlay was, lately
	written []*slot // of overlay, in order of first write
	touched []string
	scans   map[string]struct{} // id prefixes that were scanned
	emitted []event.Emitted
	failed  map[string]*failedKey
	queue   []store.QueuedEvent
	habits  habits
	tasks   []task // this lane's, when there are several
	slots   slots
	done    int // tasks, handled or queued
	handled int // events whose handler ran
	size    int // of what is kept until the batch is committed, in bytes

	// Of the event being handled.
	current *event.Event
	reach   event.Reach
	writes  writes
	emits   []event.Emitted
	hostErr error // trouble of the host's own that a host call met
	beyond  error // the failure of an event that reached too far
	last    looked
}

// task is an event with its ordering key.
type task struct {
	e   *event.Event
	key string
}

// bounds say what a lane may do with its part of a batch.
type bounds struct {
	// alone says that there are no other lanes: reads need not be remembered, and the lane may end
	// its part where it likes.
	alone bool
	held  map[string]*sequence // keys whose events must wait
	// refused are events that fail without being handled, by position.
	refused map[event.Position]*event.Failure
	bytes   int          // how much the lane may keep
	room    int          // how many events may be queued
	late    *atomic.Bool // set when the batch has taken long enough; nil means never
}

// errFull ends a lane that has done more than its bounds allow while others run.
var errFull = errors.New("the lane is full")

// failedKey is a key whose event failed in this batch.
type failedKey struct {
	position event.Position
	failure  *event.Failure
	at       time.Time
}

func newLane(o *Options, module Module, cache *cache) *lane {
	return &lane{
		o: o, module: module, cache: cache,
		overlay: make(map[string]*slot),
		scans:   make(map[string]struct{}),
		failed:  make(map[string]*failedKey),
	}
}

// forget lets go of a batch. An idle plugin keeps nothing of its last one.
func (l *lane) forget() {
	// Emptying a map costs as much as it was ever large: only worth it while batches are.
	if n := len(l.overlay); 8*n < l.largest {
		l.overlay, l.largest = make(map[string]*slot), n
	} else {
		clear(l.overlay)
		l.largest = max(l.largest, n)
	}
	if len(l.scans)+len(l.failed) > 0 {
		l.scans, l.failed = make(map[string]struct{}), make(map[string]*failedKey)
	}
	clear(l.written)
	clear(l.tasks)
	l.written, l.tasks, l.touched = l.written[:0], l.tasks[:0], nil
	l.slots.reset()
	l.writes.reset()
	l.emitted, l.queue, l.habits, l.current, l.last = nil, nil, nil, nil, looked{}
	l.done, l.handled, l.size = 0, 0, 0
}

// run handles tasks, the first on the given attempt. A lane that is alone may end before the last one;
// done says where. An error is the host's trouble, or errFull: the batch is void.
func (l *lane) run(ctx context.Context, tasks []task, attempt int) error {
	for i := range tasks {
		if i > 0 && l.full() {
			if l.bounds.alone {
				return nil
			}
			return errFull
		}
		if err := l.take(ctx, &tasks[i], attempt); err != nil {
			return err
		}
		attempt = 1
		l.done++
	}
	return nil
}

func (l *lane) full() bool {
	return l.size >= l.bounds.bytes || len(l.queue) >= l.bounds.room || l.bounds.late != nil && l.bounds.late.Load()
}

// take handles one event, or queues it.
func (l *lane) take(ctx context.Context, t *task, attempt int) error {
	// Invariant 4: what comes after a failed event of the same key waits behind it.
	if l.bounds.held[t.key] != nil || l.failed[t.key] != nil {
		l.enqueue(t)
		return nil
	}
	l.reach = l.o.reach(t.key)
	if err := l.handle(ctx, t.e, attempt); err != nil {
		var failure *event.Failure
		if !errors.As(err, &failure) {
			return err
		}
		l.failed[t.key] = &failedKey{position: t.e.Position, failure: failure, at: time.Now()}
		l.enqueue(t)
	} else {
		l.apply(t.e)
	}
	l.handled++
	return nil
}

func (l *lane) enqueue(t *task) {
	l.queue = append(l.queue, store.QueuedEvent{Key: t.key, Position: t.e.Position})
	l.size += slotOverhead
}

// handle runs one event on a sound instance. What it wants to change is in writes and emits.
func (l *lane) handle(ctx context.Context, e *event.Event, attempt int) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if f := l.bounds.refused[e.Position]; f != nil {
		return f
	}
	if err := l.prepare(ctx); err != nil {
		return err
	}
	// Invariant 3: whatever the last event left here goes away before anything can see it.
	l.writes.reset()
	l.current, l.emits, l.hostErr, l.beyond = e, l.emits[:0], nil, nil
	l.last.id = l.last.id[:0]
	err := l.inst.Handle(ctx, e, attempt, l)
	var failure *event.Failure
	switch {
	case l.hostErr != nil:
		return l.hostErr
	case l.beyond != nil && !(errors.As(err, &failure) && failure.Kind == event.FailPartition): // else it has the guest's stack
		return l.beyond
	}
	return err
}

// prepare makes sure that there is an instance that can be used.
func (l *lane) prepare(ctx context.Context) error {
	if l.inst != nil && !l.inst.Spent() {
		return nil
	}
	l.close(ctx)
	inst, err := l.module.NewInstance(ctx)
	if ctx.Err() != nil && err != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &instanceError{err}
	}
	l.inst = inst
	return nil
}

func (l *lane) close(ctx context.Context) {
	if l.inst == nil {
		return
	}
	if err := l.inst.Close(ctx); err != nil {
		l.o.Logger.Debug("closing an instance failed", "error", err)
	}
	l.inst = nil
}

// instanceError is an instance that could not be started. It does not unwrap: a Failure in it is not the
// event's.
type instanceError struct{ err error }

func (e *instanceError) Error() string { return fmt.Sprintf("start an instance: %v", e.err) }

// apply makes the event's effects part of the lane's.
func (l *lane) apply(e *event.Event) {
	for i := range l.writes.list {
		w := &l.writes.list[i]
		s := w.slot
		if s == nil {
			s = l.keep(w.id)
		}
		if !s.written {
			s.written = true
			l.written = append(l.written, s)
		}
		l.size += len(w.value) - len(s.value)
		s.value, s.exists, s.position = w.value, w.value != nil, e.Position
	}
	for i := range l.emits {
		l.size += emittedSize(&l.emits[i])
	}
	l.emitted = append(l.emitted, l.emits...)
	clear(l.emits)
}

// keep makes a slot for a document.
func (l *lane) keep(id string) *slot {
	s := l.slots.next()
	s.id = id
	l.overlay[id] = s
	l.size += slotOverhead + len(id)
	return s
}
