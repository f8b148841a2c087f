package delivery

import (
	"errors"
	"fmt"
	"slices"

	"eshost/host/event"
	"eshost/host/store"
)

// ofRow and ofRoot hold a call to the generation that it must be for.
func (s *fakeStore) ofRow(generation int64)  { s.want("row", generation, s.generation) }
func (s *fakeStore) ofRoot(generation int64) { s.want("root", generation, s.root) }

func (s *fakeStore) want(what string, got, want int64) {
	if s.root != 0 && got != want {
		s.t.Errorf("generation %d is asked for, the %s is %d", got, what, want)
	}
}

// checkQuiet holds after a session: it has waited for all that it began.
func (s *fakeStore) checkQuiet(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for epoch, n := range s.committing {
		if n > 0 && s.hosts[epoch] == host {
			s.t.Errorf("%s goes on, but still commits under epoch %d", host, epoch)
		}
	}
}

// check is what no correct commit does.
func (s *fakeStore) check(c store.Commit) error {
	seen := make(map[string]bool)
	for _, d := range c.Documents {
		id := d.Collection + "\x00" + d.Key
		if seen[id] {
			return fmt.Errorf("document %q is written twice", id)
		}
		seen[id] = true
	}
	if c.Position < c.Expected || c.Position > s.log.head() {
		return fmt.Errorf("position %d is behind or beyond the log's end", c.Position)
	}
	if !slices.IsSortedFunc(c.Emitted, func(a, b event.Emitted) int { return int(a.Cause - b.Cause) }) {
		return errors.New("emitted events are not in order of their causes")
	}
	for _, q := range c.Queue {
		if s.log.at(q.Position) == nil || q.Position > c.Position {
			return fmt.Errorf("event %d is queued, but is not there yet", q.Position)
		}
		if slices.Contains(s.queues[q.Key], q.Position) {
			return fmt.Errorf("event %d is queued twice", q.Position)
		}
	}
	for _, q := range c.Dequeue {
		if !slices.Contains(s.queues[q.Key], q.Position) {
			return fmt.Errorf("event %d of %q is taken from a queue where it is not", q.Position, q.Key)
		}
	}
	return nil
}

// checkSequences holds after every commit: a queue has a sequence, which names its first event.
func (s *fakeStore) checkSequences() {
	for key, queue := range s.queues {
		q, ok := s.sequences[key]
		switch {
		case len(queue) == 0 && !ok:
			delete(s.queues, key)
		case !ok:
			s.t.Errorf("events %v wait under %q without a sequence", queue, key)
		case len(queue) == 0:
			s.t.Errorf("sequence %q has no events", key)
		case q.Position != queue[0]:
			s.t.Errorf("sequence %q says that event %d failed, its first is %d", key, q.Position, queue[0])
		}
	}
	for key := range s.sequences {
		if len(s.queues[key]) == 0 {
			s.t.Errorf("sequence %q has no events", key)
		}
	}
}
