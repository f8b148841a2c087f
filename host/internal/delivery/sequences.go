package delivery

import (
	"fmt"
	"time"

	"eshost/host/store"
)

// sequences is the session's view of the keys that have failed, equal to the store's rows once the
// batch in flight is committed.
type sequences struct {
	byKey   map[string]*sequence
	waiting int // events in all of them
}

// sequence is one key's. Its Waiting is kept up to date.
type sequence struct {
	store.Sequence
	page int // how many queued events are handled in one go next time
}

// newSequences takes what the store has. A sequence that another module failed on is tried again at
// once: replacing the module may be what mends it. No other waits longer than the longest backoff,
// whatever the clock said that its time was taken from.
func newSequences(stored []store.Sequence, o *Options, digest string, now time.Time) *sequences {
	s := &sequences{byKey: make(map[string]*sequence, len(stored))}
	for i := range stored {
		q := &sequence{Sequence: stored[i], page: 1}
		if q.Digest != digest {
			q.State, q.Attempts, q.NextAttempt = store.Retrying, 0, now
		}
		if latest := now.Add(o.MaxBackoff); q.NextAttempt.After(latest) {
			q.NextAttempt = latest
		}
		s.byKey[q.Key] = q
		s.waiting += q.Waiting
	}
	return s
}

// remove takes a sequence out that is over.
func (s *sequences) remove(q *sequence) {
	s.waiting -= q.Waiting
	delete(s.byKey, q.Key)
}

// next returns the sequence to be tried first, nil if none is.
func (s *sequences) next() *sequence {
	var first *sequence
	for _, q := range s.byKey {
		if q.State == store.Retrying && (first == nil || q.before(first)) {
			first = q
		}
	}
	return first
}

func (q *sequence) before(other *sequence) bool {
	if c := q.NextAttempt.Compare(other.NextAttempt); c != 0 {
		return c < 0
	}
	return q.Position < other.Position
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
func (s *sequences) first() *sequence {
	var first *sequence
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
