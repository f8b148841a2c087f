package appender

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"eshost/host/event"
	"eshost/host/store"
)

// Log is where events are appended.
type Log interface {
	// Append is store.Log's.
	Append(ctx context.Context, reqs []store.AppendRequest) []store.AppendResult
}

// Options of New.
type Options struct {
	// QueueBytes bounds the events that wait or are being written. A request that is larger than all
	// of it takes all of it. Defaults to 64 MiB.
	QueueBytes int64
	// GroupRequests is how many requests are written together at most. Defaults to 512.
	GroupRequests int
	// GroupBytes is how many bytes of events are written together, unless one request has more.
	// Defaults to 8 MiB.
	GroupBytes int64
	// Timeout is how long the writing of a group may take. Defaults to 30s.
	Timeout time.Duration
	// OnAppend, if set, is called after each group that stored something, with its highest position.
	// It must not block.
	OnAppend func(highest event.Position)
}

func (o Options) withDefaults() Options {
	o.QueueBytes = cmp.Or(o.QueueBytes, 64<<20)
	o.GroupRequests = cmp.Or(o.GroupRequests, 512)
	o.GroupBytes = cmp.Or(o.GroupBytes, 8<<20)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	if o.OnAppend == nil {
		o.OnAppend = func(event.Position) {}
	}
	return o
}

// Appender is a queue of append requests. It is safe for concurrent use.
type Appender struct {
	log  Log
	o    Options
	room *semaphore.Weighted // bytes

	closing context.Context // ends when Close is called
	close   context.CancelFunc
	writing sync.WaitGroup // the group in flight

	mu     sync.Mutex
	change sync.Cond  // the queue or closed changed
	queue  *list.List // of *entry
	closed bool
}

// entry is one queued request.
type entry struct {
	req      store.AppendRequest
	bytes    int64
	answer   chan store.AppendResult // of one
	inFlight bool                    // guarded by Appender.mu
}

// New returns an appender that queues. Run writes.
func New(log Log, o Options) *Appender {
	o = o.withDefaults()
	a := &Appender{log: log, o: o, room: semaphore.NewWeighted(o.QueueBytes), queue: list.New()}
	a.change.L = &a.mu
	a.closing, a.close = context.WithCancel(context.Background())
	return a
}

// Append queues a request and returns when it is stored, refused, or ctx ends. The errors are those
// of store.Log, ErrClosed, an *OutcomeUnknownError, and that of ctx for a request that was not written.
func (a *Appender) Append(ctx context.Context, req store.AppendRequest) ([]store.Recorded, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	req, err := withIDs(req)
	if err != nil {
		return nil, err
	}
	e := &entry{req: req, bytes: min(size(req), a.o.QueueBytes), answer: make(chan store.AppendResult, 1)}
	if err := a.reserve(ctx, e.bytes); err != nil {
		return nil, err
	}
	defer a.room.Release(e.bytes)

	place, err := a.enqueue(e)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-e.answer:
		return r.Events, r.Err
	case <-ctx.Done():
		return a.abandon(ctx, e, place)
	}
}

// reserve waits for room in the queue.
func (a *Appender) reserve(ctx context.Context, bytes int64) error {
	if a.room.TryAcquire(bytes) {
		return nil
	}
	either, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.closing, cancel)()
	if err := a.room.Acquire(either, bytes); err == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrClosed
}

func (a *Appender) enqueue(e *entry) (*list.Element, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, ErrClosed
	}
	a.change.Signal()
	return a.queue.PushBack(e), nil
}

// abandon answers a caller whose context has ended.
func (a *Appender) abandon(ctx context.Context, e *entry, place *list.Element) ([]store.Recorded, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case r := <-e.answer: // just in time
		return r.Events, r.Err
	default:
	}
	if e.inFlight {
		return nil, &OutcomeUnknownError{IDs: ids(e.req), Err: ctx.Err()}
	}
	a.queue.Remove(place)
	return nil, ctx.Err()
}

// Run writes what is queued until ctx ends or Close is called, and then closes the appender. It
// returns nil.
func (a *Appender) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, a.Close)()
	for group := a.next(); group != nil; group = a.next() {
		a.write(context.WithoutCancel(ctx), group)
	}
	return nil
}

// Close takes no more requests, waits for the group in flight to be answered, and refuses what is
// queued with ErrClosed.
func (a *Appender) Close() {
	a.close()
	a.mu.Lock()
	a.closed = true
	for el := a.queue.Front(); el != nil; el = a.queue.Front() {
		a.queue.Remove(el).(*entry).answer <- store.AppendResult{Err: ErrClosed}
	}
	a.change.Broadcast()
	a.mu.Unlock()
	a.writing.Wait()
}

// next waits for requests and takes as many as one group may have. It returns nil once the appender
// is closed.
func (a *Appender) next() []*entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.queue.Len() == 0 && !a.closed {
		a.change.Wait()
	}
	if a.closed {
		return nil
	}
	var group []*entry
	bytes := int64(0)
	for el := a.queue.Front(); el != nil && len(group) < a.o.GroupRequests; el = a.queue.Front() {
		e := el.Value.(*entry)
		if bytes += e.bytes; len(group) > 0 && bytes > a.o.GroupBytes {
			break
		}
		a.queue.Remove(el)
		e.inFlight = true
		group = append(group, e)
	}
	a.writing.Add(1)
	return group
}

// write stores a group and answers its callers.
func (a *Appender) write(ctx context.Context, group []*entry) {
	defer a.writing.Done()
	ctx, cancel := context.WithTimeout(ctx, a.o.Timeout)
	defer cancel()
	reqs := make([]store.AppendRequest, len(group))
	for i, e := range group {
		reqs[i] = e.req
	}
	results := a.log.Append(ctx, reqs)

	var highest event.Position
	for _, r := range results {
		for _, rec := range r.Events {
			highest = max(highest, rec.Position)
		}
	}
	if highest > 0 {
		a.o.OnAppend(highest)
	}
	for i, e := range group {
		r := results[i]
		if r.Err != nil && !refused(r.Err) {
			r = store.AppendResult{Err: &OutcomeUnknownError{IDs: ids(e.req), Err: r.Err}}
		}
		e.answer <- r
	}
}
