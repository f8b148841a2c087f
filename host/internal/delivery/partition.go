package delivery

import (
	"context"

	"eshost/host/event"
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
func (o *Options) reach(key string) event.Reach {
	if o.Partitions < 2 {
		return event.Reach{}
	}
	return event.ReachOf(key)
}

// SetPaused says who paused the plugin, if anybody did: what a person asks the first partition's runner for holds for
// all of them.
func (r *Runner) SetPaused(by string) {
	r.mu.Lock()
	changed := r.pausedBy != by
	r.pausedBy = by
	r.mu.Unlock()
	if !changed {
		return
	}
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// followPause has the session stand still, or go on, with the first partition's.
func (s *session) followPause(ctx context.Context) error {
	if s.o.Partition == 0 {
		return nil // it carries out the requests itself
	}
	s.r.mu.Lock()
	by := s.r.pausedBy
	s.r.mu.Unlock()
	if (by != "") == (s.held != nil) {
		return nil
	}
	held, err := s.r.state.Paused(ctx, s.o.Plugin)
	if err != nil {
		return err
	}
	s.held = held
	return nil
}
