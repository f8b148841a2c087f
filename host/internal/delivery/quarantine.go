package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"eshost/host/event"
)

// quarantine watches for a module that crashes on whatever it is given, or cannot even start, so that
// it costs little and leaves nothing behind: what it crashed on is neither parked nor passed by the
// checkpoint. A probe that finds an event which the module can handle ends it. So does the end of the Runner: a
// module that replaces this one gets a new one.
type quarantine struct {
	proven bool // the module has handled an event
	streak int  // events in a row whose first attempt crashed
	tries  int  // in a row that ended here; 0 means that there is no quarantine
	probes bool // it was for events, so that it takes one to end it
	// until is an event that a probe has seen handled: what crashes before it is parked, one key at a time, or
	// the good ones behind a long run of bad ones would never be reached.
	until event.Position
}

const (
	// A module that nobody has seen work is suspected sooner than one that may have met a run of bad events.
	crashesUnproven   = 5
	crashesProven     = 100
	longestQuarantine = 5 * time.Minute
	// How far a probe looks for an event that the module can handle.
	probeEvents = 1000
	probeTime   = 10 * time.Second
	probeWait   = 200 * time.Millisecond // for the log to answer
)

// crashLoop ends a session whose module does nothing but crash.
type crashLoop struct {
	events   int // 0 if it cannot start
	position event.Position
	failure  *event.Failure
}

func (e *crashLoop) Error() string {
	const remedy = "replace the module's file by one that works, which is noticed at once; until then it is tried again after ever longer pauses"
	if e.events == 0 {
		return fmt.Sprintf("its module cannot start: %v; %s", e.failure, remedy)
	}
	return fmt.Sprintf("its module crashed on each of the last %d events it was given, at event %d with %v; nothing was skipped or stored; %s",
		e.events, e.position, e.failure, remedy)
}

// asCrashLoop finds out whether a session ended because of the module as a whole.
func asCrashLoop(err error) *crashLoop {
	var loop *crashLoop
	if errors.As(err, &loop) {
		return loop
	}
	var inst *instanceError
	var failure *event.Failure
	if errors.As(err, &inst) && errors.As(inst.err, &failure) {
		return &crashLoop{failure: failure}
	}
	return nil
}

// judge looks at a batch before it is committed. A crash loop's outcome must not be: its events are handled
// again when the module has been replaced.
func (q *quarantine) judge(out *outcome, checkpoint event.Position) error {
	crashed := out.crashed()
	if q.note(out); crashed == 0 || crashed < out.handled || checkpoint < q.until {
		return nil
	}
	q.streak += crashed
	limit := crashesUnproven
	if q.proven {
		limit = crashesProven
	}
	if q.streak < limit {
		return nil
	}
	last := slices.MaxFunc(slices.Collect(maps.Values(out.failed)), func(a, b *failedKey) int { return cmp.Compare(a.position, b.position) })
	return &crashLoop{events: q.streak, position: last.position, failure: last.failure}
}

// note takes note of a sign of life: an event that was handled, be it with a refusal.
func (q *quarantine) note(out *outcome) {
	if out.handled > out.crashed() {
		*q = quarantine{proven: true, until: q.until}
	}
}

// crashed counts the events whose handler crashed.
func (out *outcome) crashed() int {
	n := 0
	for _, f := range out.failed {
		if f.failure.Crashed() {
			n++
		}
	}
	return n
}

// pause says how long to wait before the next try.
func (q *quarantine) pause(loop *crashLoop) time.Duration {
	q.tries++
	q.streak, q.probes = 0, loop.events > 0
	return min(time.Second<<min(q.tries-1, 16), longestQuarantine)
}

// leaveQuarantine lets the session go on if the module starts and can handle an event.
func (s *session) leaveQuarantine(ctx, work context.Context) error {
	q := &s.r.quarantine
	if q.tries == 0 {
		return nil
	}
	var alive event.Position
	if q.probes {
		var err error
		if alive, err = s.probe(ctx, work); err != nil {
			return err
		}
	}
	*q = quarantine{proven: q.probes, until: alive}
	s.o.Logger.Info("the module works again, the quarantine is over")
	return nil
}

// probe gives the module one event of each key until it handles one, and throws away what comes of it: a
// run of bad events must not hold back the good ones behind it. Invariant 4. It returns the position of that one.
func (s *session) probe(ctx, work context.Context) (event.Position, error) {
	loop := &crashLoop{}
	seen := make(map[string]bool)
	until := time.Now().Add(probeTime)
	for at := s.position; time.Now().Before(until); {
		next, cancel := context.WithTimeout(ctx, probeWait)
		b, err := s.r.feed.Next(next, at, probeEvents, s.o.MaxBatchBytes)
		over := next.Err() != nil && ctx.Err() == nil
		cancel()
		if over && at > s.position {
			break // that was all of the log
		}
		if over {
			continue
		}
		if err != nil {
			return 0, err
		}
		for i := range b.Events {
			t := task{e: &b.Events[i], key: s.o.Order(&b.Events[i])}
			if seen[t.key] || s.seqs.byKey[t.key] != nil {
				continue
			}
			seen[t.key] = true
			if t.e, err = s.asEdited(ctx, t.e); err != nil {
				return 0, err
			}
			out, err := s.lanes.alone(work, []task{t}, 1, unbounded(s.o.MaxBatchBytes))
			if err != nil || out.crashed() < out.handled {
				return t.e.Position, err
			}
			loop.events, loop.position, loop.failure = loop.events+1, t.e.Position, out.failed[t.key].failure
			if loop.events == probeEvents || time.Now().After(until) {
				return 0, loop
			}
		}
		at = b.UpTo
	}
	if loop.events == 0 {
		return 0, nil // nothing left to judge it by
	}
	return 0, loop
}
