package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

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

	// tracking says that there are other lanes, so that reads must be remembered.
	tracking bool
	overlay  map[string]*slot
	scans    []string // id prefixes that were scanned
	emitted  []event.Emitted
	failed   map[string]*failedKey
	queue    []store.QueuedEvent
	handled  int
	habits   habits

	// Of the event being handled.
	current *event.Event
	writes  []write
	emits   []event.Emitted
	hostErr error // trouble of the host's own that a host call met
	scratch []byte
}

// slot is what a lane knows of a document: what it read there, or what it wrote.
type slot struct {
	id       string
	value    []byte
	exists   bool
	written  bool
	position event.Position
}

// write is an event's write before its handler has returned.
type write struct {
	id    string
	value []byte // nil deletes
}

// failedKey is a key whose event failed in this batch.
type failedKey struct {
	position event.Position
	failure  *event.Failure
	at       time.Time
}

func newLane(o *Options, module Module, cache *cache) *lane {
	return &lane{o: o, module: module, cache: cache}
}

// reset forgets the last batch.
func (l *lane) reset(tracking bool) {
	l.tracking = tracking
	l.overlay = make(map[string]*slot)
	l.failed = make(map[string]*failedKey)
	l.scans, l.emitted, l.queue = nil, nil, nil
	l.handled = 0
	l.habits = nil
}

// run handles events, the first on the given attempt. An error is the host's trouble: the batch is void.
func (l *lane) run(ctx context.Context, events []*event.Event, order Order, attempt int) error {
	for _, e := range events {
		key := order(e)
		// Invariant 4: what comes after a failed event of the same key waits behind it.
		if l.failed[key] != nil {
			l.queue = append(l.queue, store.QueuedEvent{Key: key, Position: e.Position})
			continue
		}
		err := l.handle(ctx, e, attempt)
		attempt = 1
		var failure *event.Failure
		switch {
		case err == nil:
			l.apply(e)
		case errors.As(err, &failure):
			l.failed[key] = &failedKey{position: e.Position, failure: failure, at: time.Now()}
			l.queue = append(l.queue, store.QueuedEvent{Key: key, Position: e.Position})
		default:
			return err
		}
		l.handled++
	}
	return nil
}

// handle runs one event on a sound instance. What it wants to change is in writes and emits.
func (l *lane) handle(ctx context.Context, e *event.Event, attempt int) error {
	if err := l.prepare(ctx); err != nil {
		return err
	}
	// Invariant 3: whatever the last event left here goes away before anything can see it.
	l.current, l.writes, l.emits, l.hostErr = e, l.writes[:0], l.emits[:0], nil
	err := l.inst.Handle(ctx, e, attempt, l)
	if l.hostErr != nil {
		return l.hostErr
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

// instanceError is a module that cannot even be started.
type instanceError struct{ err error }

func (e *instanceError) Error() string { return fmt.Sprintf("start an instance: %v", e.err) }
func (e *instanceError) Unwrap() error { return e.err }

func (e *instanceError) reason() string { return e.Error() + "; replace the module by one that starts" }

// apply makes the event's effects part of the lane's.
func (l *lane) apply(e *event.Event) {
	for _, w := range l.writes {
		s := l.overlay[w.id]
		if s == nil {
			s = &slot{id: w.id}
			l.overlay[w.id] = s
		}
		s.value, s.exists, s.written, s.position = w.value, w.value != nil, true, e.Position
	}
	l.emitted = append(l.emitted, l.emits...)
}

// find returns what the lane itself knows of a document.
func (l *lane) find(id []byte) (value []byte, exists, known bool) {
	for i := len(l.writes) - 1; i >= 0; i-- {
		if w := &l.writes[i]; w.id == string(id) {
			return w.value, w.value != nil, true
		}
	}
	if s := l.overlay[string(id)]; s != nil {
		return s.value, s.exists, true
	}
	return nil, false, false
}

// Get returns a document as the event sees it.
func (l *lane) Get(ctx context.Context, collection, key []byte) ([]byte, bool, error) {
	l.scratch = appendID(l.scratch[:0], collection, key)
	l.learn(collection, key)
	if value, exists, known := l.find(l.scratch); known {
		return value, exists, nil
	}
	value, exists, err := l.cache.get(ctx, l.scratch)
	if err != nil {
		return nil, false, l.trouble(err)
	}
	if l.tracking {
		id := string(l.scratch)
		l.overlay[id] = &slot{id: id, value: value, exists: exists}
	}
	return value, exists, nil
}

// Set writes a document.
func (l *lane) Set(collection, key, value []byte) error {
	l.write(collection, key, append(make([]byte, 0, len(value)), value...))
	return nil
}

// Delete removes a document, if there is one.
func (l *lane) Delete(collection, key []byte) error {
	l.write(collection, key, nil)
	return nil
}

func (l *lane) write(collection, key, value []byte) {
	l.scratch = appendID(l.scratch[:0], collection, key)
	for i := range l.writes {
		if w := &l.writes[i]; w.id == string(l.scratch) {
			w.value = value
			return
		}
	}
	id := ""
	if s := l.overlay[string(l.scratch)]; s != nil {
		id = s.id
	} else {
		id = string(l.scratch)
	}
	l.writes = append(l.writes, write{id: id, value: value})
}

// Emit takes an event to be appended with the checkpoint.
func (l *lane) Emit(e event.Emitted) error {
	e.Cause = l.current.Position
	e.ID = emittedID(l.o.Plugin, l.current.ID, len(l.emits))
	l.emits = append(l.emits, e)
	return nil
}

// emittedID is the same whenever the same plugin handles the same event, so that a repetition makes
// no second event.
func emittedID(plugin, cause string, index int) string {
	return uuid.NewSHA1(emittedSpace, fmt.Appendf(nil, "%s\x00%s\x00%d", plugin, cause, index)).String()
}

// emittedSpace is the name space (RFC 9562, version 5) of emitted events' ids.
var emittedSpace = uuid.MustParse("5bd2d8b2-0f52-4f4c-9e63-6b4a3c1c7e11")

// trouble remembers an error that is not the event's, so that the guest cannot turn it into one.
func (l *lane) trouble(err error) error {
	if l.hostErr == nil {
		l.hostErr = err
	}
	return err
}

// habits counts, by collection, how often a handler asked for the document whose key is the event's
// stream, and how often for another: documents of the first kind can be read ahead.
type habits map[string]*habit

type habit struct{ stream, other int }

func (l *lane) learn(collection, key []byte) {
	h := l.habits[string(collection)]
	if h == nil {
		if l.habits == nil {
			l.habits = make(habits)
		}
		h = &habit{}
		l.habits[string(collection)] = h
	}
	if string(key) == l.current.Stream {
		h.stream++
	} else {
		h.other++
	}
}
