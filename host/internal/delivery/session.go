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
	tasks []task // of the batch being handled

	position  event.Position // the checkpoint once the commit in flight is done
	inFlight  *flight        // nil when nothing is being committed
	committed int            // batches
	standing  standing
	since     time.Time    // of it
	remark    string       // as the store has it
	held      *store.Pause // a person's, nil if nobody paused the plugin
	edited    edited
	keepLease bool // the next session follows at once
	warm      bool // there may be instances and scratch memory
	limit     batchLimit
}

// open takes the lease and loads what a session begins with. Beside an error it returns a session only if that has the
// lease and nothing else.
func (r *Runner) open(ctx, work context.Context) (*session, error) {
	lease, err := r.state.Acquire(ctx, r.o.Generation, r.o.HostID)
	s := &session{r: r, o: &r.o, lease: lease, position: lease.Position}
	switch {
	case err != nil && lease.Epoch == 0:
		return nil, fmt.Errorf("acquire the lease: %w", err)
	case err != nil:
		r.update(func(st *Status) { st.Epoch = lease.Epoch })
		s.explainEnd(work, err)
		return s, err
	}
	if err := s.load(ctx); err != nil {
		s.release(ctx)
		return nil, err
	}
	s.publish()
	return s, nil
}

func (s *session) load(ctx context.Context) error {
	state, generation := s.r.state, s.o.Generation
	stored, err := state.Sequences(ctx, generation)
	if err != nil {
		return fmt.Errorf("load sequences: %w", err)
	}
	collections, err := state.Collections(ctx, s.o.Root)
	if err != nil {
		return fmt.Errorf("look for documents: %w", err)
	}
	if err := s.lookForPause(ctx); err != nil {
		return err
	}
	if s.edited, err = s.r.loadEdited(ctx); err != nil {
		return err
	}
	s.cache = newCache(state, s.o.Root, s.o.CacheBytes)
	s.cache.complete = len(collections) == 0
	s.lanes = newLanes(s.o, s.r.module, s.cache)
	s.seqs = newSequences(stored, s.o, s.r.module.Digest(), time.Now())
	s.limit.init(s.o)
	s.limit.narrow(s.r.suspicion.narrow)
	return nil
}

// close ends the session: it waits for the commit in flight, frees the instances and gives the lease back.
func (s *session) close(work context.Context) {
	if s.inFlight != nil {
		<-s.inFlight.done // its fate is in the store, where the next session will look
		s.inFlight = nil
		s.r.committing(nil)
	}
	s.lanes.close(work)
	if !s.keepLease {
		s.release(work)
	}
}

func (s *session) release(ctx context.Context) {
	if err := s.r.state.Release(ctx, s.o.Generation, s.lease.Epoch); err != nil && !errors.Is(err, store.ErrLeaseLost) {
		s.o.Logger.Debug("releasing the lease failed, it will expire", "error", err)
	}
}

// run handles batches, retries and requests until ctx ends or something fails.
func (s *session) run(ctx, work context.Context) error {
	if err := s.serve(ctx, work); err != nil || ctx.Err() != nil {
		return err
	}
	s.warm = true
	if err := s.lanes.all[0].prepare(work); err != nil {
		return err
	}
	if err := s.rekey(work); err != nil {
		return err
	}
	if err := s.leaveQuarantine(ctx, work); err != nil {
		return err
	}
	if err := s.judgePause(work); err != nil {
		return err
	}
	f := s.startFetch(ctx)
	defer func() { f.stop() }()
	for ctx.Err() == nil {
		cut, err := s.step(ctx, work, f)
		if err != nil {
			return err
		}
		if cut {
			f.stop()
			f = s.startFetch(ctx)
		}
		if err := s.serve(ctx, work); err != nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		if err := s.judgePause(work); err != nil {
			return err
		}
	}
	return s.settle()
}

// step does the next thing there is to do. A batch and a retry that are both ready have equal chances,
// so neither keeps the other waiting. It reports whether a batch was cut short, so that what was
// fetched after it is not what comes next.
func (s *session) step(ctx, work context.Context, f *fetch) (cut bool, err error) {
	batches := f.batches
	if s.standing != moving {
		batches = nil
	}
	var retry <-chan time.Time
	due := s.seqs.next()
	if due != nil {
		timer := time.NewTimer(time.Until(due.NextAttempt))
		defer timer.Stop()
		retry = timer.C
	}
	var idle <-chan time.Time
	if s.warm && s.inFlight == nil {
		timer := time.NewTimer(s.o.Idle)
		defer timer.Stop()
		idle = timer.C
	}
	select {
	case <-ctx.Done():
		return false, nil
	case <-idle:
		s.rest(work)
		return false, nil
	case <-s.r.asked:
		return false, nil // see serve
	case err := <-s.flightDone():
		return false, s.landed(err)
	case err := <-f.failed:
		return false, err
	case b := <-batches:
		s.warm = s.warm || len(b.Events) > 0
		return s.handle(work, b)
	case <-retry:
		s.warm = true
		return false, s.retry(work, due)
	}
}

// rest keeps of an idle plugin what costs little: there may be a thousand of them. The next event finds an instance
// made for it.
func (s *session) rest(ctx context.Context) {
	s.warm = false
	s.lanes.rest(ctx)
	s.cache.rest(restBytes)
	s.tasks = nil
	s.o.Rested()
}

// publish tells Status what this session has committed.
func (s *session) publish() {
	retrying, parked := s.seqs.count()
	s.r.update(func(st *Status) {
		st.Position, st.Epoch = s.position, s.lease.Epoch
		st.Retrying, st.Parked, st.Waiting = retrying, parked, s.seqs.waiting
	})
	s.o.Metrics.observeState(s.o.Plugin, s.o.Partition, count{s.position, retrying, parked, s.seqs.waiting})
}

// standing is why a session takes no events in, as far as it has told everybody.
type standing int

const (
	unsaid   standing = iota
	moving            // it takes them
	full              // too many events wait
	byPerson          // somebody paused the plugin; nothing is retried either
)

// judgePause stops or starts the intake as sequences fill up or drain and people ask for it. Invariant 9:
// the store says why.
func (s *session) judgePause(ctx context.Context) error {
	now, reason := moving, ""
	switch {
	case s.held != nil:
		now, reason = byPerson, pausedBy(s.held)+"; let it go on with: eshost resume "+s.o.Plugin
	case s.seqs.waiting >= s.o.MaxParked:
		now, reason = full, s.seqs.fullReason(s.o.MaxParked)
	}
	before := s.standing
	if now == before && s.r.remarked() == s.remark {
		return nil
	}
	if err := s.settle(); err != nil {
		return err
	}
	if s.standing = now; now != before {
		s.since = time.Now()
	}
	switch {
	case now == moving:
		s.r.setState(Running, "")
		return s.explain(ctx, store.Running, "")
	case now == before: // and has another remark
	case now == full:
		s.o.Logger.Error("paused", "reason", reason)
	default:
		s.o.Logger.Warn("paused", "reason", reason)
	}
	s.r.setState(Paused, reason)
	return s.explain(ctx, store.Paused, reason)
}

// explain tells everybody why delivery stands still since s.since, or that it moves, with what is to be said beside it.
func (s *session) explain(ctx context.Context, state store.ConditionState, reason string) error {
	s.remark = s.r.remarked()
	if reason != "" && s.remark != "" {
		reason += "; "
	}
	c := store.Condition{State: state, Reason: reason + s.remark, Since: s.since}
	if err := s.r.state.SetCondition(ctx, s.o.Generation, s.lease.Epoch, c); err != nil {
		return fmt.Errorf("record the condition: %w", err)
	}
	return nil
}
