package delivery

import (
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// sequences is the session's view of the keys that have failed, equal to the store's rows once the
// batch in flight is committed.
type sequences struct {
	byKey   map[string]*store.Sequence
	waiting int // events in all of them
}

// newSequences takes what the store has. A sequence that another module failed on is tried again at
// once: replacing the module may be what mends it.
func newSequences(stored []store.Sequence, digest string, now time.Time) *sequences {
	s := &sequences{byKey: make(map[string]*store.Sequence, len(stored))}
	for i := range stored {
		q := &stored[i]
		if q.Digest != digest {
			q.State, q.Attempts, q.NextAttempt = store.Retrying, 0, now
		}
		s.byKey[q.Key] = q
		s.waiting += q.Waiting
	}
	return s
}

// hold takes the events of failed keys out of a batch. Invariant 4: they wait behind the failed one.
func (s *sequences) hold(events []event.Event, order Order) ([]event.Event, []store.QueuedEvent) {
	if len(s.byKey) == 0 {
		return events, nil
	}
	var free []event.Event
	var held []store.QueuedEvent
	for i := range events {
		if key := order(&events[i]); s.byKey[key] != nil {
			held = append(held, store.QueuedEvent{Key: key, Position: events[i].Position})
		} else {
			free = append(free, events[i])
		}
	}
	return free, held
}

// next returns the sequence to be tried first, nil if none is.
func (s *sequences) next() *store.Sequence {
	var first *store.Sequence
	for _, q := range s.byKey {
		if q.State == store.Retrying && (first == nil || q.NextAttempt.Before(first.NextAttempt)) {
			first = q
		}
	}
	return first
}

// count returns how many sequences are retried and how many are parked.
func (s *sequences) count() (retrying, parked int) {
	for _, q := range s.byKey {
		if q.State == store.Parked {
			parked++
		} else {
			retrying++
		}
	}
	return retrying, parked
}

// first returns the sequence whose failed event is the oldest, nil if there is none.
func (s *sequences) first() *store.Sequence {
	var first *store.Sequence
	for _, q := range s.byKey {
		if first == nil || q.Position < first.Position {
			first = q
		}
	}
	return first
}

// fullReason explains a pause for too many waiting events.
func (s *sequences) fullReason(limit int) string {
	q := s.first()
	return fmt.Sprintf("%d events wait behind failed ones (max_parked = %d); the first is event %d of key %q, %s: %s; "+
		"replace the module by one that can handle it, or raise retry.max_parked",
		s.waiting, limit, q.Position, q.Key, q.Kind, q.Error)
}

// fail records that a sequence's event failed once more and says when it is tried again.
func (o *Options) fail(q *store.Sequence, f *failedKey, digest string) {
	if q.Position != f.position {
		q.Position, q.Attempts = f.position, 0
	}
	q.Attempts++
	q.Kind, q.Error, q.Stack, q.Digest = f.failure.Kind, f.failure.Message, f.failure.Stack, digest
	q.State, q.NextAttempt = store.Retrying, f.at.Add(o.pause(q.Attempts))
	if f.failure.Final() || q.Attempts >= o.Attempts {
		q.State = store.Parked
	}
}
