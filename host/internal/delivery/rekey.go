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

// rekey puts waiting events under the keys that order_by gives them today, if it was changed since
// they failed: else the next events of such a key would overtake them. Invariant 4. A new key may be another
// partition's, so with several nothing is done here: Options.Order is the one that they were split by.
func (s *session) rekey(ctx context.Context) error {
	if s.o.Partitions > 1 {
		return nil
	}
	// This runner's order never changes. Another host's may be another one, but there was none in between
	// if the last epoch was ours.
	if s.r.ordered == 0 || s.r.ordered != s.lease.Epoch-1 {
		changed, err := s.orderChanged(ctx)
		if err == nil && changed {
			err = s.orderAnew(ctx)
		}
		if err != nil {
			return err
		}
	}
	s.r.ordered = s.lease.Epoch
	return nil
}

func (s *session) orderAnew(ctx context.Context) error {
	c := s.newCommit(s.position)
	fresh := &sequences{byKey: make(map[string]*sequence), waiting: s.seqs.waiting}
	for _, old := range s.seqs.byPosition() {
		events, err := s.r.state.Queued(ctx, s.o.Generation, old.Key, max(old.Waiting, 1))
		if err != nil {
			return fmt.Errorf("read the sequence %q: %w", old.Key, err)
		}
		for i := range events {
			key := s.o.Order(&events[i])
			fresh.add(key, events[i].Position, old)
			if key != old.Key {
				c.Dequeue = append(c.Dequeue, store.QueuedEvent{Key: old.Key, Position: events[i].Position})
				c.Queue = append(c.Queue, store.QueuedEvent{Key: key, Position: events[i].Position})
			}
		}
	}
	for key := range s.seqs.byKey {
		if fresh.byKey[key] == nil {
			c.Sequences = append(c.Sequences, store.Sequence{Key: key})
		}
	}
	for _, q := range fresh.byPosition() {
		c.Sequences = append(c.Sequences, q.Sequence)
	}
	if err := s.r.state.Commit(ctx, c); err != nil {
		return fmt.Errorf("order sequences anew: %w", err)
	}
	s.o.Logger.Info("order_by was changed: ordered the waiting events anew", "events", s.seqs.waiting,
		"sequences", len(fresh.byKey), "before", len(s.seqs.byKey))
	s.seqs = fresh
	s.publish()
	return nil
}

// orderChanged reports whether an event waits under another key than it has by now.
func (s *session) orderChanged(ctx context.Context) (bool, error) {
	for key, q := range s.seqs.byKey {
		events, err := s.r.state.Queued(ctx, s.o.Generation, key, max(q.Waiting, 1))
		if err != nil {
			return false, fmt.Errorf("read the sequence %q: %w", key, err)
		}
		for i := range events {
			if s.o.Order(&events[i]) != key {
				return true, nil
			}
		}
	}
	return false, nil
}

// add puts an event that waited in an old sequence under a key. It is tried again at once.
func (s *sequences) add(key string, p event.Position, old *sequence) {
	q := s.byKey[key]
	if q == nil {
		q = &sequence{page: 1, Sequence: store.Sequence{
			Key: key, State: store.Retrying, Position: p, NextAttempt: time.Now(), Since: old.Since,
			Kind: old.Kind, Error: old.Error, Stack: old.Stack, Digest: old.Digest,
		}}
		s.byKey[key] = q
	}
	q.Position = min(q.Position, p)
	q.Waiting++
}

func (s *sequences) byPosition() []*sequence {
	return slices.SortedFunc(maps.Values(s.byKey), func(a, b *sequence) int { return int(a.Position - b.Position) })
}
