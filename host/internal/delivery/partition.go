package delivery

import (
	"context"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// reach is which documents the events of an ordering key may read, write and scan.
//
// Invariant 5 over partitions: with several, an event reaches only documents whose key has the segment of its ordering
// key, and the segment alone decides in which partition an event is. So for each document all events that can read or
// write it, or could have seen that it is not there, are in one partition, which handles them in position order. Take
// the first event, in position order, that sees another state than one instance would have shown it. All that this
// event can see was made by earlier events of its own partition, which have seen and done the same as there, and which
// were applied before it. So there is no such event, however far the other partitions are.
//
// The same makes a partition's cache right: nobody else writes a document that its handlers can ask for.
//
// What is emitted is the same too, each event with its id. Between partitions the order in which it is appended is that
// of their commits, as it is between plugins.
func (o *Options) reach(key string) event.Reach {
	if o.Partitions < 2 {
		return event.Reach{}
	}
	return event.ReachOf(key)
}

// SetPaused says who has paused the plugin, as the store has it; "" is nobody. What a person asks the first partition's
// runner for holds for all of them. A session that knows it otherwise looks for itself, and stands still or goes on. It may
// be called again and again.
func (r *Runner) SetPaused(by string) {
	r.mu.Lock()
	differs := r.pausedBy != by
	r.lookForPause = r.lookForPause || differs
	r.mu.Unlock()
	if differs {
		r.ask()
	}
}

// lookForPause reads who has paused the plugin.
func (s *session) lookForPause(ctx context.Context) error {
	s.r.mu.Lock()
	s.r.lookForPause = false
	s.r.mu.Unlock()
	held, err := s.r.state.Paused(ctx, s.o.Plugin)
	if err != nil {
		return fmt.Errorf("look for a pause: %w", err)
	}
	s.hold(held)
	return nil
}

// hold takes note of who has paused the plugin, nil for nobody.
func (s *session) hold(by *store.Pause) {
	s.held = by
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.pausedBy = ""
	if by != nil {
		s.r.pausedBy = by.Who
	}
}
