package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// Runner delivers one plugin's events for as long as it runs and has the lease.
type Runner struct {
	o      Options
	state  State
	feed   Feed
	module Module

	asked      chan struct{} // isAsked may have become true
	ordered    int64         // the last epoch whose waiting events were seen to be under the keys they have
	suspicion  suspicion
	quarantine quarantine

	mu       sync.Mutex
	status   Status
	flight   *flight         // being committed, nil if nothing is
	requests []store.Request // that are not settled, oldest first
	pausedBy string          // a person, as far as the session knows
	// lookForPause says that the store has it otherwise.
	lookForPause bool
	// remark is what the store is to say beside the runner's own reason.
	remark string
}

// Status is what a runner does, as it sees it.
type Status struct {
	State  RunnerState
	Reason string // why it does not get on; empty when it does
	// Position is the checkpoint as last committed by this runner, 0 before its first session.
	Position event.Position
	Epoch    int64
	Handled  uint64 // events whose handler ran and that are committed, failed ones included, since the start of the runner
	Failed   uint64 // of these
	Retrying int    // sequences
	Parked   int    // sequences
	Waiting  int    // events in both
}

// RunnerState is a runner's state in one word.
type RunnerState string

const (
	// Starting runners have not asked for their lease yet.
	Starting RunnerState = "starting"
	// Waiting runners have returned from Run because another host has the lease.
	Waiting RunnerState = "waiting"
	// Running runners handle events as they come.
	Running RunnerState = "running"
	// Paused runners cannot go on until somebody mends something.
	Paused RunnerState = "paused"
	// Quarantined runners have a module that does nothing but crash.
	Quarantined RunnerState = "quarantined"
	// BackingOff runners met trouble and try again by themselves.
	BackingOff RunnerState = "backing off"
	// Stopped runners have returned from Run because they were told to.
	Stopped RunnerState = "stopped"
)

// NewRunner returns a runner that does nothing before Run.
func NewRunner(state State, feed Feed, module Module, o Options) *Runner {
	return &Runner{
		o:         o.withDefaults(),
		state:     state,
		feed:      feed,
		module:    module,
		asked:     make(chan struct{}, 1),
		suspicion: suspicion{refused: make(map[event.Position]*event.Failure)},
		status:    Status{State: Starting},
	}
}

// Status returns what the runner does now.
func (r *Runner) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.status
	if r.flight != nil && st.Reason == "" {
		if d := time.Since(r.flight.began); d > slowCommit {
			st.Reason = fmt.Sprintf("the commit of positions %d to %d has been under way for %s; %s",
				r.flight.c.Expected+1, r.flight.c.Position, d.Round(time.Second), r.o.WhySlow)
		}
	}
	return st
}

func (r *Runner) update(f func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.status)
}

func (r *Runner) committing(fl *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flight = fl
}

func (r *Runner) setState(state RunnerState, reason string) {
	r.update(func(s *Status) { s.State, s.Reason = state, reason })
}

// ErrReplaced is the cause that ends a Runner's context when another one of this host takes its place
// at once: it leaves the lease to that one.
var ErrReplaced = errors.New("another runner takes its place")

// Run delivers until ctx ends, then finishes and commits what is in flight within Options.Grace, gives the
// lease back and returns nil. It returns early, in the state Waiting, when another host has the lease: with a
// *store.LeaseHeldError, or with store.ErrLeaseLost if that shows only now. Run may then be called again. Any
// other trouble it gets over by itself.
func (r *Runner) Run(ctx context.Context) error {
	work, end := r.workContext(ctx)
	defer end()
	err := r.deliver(ctx, work)
	r.o.Metrics.forgetState(r.o.Plugin, r.o.Partition)
	if err != nil {
		r.disown()
		return err
	}
	r.setState(Stopped, "the host stopped it")
	return nil
}

// deliver runs one session after another.
func (r *Runner) deliver(ctx, work context.Context) error {
	var last *session
	for failures := 0; ctx.Err() == nil; {
		s, err := r.open(ctx, work)
		if s != nil {
			last = s
		}
		if err == nil {
			err = s.run(ctx, work)
			if s.committed > 0 {
				failures = 0
			}
			if ctx.Err() == nil {
				s.explainEnd(work, err)
			}
			s.keepLease = s.keepLease || replaced(ctx)
			s.close(work)
		}
		if ctx.Err() != nil || err == nil {
			continue
		}
		if r.evicted(err) {
			return err
		}
		var pause time.Duration
		failures, pause = r.judge(err, failures)
		r.rest(ctx, work, last, pause)
	}
	if last != nil && last.keepLease && !replaced(ctx) {
		last.release(work)
	}
	return nil
}

func replaced(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrReplaced) }

// workContext outlives ctx by the grace period, so that work in flight can end well.
func (r *Runner) workContext(ctx context.Context) (work context.Context, end func()) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-ctx.Done():
			sleep(work, r.o.Grace)
			cancel(fmt.Errorf("not done within %s of the stop", r.o.Grace))
		case <-work.Done():
		}
	}()
	return work, func() { cancel(context.Canceled); <-done }
}

// evicted reports whether a session ended, or could not begin, because another host has the lease.
func (r *Runner) evicted(err error) bool {
	var held *store.LeaseHeldError
	switch {
	case errors.As(err, &held):
		if r.Status().State != Waiting {
			r.o.Logger.Info("another host has the lease", "owner", held.Owner.Name, "owner_id", held.Owner.ID)
		}
		r.setState(Waiting, fmt.Sprintf("lease held by host %q for another %s; it is taken over when that host stops or dies",
			held.Owner.Name, held.ExpiresIn.Round(time.Second)))
	case errors.Is(err, store.ErrLeaseLost):
		r.o.Logger.Warn("lost the lease: another host has taken over, nothing of the batch in flight was stored")
		r.setState(Waiting, "lease lost to another host")
	default:
		return false
	}
	return true
}

// judge logs why a session ended, once for each cause in a row, and says how long to wait.
func (r *Runner) judge(err error, failures int) (int, time.Duration) {
	log := r.o.Logger
	var refused *refusedCommit
	loop := asCrashLoop(err)
	switch {
	case errors.As(err, &refused):
		log.Warn("the store refuses what a batch emits, handling it again in smaller parts", "error", err)
		return 0, 0 // each time less is left that may be the cause
	case loop != nil:
		r.setState(Quarantined, loop.Error())
		pause := r.quarantine.pause(loop)
		log.Error("quarantined", "reason", loop.Error(), "tries", r.quarantine.tries, "pause", pause, "stack", loop.failure.Stack)
		return 0, pause
	default:
		r.setState(BackingOff, err.Error())
	}
	failures++
	pause := min(50*time.Millisecond<<min(failures, 16), 5*time.Second)
	if failures == 1 || failures%20 == 0 {
		log.Error("delivery failed, trying again from the checkpoint", "error", err, "failures", failures, "pause", pause)
	}
	return failures, pause
}

// explainEnd records in the store why the session ended, if it is to be tried again. The lease is kept
// meanwhile, so that everybody sees whose trouble it is. Invariant 9.
func (s *session) explainEnd(ctx context.Context, err error) {
	var refused *refusedCommit
	if err == nil || errors.Is(err, store.ErrLeaseLost) {
		return
	}
	s.keepLease = true
	if errors.As(err, &refused) {
		return // tried again at once
	}
	s.since = time.Now()
	state, reason := store.BackingOff, err.Error()
	if loop := asCrashLoop(err); loop != nil {
		state, reason = store.Quarantined, loop.Error()
	}
	if err := s.explain(ctx, state, reason); err != nil {
		s.o.Logger.Debug("cannot record why delivery stands still", "error", err)
	}
}

// rest sleeps, unless the runner is quarantined and asked for something. The last session may still have the lease.
func (r *Runner) rest(ctx, work context.Context, last *session, d time.Duration) {
	quarantined := r.Status().State == Quarantined
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-r.asked: // a session that follows serves what is asked in any case
			if quarantined && r.isAsked() {
				return
			}
			r.explainAgain(work, last)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
