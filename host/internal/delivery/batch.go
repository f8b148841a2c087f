package delivery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// flight is a commit under way.
type flight struct {
	done   chan error
	began  time.Time
	took   time.Duration // once done
	c      store.Commit
	events int // that were handled
	failed int // of these
}

// handle runs a batch and hands its outcome over to be committed. It reports whether the batch was
// cut short.
func (s *session) handle(ctx context.Context, b event.Batch) (cut bool, err error) {
	began := time.Now()
	if err := s.take(ctx, b); err != nil {
		return false, err
	}
	defer s.drop()
	if err := s.lanes.readAhead(ctx, s.cache, s.tasks); err != nil {
		return false, err
	}
	// At MaxParked the plugin pauses, so there is room for one here.
	out, err := s.lanes.run(ctx, s.tasks, bounds{
		held:    s.seqs.byKey,
		refused: s.r.suspicion.refused,
		bytes:   s.o.MaxBatchBytes,
		room:    s.o.MaxParked - s.seqs.waiting,
	})
	if err != nil {
		return false, err
	}
	took := time.Since(began)
	s.limit.learn(out.done, took, out.size)
	s.o.Metrics.observeBatch(s.o.Plugin, out.handled, took)
	if err := s.settle(); err != nil {
		return false, err
	}
	if err := s.r.quarantine.judge(out, s.position); err != nil {
		return false, err
	}
	upTo := b.UpTo
	if out.done < len(s.tasks) {
		// The same events give the same outcome whatever the batch, so it can end anywhere.
		upTo, cut = s.tasks[out.done-1].e.Position, true
	}
	c := s.commitOf(out, upTo)
	c.Queue = out.queue
	c.Sequences = s.enqueue(out, c.Digest)
	s.handOver(ctx, c, out)
	return cut, nil
}

// take lists a batch's events with their keys.
func (s *session) take(ctx context.Context, b event.Batch) error {
	if b.UpTo < s.position {
		return fmt.Errorf("fetched a batch up to %d, which is behind %d", b.UpTo, s.position)
	}
	s.tasks = slices.Grow(s.tasks, len(b.Events))
	at := s.position
	for i := range b.Events {
		e := &b.Events[i]
		// Invariant 1: nobody else looks whether positions come in order.
		if e.Position <= at || e.Position > b.UpTo {
			return fmt.Errorf("fetched event %d after %d in a batch up to %d", e.Position, at, b.UpTo)
		}
		at = e.Position
		e, err := s.asEdited(ctx, e)
		if err != nil {
			return err
		}
		s.tasks = append(s.tasks, task{e: e, key: s.o.Order(e)})
	}
	return nil
}

// drop lets go of the events.
func (s *session) drop() {
	clear(s.tasks)
	s.tasks = s.tasks[:0]
}

// enqueue makes sequences of the keys that failed and returns them, and counts the events that wait.
func (s *session) enqueue(out *outcome, digest string) []store.Sequence {
	var fresh []store.Sequence
	for _, key := range slices.Sorted(maps.Keys(out.failed)) {
		f := out.failed[key]
		q := &sequence{Sequence: store.Sequence{Key: key, Since: f.at}, page: 1}
		s.o.fail(&q.Sequence, f, digest)
		s.seqs.byKey[key] = q
		fresh = append(fresh, q.Sequence)
		s.logFailure(&q.Sequence)
	}
	for _, q := range out.queue {
		s.seqs.byKey[q.Key].Waiting++
	}
	s.seqs.waiting += len(out.queue)
	return fresh
}

// count takes note of a batch that is committed: one that is not is handled again.
func (s *session) count(fl *flight) {
	s.o.Metrics.handled.WithLabelValues(s.o.Plugin).Add(float64(fl.events))
	s.r.update(func(st *Status) { st.Handled += uint64(fl.events); st.Failed += uint64(fl.failed) })
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

func (s *session) commitOf(out *outcome, upTo event.Position) store.Commit {
	c := s.newCommit(upTo)
	c.Digest, c.Documents, c.Emitted = s.r.module.Digest(), out.documents, out.emitted
	return c
}

// newCommit is a commit under the lease that does nothing but move the checkpoint.
func (s *session) newCommit(upTo event.Position) store.Commit {
	return store.Commit{
		Generation: s.o.Generation,
		Root:       s.o.Root,
		Owner:      s.o.HostID,
		Epoch:      s.lease.Epoch,
		Expected:   s.position,
		Position:   upTo,
	}
}

// handOver starts a commit. The one before it has landed.
//
// Invariant 2: all of the batch is in this one commit, which the store guards by epoch and checkpoint.
func (s *session) handOver(ctx context.Context, c store.Commit, out *outcome) {
	s.cache.begin(out.documents, out.ids)
	s.position = c.Position
	fl := &flight{done: make(chan error, 1), began: time.Now(), c: c, events: out.handled, failed: len(out.failed)}
	s.inFlight = fl
	s.r.committing(fl)
	go func() {
		err := s.r.state.Commit(ctx, c)
		fl.took = time.Since(fl.began)
		fl.done <- err
	}()
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
	s.r.committing(nil)
	if err != nil {
		return fmt.Errorf("commit positions %d to %d: %w", fl.c.Expected+1, fl.c.Position, s.r.suspicion.learn(fl, err))
	}
	s.r.suspicion.landed(&fl.c, s.o.MaxBatch)
	s.limit.narrow(s.r.suspicion.narrow)
	s.committed++
	s.count(fl)
	s.cache.settled()
	s.limit.committed(fl.took)
	s.o.Metrics.observeCommit(s.o.Plugin, len(fl.c.Documents), fl.took)
	s.publish()
	s.o.Committed(s.o.Plugin, fl.c.Position)
	return nil
}
