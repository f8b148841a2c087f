package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// session is delivery under one lease epoch. Everything it holds in memory is worth no more than
// the epoch: after any error it is dropped as a whole.
type session struct {
	r     *Runner
	o     *Options
	lease store.Lease

	cache *cache
	lanes *lanes
	seqs  *sequences

	position  event.Position // the checkpoint once the commit in flight is done
	inFlight  *flight        // nil when nothing is being committed
	committed int            // batches
	paused    bool
	limit     batchLimit
}

// flight is a commit under way.
type flight struct {
	done  chan error
	began time.Time
	c     store.Commit
}

// open takes the lease and loads what a session begins with.
func (r *Runner) open(ctx context.Context) (*session, error) {
	lease, err := r.state.Acquire(ctx, r.o.Generation, r.o.HostID)
	if err != nil {
		return nil, fmt.Errorf("acquire the lease: %w", err)
	}
	stored, err := r.state.Sequences(ctx, r.o.Generation)
	if err != nil {
		return nil, fmt.Errorf("load sequences: %w", err)
	}
	collections, err := r.state.Collections(ctx, r.o.Generation)
	if err != nil {
		return nil, fmt.Errorf("look for documents: %w", err)
	}
	s := &session{r: r, o: &r.o, lease: lease, position: lease.Position}
	s.cache = newCache(r.state, r.o.Generation, r.o.CacheBytes)
	s.cache.complete = len(collections) == 0
	s.lanes = newLanes(s.o, r.module, s.cache)
	s.seqs = newSequences(stored, r.module.Digest(), time.Now())
	s.limit.init(s.o)
	s.publish()
	return s, nil
}

// close ends the session: it waits for the commit in flight, frees the instances and gives the lease back.
func (s *session) close(work context.Context) {
	if s.inFlight != nil {
		<-s.inFlight.done // its fate is in the store, where the next session will look
	}
	s.lanes.close(work)
	if err := s.r.state.Release(work, s.o.Generation, s.lease.Epoch); err != nil && !errors.Is(err, store.ErrLeaseLost) {
		s.o.Logger.Debug("releasing the lease failed, it will expire", "error", err)
	}
}

// run handles batches and retries until ctx ends or something fails.
func (s *session) run(ctx, work context.Context) error {
	if err := s.lanes.all[0].prepare(work); err != nil {
		return err
	}
	if err := s.judgePause(work, true); err != nil {
		return err
	}
	f := s.startFetch(ctx)
	defer func() { f.stop() }()
	for {
		ahead := f.batches
		if s.paused {
			ahead = nil
		}
		timer, due := s.retryTimer()
		select {
		case <-ctx.Done():
			timer.Stop()
			return s.settle()
		case err := <-s.flightDone():
			timer.Stop()
			if err := s.landed(err); err != nil {
				return err
			}
		case err := <-f.failed:
			timer.Stop()
			return err
		case b := <-ahead:
			timer.Stop()
			cut, err := s.handle(work, b)
			if err != nil {
				return err
			}
			if cut {
				f.stop()
				f = s.startFetch(ctx)
			}
		case <-timer.C:
			if err := s.retry(work, due); err != nil {
				return err
			}
		}
		if err := s.judgePause(work, false); err != nil {
			return err
		}
	}
}

// retryTimer fires when the next sequence is due.
func (s *session) retryTimer() (*time.Timer, *store.Sequence) {
	q := s.seqs.next()
	if q == nil {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return t, nil
	}
	return time.NewTimer(time.Until(q.NextAttempt)), q
}

// handle runs a batch and hands its outcome over to be committed. It reports whether the batch was
// cut short, so that what was fetched after it is not what comes next.
func (s *session) handle(ctx context.Context, b event.Batch) (cut bool, err error) {
	began := time.Now()
	out, upTo, err := s.process(ctx, b)
	if err != nil {
		return false, err
	}
	s.limit.learn(len(b.Events), time.Since(began), s.lanes.scanning)
	s.o.Metrics.observeBatch(s.o.Plugin, out.handled, time.Since(began))
	c := s.commitOf(out, upTo)
	c.Queue = out.queue
	for key, f := range out.failed {
		q := &store.Sequence{Key: key, Since: f.at}
		s.o.fail(q, f, c.Digest)
		s.seqs.byKey[key] = q
		c.Sequences = append(c.Sequences, *q)
		s.logFailure(q)
	}
	for _, q := range out.queue {
		s.seqs.byKey[q.Key].Waiting++
	}
	s.seqs.waiting += len(out.queue)
	s.r.update(func(st *Status) { st.Handled += uint64(out.handled); st.Failed += uint64(len(out.failed)) })
	return upTo < b.UpTo, s.handOver(ctx, c, out)
}

// process returns a batch's outcome and the position up to which it goes.
func (s *session) process(ctx context.Context, b event.Batch) (*outcome, event.Position, error) {
	events, held := s.seqs.hold(b.Events, s.o.Order)
	if err := s.lanes.readAhead(ctx, s.cache, events); err != nil {
		return nil, 0, err
	}
	out, err := s.lanes.run(ctx, events)
	if err != nil {
		return nil, 0, err
	}
	out.queue = mergeQueues(held, out.queue)
	room := max(s.o.MaxParked-s.seqs.waiting, 1)
	if len(out.queue) <= room {
		return out, b.UpTo, nil
	}
	// More events would wait than may: end the batch with the last one that fits. The same events
	// give the same outcome, so handling the shorter batch again only costs time.
	end := out.queue[room-1].Position
	shorter := event.Batch{UpTo: end}
	for _, e := range b.Events {
		if e.Position <= end {
			shorter.Events = append(shorter.Events, e)
		}
	}
	events, held = s.seqs.hold(shorter.Events, s.o.Order)
	if out, err = s.lanes.run(ctx, events); err != nil {
		return nil, 0, err
	}
	out.queue = mergeQueues(held, out.queue)
	return out, end, nil
}

func (s *session) commitOf(out *outcome, upTo event.Position) store.Commit {
	return store.Commit{
		Generation: s.o.Generation,
		Epoch:      s.lease.Epoch,
		Expected:   s.position,
		Position:   upTo,
		Digest:     s.r.module.Digest(),
		Documents:  out.documents,
		Emitted:    out.emitted,
	}
}

// handOver starts the commit of a batch after the one before it has landed.
//
// Invariant 2: all of the batch is in this one commit, which the store guards by epoch and checkpoint.
func (s *session) handOver(ctx context.Context, c store.Commit, out *outcome) error {
	if err := s.settle(); err != nil {
		return err
	}
	s.cache.begin(out.documents, out.ids)
	s.position = c.Position
	fl := &flight{done: make(chan error, 1), began: time.Now(), c: c}
	s.inFlight = fl
	go func() { fl.done <- s.r.state.Commit(ctx, c) }()
	return nil
}

func (s *session) flightDone() <-chan error {
	if s.inFlight == nil {
		return nil
	}
	return s.inFlight.done
}

// settle waits for the commit in flight.
func (s *session) settle() error {
	if s.inFlight == nil {
		return nil
	}
	return s.landed(<-s.inFlight.done)
}

func (s *session) landed(err error) error {
	fl := s.inFlight
	s.inFlight = nil
	if err != nil {
		return fmt.Errorf("commit positions %d to %d: %w", fl.c.Expected+1, fl.c.Position, err)
	}
	s.committed++
	s.cache.settled()
	s.limit.committed(time.Since(fl.began))
	s.o.Metrics.observeCommit(s.o.Plugin, len(fl.c.Documents), time.Since(fl.began))
	s.publish()
	s.o.Committed(s.o.Plugin, fl.c.Position)
	return nil
}

// publish tells Status what this session has committed.
func (s *session) publish() {
	retrying, parked := s.seqs.count()
	s.r.update(func(st *Status) {
		st.Position, st.Epoch = s.position, s.lease.Epoch
		st.Retrying, st.Parked, st.Waiting = retrying, parked, s.seqs.waiting
	})
	s.o.Metrics.observeState(s.o.Plugin, s.position, retrying, parked, s.seqs.waiting)
}

// retry handles a due sequence from its failed event on.
func (s *session) retry(ctx context.Context, q *store.Sequence) error {
	if err := s.settle(); err != nil {
		return err
	}
	events, err := s.r.state.Queued(ctx, s.o.Generation, q.Key, retryPage)
	if err != nil {
		return fmt.Errorf("read the sequence %q: %w", q.Key, err)
	}
	l := s.lanes.all[0]
	l.reset(false)
	ptrs := make([]*event.Event, len(events))
	for i := range events {
		ptrs[i] = &events[i]
	}
	// The sequence keeps the key it was made under, whatever order_by says today.
	if err := l.run(ctx, ptrs, func(*event.Event) string { return q.Key }, q.Attempts+1); err != nil {
		return err
	}
	out := s.lanes.join([]*lane{l})
	f := out.failed[q.Key]
	c := s.commitOf(out, s.position)
	for _, e := range events {
		if f != nil && e.Position >= f.position {
			break
		}
		c.Dequeue = append(c.Dequeue, store.QueuedEvent{Key: q.Key, Position: e.Position})
	}
	q.Waiting -= len(c.Dequeue)
	s.seqs.waiting -= len(c.Dequeue)
	s.afterRetry(q, f, len(events) == retryPage, c.Digest)
	c.Sequences = []store.Sequence{*q}
	s.o.Metrics.retried.WithLabelValues(s.o.Plugin).Inc()
	s.r.update(func(st *Status) { st.Handled += uint64(out.handled); st.Failed += uint64(len(out.failed)) })
	return s.handOver(ctx, c, out)
}

// afterRetry sets the sequence's next state: failed again, more to do, or done.
func (s *session) afterRetry(q *store.Sequence, f *failedKey, more bool, digest string) {
	switch {
	case f != nil:
		s.o.fail(q, f, digest)
		s.logFailure(q)
	case more:
		q.Attempts, q.NextAttempt, q.Digest = 0, time.Now(), digest
	default:
		s.o.Logger.Info("the sequence goes on as usual", "key", q.Key, "position", q.Position)
		s.seqs.waiting -= q.Waiting
		delete(s.seqs.byKey, q.Key)
		q.State = "" // the store deletes it
	}
}

func (s *session) logFailure(q *store.Sequence) {
	s.o.Metrics.failed.WithLabelValues(s.o.Plugin, string(q.Kind)).Inc()
	if q.State == store.Parked {
		s.o.Logger.Error("event failed, its sequence is parked", "key", q.Key, "position", q.Position,
			"attempts", q.Attempts, "kind", q.Kind, "error", q.Error)
		return
	}
	s.o.Logger.Warn("event failed, trying again", "key", q.Key, "position", q.Position,
		"attempt", q.Attempts, "of", s.o.Attempts, "kind", q.Kind, "error", q.Error)
}

// judgePause stops or starts the intake as sequences fill up or drain. Invariant 9: the store says why.
func (s *session) judgePause(ctx context.Context, first bool) error {
	full := s.seqs.waiting >= s.o.MaxParked
	if full == s.paused && !first {
		return nil
	}
	if err := s.settle(); err != nil {
		return err
	}
	s.paused = full
	if full {
		reason := s.seqs.fullReason(s.o.MaxParked)
		s.r.setState(Paused, reason)
		s.o.Logger.Error("paused", "reason", reason)
		return s.explain(ctx, store.Paused, reason)
	}
	s.r.setState(Running, "")
	return s.explain(ctx, store.Running, "")
}

func (s *session) explain(ctx context.Context, state store.ConditionState, reason string) error {
	c := store.Condition{State: state, Reason: reason, Since: time.Now()}
	if err := s.r.state.SetCondition(ctx, s.o.Generation, s.lease.Epoch, c); err != nil {
		return fmt.Errorf("record the condition: %w", err)
	}
	return nil
}
