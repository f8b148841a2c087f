package delivery

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// handler is a module without a sandbox.
type handler func(ctx context.Context, e *event.Event, attempt int, fx Effects) error

func (h handler) Digest() string                                { return "digest" }
func (h handler) NewInstance(context.Context) (Instance, error) { return h, nil }
func (h handler) Spent() bool                                   { return false }
func (h handler) Close(context.Context) error                   { return nil }
func (h handler) Handle(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
	return h(ctx, e, attempt, &sandboxed{Effects: fx, e: e})
}

// sandboxed gives emitted events their ids, as the sandbox does.
type sandboxed struct {
	Effects
	e     *event.Event
	emits int
}

func (s *sandboxed) Emit(e event.Emitted) error {
	e.ID = emittedID(s.e.ID, s.emits)
	s.emits++
	return s.Effects.Emit(e)
}

func emittedID(cause string, index int) string { return fmt.Sprint(cause, "#", index) }

// otherModule is a handler in another module.
type otherModule struct{ handler }

func (otherModule) Digest() string { return "other" }

// world is a log, a store and a runner in a bubble.
type world struct {
	t     *testing.T
	log   *fakeLog
	store *fakeStore
}

func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, log: newFakeLog()}
		w.store = newFakeStore(t, w.log)
		test(t, w)
	})
}

// append adds an event to each of some streams.
func (w *world) append(streams ...string) {
	for _, s := range streams {
		w.log.append(event.Event{Stream: s, ID: fmt.Sprintf("%s-%d", s, w.log.head()+1), Type: "T"})
	}
}

// start runs a runner until stop is called, or the test ends.
func (w *world) start(m Module, o Options) (r *Runner, stop func()) {
	o.Plugin, o.Generation = "p", 1
	if o.HostID == "" {
		o.HostID = "me"
	}
	r = NewRunner(w.store, &fakeFeed{log: w.log}, m, o)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); deliver(ctx, r) }()
	stop = func() {
		cancel()
		<-done
		w.store.checkQuiet(o.HostID)
	}
	w.t.Cleanup(stop)
	return r, stop
}

// deliver runs a runner as a host does that gives nothing up: again and again while another one has the lease.
func deliver(ctx context.Context, r *Runner) {
	for r.Run(ctx) != nil && pause(ctx, time.Second) {
	}
}

// reaches waits until the checkpoint is at the log's end.
func (w *world) reaches(end event.Position) {
	w.t.Helper()
	if !eventually(time.Hour, func() bool { w.store.mu.Lock(); defer w.store.mu.Unlock(); return w.store.position >= end }) {
		w.t.Fatalf("the checkpoint stays at %d", w.store.position)
	}
	synctest.Wait()
}

// sequence returns the store's row of a key.
func (w *world) sequence(key string) (store.Sequence, bool) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	q, ok := w.store.sequences[key]
	q.Waiting = len(w.store.queues[key])
	return q, ok
}

// condition returns what the store says of the plugin.
func (w *world) condition() store.Condition {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.store.condition
}

// position returns the checkpoint.
func (w *world) position() event.Position {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.store.position
}

// document returns a document's text, empty if there is none.
func (w *world) document(collection, key string) string {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return string(w.store.docs[collection+"\x00"+key].Data)
}

func (w *world) commits() []applied {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.store.applied
}

// notes appends the event's position to the document of its stream, and so shows order and number.
func notes(ctx context.Context, e *event.Event, fx Effects) error {
	old, _, err := fx.Get(ctx, []byte("notes"), []byte(e.Stream))
	if err != nil {
		return err
	}
	return fx.Set([]byte("notes"), []byte(e.Stream), fmt.Appendf(nil, "%s %d", old, e.Position))
}

func noting(ctx context.Context, e *event.Event, _ int, fx Effects) error { return notes(ctx, e, fx) }

func failing(kind event.FailureKind) error {
	return &event.Failure{Kind: kind, Message: "as told", Stack: "handle"}
}

func wantIn(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("%s is %q, want %q in it", what, got, p)
		}
	}
}

// failCalls makes calls of one name fail until told otherwise.
func (w *world) failCalls(name string) (stop func()) {
	set := func(f func(string) fault) { w.store.mu.Lock(); w.store.fault = f; w.store.mu.Unlock() }
	set(func(call string) fault {
		if call == name {
			return fault{kind: failsBefore}
		}
		return fault{}
	})
	return func() { set(nil) }
}

// rest lets time pass, and everybody else come to rest.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
