package delivery

import (
	"context"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// retry goes on with a due sequence from its failed event: first with that one alone, and with more
// and more of its events in one go when they succeed.
func (s *session) retry(ctx context.Context, q *sequence) error {
	if err := s.settle(); err != nil {
		return err
	}
	page := min(q.page, s.limit.most)
	// One more than is handled, which is the next to be tried.
	events, err := s.r.state.Queued(ctx, s.o.Generation, q.Key, page+1)
	if err != nil {
		return fmt.Errorf("read the sequence %q: %w", q.Key, err)
	}
	defer s.drop()
	for i := range events[:min(page, len(events))] {
		e, err := s.asEdited(ctx, &events[i])
		if err != nil {
			return err
		}
		s.tasks = append(s.tasks, task{e: e, key: q.Key})
	}
	b := unbounded(s.o.MaxBatchBytes)
	b.refused = s.r.suspicion.refused
	out, err := s.lanes.alone(ctx, s.tasks, q.Attempts+1, b)
	if err != nil {
		return err
	}
	f := out.failed[q.Key]
	s.r.quarantine.note(out)
	c := s.commitOf(out, s.position)
	for i := range s.tasks[:out.done] {
		if f != nil && events[i].Position >= f.position {
			break
		}
		c.Dequeue = append(c.Dequeue, store.QueuedEvent{Key: q.Key, Position: events[i].Position})
	}
	q.Waiting -= len(c.Dequeue)
	s.seqs.waiting -= len(c.Dequeue)
	s.afterRetry(q, f, events[len(c.Dequeue):], c.Digest)
	q.page = s.nextPage(q.page, f, events)
	c.Sequences = []store.Sequence{q.Sequence}
	s.o.Metrics.retried.WithLabelValues(s.o.Plugin).Inc()
	s.handOver(ctx, c, out)
	return nil
}

// afterRetry sets the sequence's next state: failed again, more to do, or done.
func (s *session) afterRetry(q *sequence, f *failedKey, rest []event.Event, digest string) {
	switch {
	case f != nil:
		s.o.fail(&q.Sequence, f, digest)
		s.logFailure(&q.Sequence)
	case len(rest) > 0:
		advance(&q.Sequence, rest, digest)
	default:
		s.o.Logger.Info("the sequence goes on as usual", "key", q.Key, "position", q.Position)
		s.seqs.remove(q)
		advance(&q.Sequence, nil, digest)
	}
}

// advance makes the first event that is left the sequence's next one.
func advance(q *store.Sequence, rest []event.Event, digest string) {
	if len(rest) == 0 {
		q.State = "" // the store deletes it
		return
	}
	q.State, q.Position, q.Attempts, q.NextAttempt = store.Retrying, rest[0].Position, 0, time.Now()
	q.Kind, q.Error, q.Stack, q.Digest = "", "", "", digest
}

// nextPage is how many events of a sequence are read and handled next time.
func (s *session) nextPage(page int, f *failedKey, events []event.Event) int {
	if f != nil {
		return 1
	}
	size := 1
	for i := range events {
		size += events[i].Size()
	}
	return max(1, min(4*page, retryPage, s.o.MaxBatchBytes*len(events)/size))
}
