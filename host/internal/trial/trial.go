// Package trial runs a module over events with all its effects in memory: what a host would do with it, without a
// database, one event at a time in position order.
//
// An event that fails is tried again at once, as often as it may, and leaves no effect. Then its ordering key is held: the
// key's later events wait, those of other keys go on, as they do in a host that has parked the sequence.
//
// What an event emits is collected and not handled.
package trial

import (
	"context"
	"errors"
	"fmt"

	"eshost/host/event"
)

// Effects is what a handler can do to the world; see the sandbox's interface of that name.
type Effects interface {
	Get(ctx context.Context, collection, key []byte) (value []byte, ok bool, err error)
	Set(collection, key, value []byte) error
	Delete(collection, key []byte) error
	Scan(ctx context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error)
	Emit(e event.Emitted) error
}

// Instance is one running copy of the module.
type Instance interface {
	// Handle runs the handler. Its error is an *event.Failure, or the host's own.
	Handle(ctx context.Context, e *event.Event, attempt int, fx Effects) error
	// Spent reports that the instance must be closed and not be used again.
	Spent() bool
	// FuelUsed is what the last event cost.
	FuelUsed() int64
	// MemorySize is how much linear memory the instance has, in bytes. It never shrinks.
	MemorySize() int
	Close(ctx context.Context) error
}

// Module makes instances.
type Module interface {
	NewInstance(ctx context.Context) (Instance, error)
}

// Options say how events are handled.
type Options struct {
	// Key gives an event's ordering key. It is required.
	Key func(*event.Event) string
	// Attempts is how often an event is tried, 1 or more.
	Attempts int
	// Partitioned holds the handler to the documents of the event's ordering key, as a plugin with partitions is.
	Partitioned bool
}

// Outcome is how one event ended.
type Outcome struct {
	Event *event.Event
	// Attempts is how often the handler was called; 0 for an event that waits.
	Attempts int
	// Fuel is what the last attempt cost.
	Fuel int64
	// Failure is why the last attempt failed; nil if it did not.
	Failure *event.Failure
	// Behind is the failed event that this one waits behind, 0 if it does not.
	Behind event.Position
}

// Result is what came of a run.
type Result struct {
	Documents []event.Document // by collection and key, in byte order
	Emitted   []event.Emitted
	Outcomes  []Outcome // of every event, in position order
	// PeakMemory is the largest linear memory an instance had, in bytes.
	PeakMemory int
	// Instances is how many were made: more than one where a trap or a full memory used one up.
	Instances int
}

// Run handles the events on one instance, which is replaced only when it is spent.
func Run(ctx context.Context, m Module, events []event.Event, o Options) (*Result, error) {
	w := newWorld(m, o, nil)
	defer w.close()
	r := &Result{Outcomes: make([]Outcome, 0, len(events))}
	for i := range events {
		out, err := w.handle(ctx, &events[i])
		if err != nil {
			return nil, err
		}
		r.Outcomes = append(r.Outcomes, out)
	}
	r.Documents, r.Emitted = w.docs.all(), w.emitted
	r.PeakMemory, r.Instances = w.crew.peak, w.crew.made
	return r, nil
}

// world is everything that one run of the events has made so far.
type world struct {
	o       Options
	crew    crew
	docs    documents
	emitted []event.Emitted
	held    map[string]event.Position // by ordering key: the event that failed
	// wrote and emittedFrom are what the last event did.
	wrote       []change
	emittedFrom int
	// reach is what it may reach, and out is that it reached further.
	reach event.Reach
	out   error
}

func newWorld(m Module, o Options, c *chaos) *world {
	return &world{o: o, crew: newCrew(m, c), docs: newDocuments(), held: make(map[string]event.Position)}
}

func (w *world) close() { w.crew.close() }

// handle brings one event to its end. Its error is not the event's.
func (w *world) handle(ctx context.Context, e *event.Event) (Outcome, error) {
	out := Outcome{Event: e}
	w.wrote, w.emittedFrom = w.wrote[:0], len(w.emitted)
	key := w.o.Key(e)
	if w.o.Partitioned {
		w.reach = event.ReachOf(key)
	}
	if out.Behind = w.held[key]; out.Behind != 0 {
		return out, nil
	}
	for {
		in, err := w.crew.next(ctx)
		if err != nil {
			return out, err
		}
		out.Attempts++
		w.out = nil
		err = in.Handle(ctx, e, out.Attempts, w)
		var failure *event.Failure
		if w.out != nil && !(errors.As(err, &failure) && failure.Kind == event.FailPartition) { // else it has the guest's stack
			err = w.out
		}
		out.Fuel = in.FuelUsed()
		w.crew.measure(in)
		if err == nil {
			out.Failure = nil
			w.wrote = append(w.wrote, w.docs.changes...)
			w.docs.accept()
			return out, nil
		}
		// Invariant 3: an event that fails leaves no effect.
		w.docs.undo()
		w.emitted = w.emitted[:w.emittedFrom]
		if !errors.As(err, &out.Failure) {
			return out, fmt.Errorf("handle event %d: %w", e.Position, err)
		}
		if out.Failure.Final() || out.Attempts >= w.o.Attempts {
			// Invariant 4: a failing event holds back its own key only.
			w.held[key] = e.Position
			return out, nil
		}
	}
}

// beyond remembers that the handler reached for a document of another ordering key, so that it cannot make anything else of
// that.
func (w *world) beyond(err error) error {
	if w.out == nil {
		w.out = err
	}
	return err
}

// Get returns a document as the handler must see it, its own writes included.
func (w *world) Get(_ context.Context, collection, key []byte) ([]byte, bool, error) {
	if err := w.reach.Document(collection, key); err != nil {
		return nil, false, w.beyond(err)
	}
	value, ok := w.docs.get(string(collection), string(key))
	return value, ok, nil
}

// Set writes a document.
func (w *world) Set(collection, key, value []byte) error {
	if err := w.reach.Document(collection, key); err != nil {
		return w.beyond(err)
	}
	w.docs.put(string(collection), string(key), ownedCopy(value))
	return nil
}

// Delete removes a document, if there is one.
func (w *world) Delete(collection, key []byte) error {
	if err := w.reach.Document(collection, key); err != nil {
		return w.beyond(err)
	}
	w.docs.put(string(collection), string(key), nil)
	return nil
}

// Scan lists documents in byte order of their keys.
func (w *world) Scan(_ context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error) {
	if err := w.reach.Scan(collection, prefix); err != nil {
		return nil, w.beyond(err)
	}
	return w.docs.scan(string(collection), string(prefix), string(after), limit), nil
}

// Emit collects an event.
func (w *world) Emit(e event.Emitted) error {
	w.emitted = append(w.emitted, e)
	return nil
}
