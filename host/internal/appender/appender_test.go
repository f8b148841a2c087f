package appender_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/event"
	"eshost/host/internal/appender"
	"eshost/host/store"
)

// fakeLog keeps what it is given in memory, group by group. A group waits until it is let go.
type fakeLog struct {
	mu     sync.Mutex
	groups [][]string // ids
	last   event.Position
	fail   error         // the outcome of the next groups
	gate   chan struct{} // one receive a group; nil lets all go
}

func (l *fakeLog) Append(ctx context.Context, reqs []store.AppendRequest) []store.AppendResult {
	var group []string
	for _, r := range reqs {
		for _, s := range r.Streams {
			for _, e := range s.Events {
				group = append(group, e.ID)
			}
		}
	}
	l.mu.Lock()
	l.groups = append(l.groups, group)
	l.mu.Unlock()
	results := make([]store.AppendResult, len(reqs))
	failAll := func(err error) []store.AppendResult {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-ctx.Done():
			return failAll(ctx.Err())
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return failAll(l.fail)
	}
	for i, r := range reqs {
		if r.Streams[0].Expected > 0 {
			results[i].Err = &store.VersionConflictError{Stream: r.Streams[0].Stream, Expected: r.Streams[0].Expected}
			continue
		}
		for _, s := range r.Streams {
			for _, e := range s.Events {
				l.last++
				results[i].Events = append(results[i].Events, store.Recorded{ID: e.ID, Stream: s.Stream, Position: l.last})
			}
		}
	}
	return results
}

func (l *fakeLog) seen() [][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([][]string{}, l.groups...)
}

// rig is an appender on a fake log, with callers whose answers are kept.
type rig struct {
	*appender.Appender
	t       *testing.T
	log     *fakeLog
	calls   sync.WaitGroup
	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	recorded []store.Recorded
	err      error
}

// start runs the appender; inBubble is the test. The log is gated: let lets groups go.
func start(t *testing.T, o appender.Options, inBubble func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		r := &rig{Appender: appender.New(log, o), t: t, log: log, answers: map[string]answer{}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		inBubble(r)
		close(log.gate)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		r.calls.Wait()
	})
}

// call appends in the background one event a stream, named id, and waits until it is queued.
func (r *rig) call(ctx context.Context, id string, streams ...string) {
	var req store.AppendRequest
	for i, s := range streams {
		eventID := id
		if i > 0 {
			eventID += "/" + s
		}
		req.Streams = append(req.Streams, store.StreamAppend{Stream: s, Expected: store.AnyVersion, Events: []store.NewEvent{{ID: eventID, Type: "T"}}})
	}
	r.request(ctx, id, req)
}

func (r *rig) request(ctx context.Context, id string, req store.AppendRequest) {
	r.calls.Go(func() {
		recorded, err := r.Append(ctx, req)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.answers[id] = answer{recorded, err}
	})
	synctest.Wait()
}

// let lets n groups go and waits until their callers have their answers.
func (r *rig) let(n int) {
	for range n {
		r.log.gate <- struct{}{}
		synctest.Wait()
	}
}

func (r *rig) wantGroups(want ...string) {
	r.t.Helper()
	var got []string
	for _, g := range r.log.seen() {
		got = append(got, strings.Join(g, " "))
	}
	if !reflect.DeepEqual(got, want) {
		r.t.Errorf("the log was given %q, want %q", got, want)
	}
}

func (r *rig) wantStored(ids ...string) {
	r.t.Helper()
	for _, id := range ids {
		if a, ok := r.answer(id); !ok || a.err != nil || len(a.recorded) == 0 || a.recorded[0].ID != id {
			r.t.Errorf("%s was answered %+v (%v)", id, a, ok)
		}
	}
}

func (r *rig) wantError(id string, want error) {
	r.t.Helper()
	if a, ok := r.answer(id); !ok || !errors.Is(a.err, want) || a.recorded != nil {
		r.t.Errorf("%s was answered %+v (%v), want %v", id, a, ok, want)
	}
}

func (r *rig) wantWaiting(id string) {
	r.t.Helper()
	if a, ok := r.answer(id); ok {
		r.t.Errorf("%s was answered %+v already", id, a)
	}
}

func (r *rig) answer(id string) (answer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.answers[id]
	return a, ok
}

func TestGroups(t *testing.T) {
	start(t, appender.Options{}, func(r *rig) {
		for i := range 5 {
			r.call(r.t.Context(), fmt.Sprint(i), "s"+fmt.Sprint(i))
		}
		r.wantGroups("0") // what came while it was written is the next group
		r.let(1)
		r.wantStored("0")
		r.wantWaiting("1")
		r.let(1)
		r.wantGroups("0", "1 2 3 4")
		r.wantStored("1", "2", "3", "4")
	})
}

func TestGroupBounds(t *testing.T) {
	start(t, appender.Options{GroupRequests: 3, GroupBytes: 10_000}, func(r *rig) {
		big := func(id string, n int) {
			r.request(r.t.Context(), id, store.AppendRequest{Streams: []store.StreamAppend{{Stream: id, Expected: store.AnyVersion,
				Events: []store.NewEvent{{ID: id, Type: "T", Data: make([]byte, n)}}}}})
		}
		for i := range 5 {
			r.call(r.t.Context(), fmt.Sprint(i), "s"+fmt.Sprint(i))
		}
		big("a", 4000)
		big("b", 4000)
		big("c", 4000)
		big("huge", 50_000)
		big("d", 10)
		r.let(6)
		r.wantGroups("0", "1 2 3", "4 a", "b c", "huge", "d")
	})
}

func TestEachItsOwnResult(t *testing.T) {
	var woken []event.Position
	start(t, appender.Options{OnAppend: func(p event.Position) { woken = append(woken, p) }}, func(r *rig) {
		late := func(id string) {
			r.request(r.t.Context(), id, store.AppendRequest{Streams: []store.StreamAppend{{Stream: id, Expected: 7, Events: []store.NewEvent{{ID: id, Type: "T"}}}}})
		}
		r.call(r.t.Context(), "0", "s")
		r.call(r.t.Context(), "1", "s")
		late("late")
		r.request(r.t.Context(), "invalid", store.AppendRequest{})
		r.wantError("invalid", store.ErrInvalid) // at once
		r.call(r.t.Context(), "2", "s", "u")
		r.let(2)
		r.wantGroups("0", "1 late 2 2/u")
		r.wantStored("0", "1", "2")
		r.wantError("late", store.ErrVersionConflict)
		if a, _ := r.answer("late"); errors.Is(a.err, appender.ErrOutcomeUnknown) {
			t.Errorf("a refusal is a known outcome: %v", a.err)
		}
		if a, _ := r.answer("2"); len(a.recorded) != 2 || a.recorded[1].ID != "2/u" || a.recorded[1].Position != 4 {
			t.Errorf("a request with two streams was answered %+v", a)
		}
		late("later")
		r.let(1)
		if want := []event.Position{1, 4}; !reflect.DeepEqual(woken, want) { // nothing was stored by the last group
			t.Errorf("the hook was called with %v, want %v", woken, want)
		}
	})
}

func TestContextEndsInTheQueue(t *testing.T) {
	start(t, appender.Options{}, func(r *rig) {
		ctx, cancel := context.WithCancel(r.t.Context())
		r.call(r.t.Context(), "0", "s")
		r.call(ctx, "1", "s")
		r.call(r.t.Context(), "2", "s")
		cancel()
		synctest.Wait()
		r.wantError("1", context.Canceled)
		if a, _ := r.answer("1"); errors.Is(a.err, appender.ErrOutcomeUnknown) {
			t.Errorf("it was never written, and that is known: %v", a.err)
		}
		r.call(ctx, "3", "s") // ended before it began
		r.wantError("3", context.Canceled)
		r.let(2)
		r.wantGroups("0", "2")
		r.wantStored("0", "2")
	})
}

func TestContextEndsInFlight(t *testing.T) {
	start(t, appender.Options{}, func(r *rig) {
		ctx, cancel := context.WithCancel(r.t.Context())
		req := store.AppendRequest{Streams: []store.StreamAppend{{Stream: "s", Expected: store.AnyVersion, Events: []store.NewEvent{{ID: "1", Type: "T"}, {Type: "T"}}}}}
		r.request(ctx, "1", req)
		cancel()
		synctest.Wait()
		r.wantError("1", appender.ErrOutcomeUnknown)
		r.wantError("1", context.Canceled)
		a, _ := r.answer("1")
		var unknown *appender.OutcomeUnknownError
		if !errors.As(a.err, &unknown) || len(unknown.IDs) != 2 || unknown.IDs[0] != "1" || unknown.IDs[1] == "" {
			t.Fatalf("got %v", a.err)
		}
		if !strings.Contains(a.err.Error(), unknown.IDs[1]) {
			t.Errorf("the error does not name the ids to try again with: %v", a.err)
		}
		r.let(1)
		if got := r.log.seen()[0]; !reflect.DeepEqual(got, unknown.IDs) {
			t.Errorf("written were %v, the caller was told %v", got, unknown.IDs)
		}
		if req.Streams[0].Events[1].ID != "" {
			t.Error("the caller's request was changed")
		}
	})
}

func TestStoreFails(t *testing.T) {
	start(t, appender.Options{}, func(r *rig) {
		r.log.fail = fmt.Errorf("the disk: %w", store.ErrUnavailable)
		r.call(r.t.Context(), "1", "s")
		r.let(1)
		r.wantError("1", appender.ErrOutcomeUnknown)
		r.wantError("1", store.ErrUnavailable)
		r.log.fail = nil
		r.call(r.t.Context(), "2", "s")
		r.let(1)
		r.wantStored("2")
	})
}

func TestStoreHangs(t *testing.T) {
	start(t, appender.Options{Timeout: time.Minute}, func(r *rig) {
		r.call(r.t.Context(), "1", "s")
		time.Sleep(59 * time.Second)
		r.wantWaiting("1")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.wantError("1", context.DeadlineExceeded)
		r.wantError("1", appender.ErrOutcomeUnknown)
	})
}

func TestFull(t *testing.T) {
	start(t, appender.Options{QueueBytes: 5000}, func(r *rig) {
		send := func(ctx context.Context, id string, n int) {
			r.request(ctx, id, store.AppendRequest{Streams: []store.StreamAppend{{Stream: id, Expected: store.AnyVersion,
				Events: []store.NewEvent{{ID: id, Type: "T", Data: make([]byte, n)}}}}})
		}
		ctx, cancel := context.WithCancel(r.t.Context())
		send(r.t.Context(), "1", 3000)
		send(r.t.Context(), "2", 3000) // waits for room
		send(ctx, "3", 3000)           // and stops waiting
		cancel()
		synctest.Wait()
		r.wantError("3", context.Canceled)
		r.let(1)
		r.wantStored("1")
		r.let(1)
		r.wantStored("2")
		send(r.t.Context(), "more than all the room", 10_000) // goes alone
		send(r.t.Context(), "4", 10)
		r.wantGroups("1", "2", "more than all the room")
		r.let(2)
		r.wantStored("more than all the room", "4")
	})
}

func TestClose(t *testing.T) {
	start(t, appender.Options{QueueBytes: 3000}, func(r *rig) {
		r.call(r.t.Context(), "in flight", "s")
		r.call(r.t.Context(), "queued", "s")
		r.call(r.t.Context(), "queued too", "s")
		r.call(r.t.Context(), "waiting for room", "s")
		closed := make(chan struct{})
		go func() { r.Close(); close(closed) }()
		synctest.Wait()
		for _, id := range []string{"queued", "queued too", "waiting for room"} {
			r.wantError(id, appender.ErrClosed)
		}
		r.wantWaiting("in flight")
		select {
		case <-closed:
			t.Error("closed with a group in flight")
		default:
		}
		r.let(1)
		r.wantStored("in flight")
		<-closed
		r.call(r.t.Context(), "later", "s")
		r.wantError("later", appender.ErrClosed)
		r.wantGroups("in flight")
		r.Close() // once more does no harm
	})
}

func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		r := &rig{Appender: appender.New(log, appender.Options{}), t: t, log: log, answers: map[string]answer{}}
		r.call(t.Context(), "before run", "s")
		r.wantWaiting("before run")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case <-done:
			t.Error("ended with a group in flight")
		default:
		}
		close(log.gate) // the group is finished, although ctx has ended
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		r.calls.Wait()
		r.wantStored("before run")
		if err := r.Run(t.Context()); err != nil {
			t.Errorf("run a closed appender: %v", err)
		}
	})
}

func TestCloseWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{Appender: appender.New(&fakeLog{}, appender.Options{}), t: t, answers: map[string]answer{}}
		r.call(t.Context(), "1", "s")
		r.Close()
		r.calls.Wait()
		r.wantError("1", appender.ErrClosed)
	})
}
