package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// Do hands a person's request to the session, which carries it out and answers it at its next step: a
// retry, a skip, an edit, a pause or a resume. It is safe to hand the same one over again and again; who
// does so as long as it is pending loses none. A runner without the lease takes none: they are the owner's.
func (r *Runner) Do(req store.Request) {
	r.mu.Lock()
	known := slices.ContainsFunc(r.requests, func(k store.Request) bool { return k.ID == req.ID })
	if known || r.status.State == Waiting || r.status.State == Stopped {
		r.mu.Unlock()
		return
	}
	r.requests = append(r.requests, req)
	r.mu.Unlock()
	r.ask()
}

// ask makes the session look what is asked of it.
func (r *Runner) ask() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// isAsked reports whether there is something for serve to do.
func (r *Runner) isAsked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests) > 0 || r.lookForPause
}

// nextRequest returns the oldest request, which stays known until it is settled.
func (r *Runner) nextRequest() (store.Request, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) == 0 {
		return store.Request{}, false
	}
	return r.requests[0], true
}

func (r *Runner) settled(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = slices.DeleteFunc(r.requests, func(k store.Request) bool { return k.ID == id })
}

// disown drops the requests: another host is the owner.
func (r *Runner) disown() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// serve carries out what people ask for, and stands still for as long as one of them wants that. It needs
// no module: that may be broken.
func (s *session) serve(ctx, work context.Context) error {
	for ctx.Err() == nil {
		if req, ok := s.r.nextRequest(); ok {
			if err := s.carryOut(work, &req); err != nil {
				return err
			}
			s.r.settled(req.ID)
			continue
		}
		if s.r.isAsked() {
			if err := s.lookForPause(work); err != nil {
				return err
			}
		}
		if s.held == nil {
			return nil
		}
		if err := s.judgePause(work); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-s.r.asked:
		}
	}
	return nil
}

// plan is what a request comes to: what its commit changes beside the answer, and what the session knows
// once that has landed.
type plan struct {
	state  store.RequestState
	answer string
	landed func()
}

func refuse(format string, args ...any) plan {
	return plan{state: store.Refused, answer: fmt.Sprintf(format, args...), landed: func() {}}
}

func do(landed func(), format string, args ...any) plan {
	return plan{state: store.Done, answer: fmt.Sprintf(format, args...), landed: landed}
}

// carryOut settles one request.
//
// Invariant 2: what it changes and its answer are one commit under the lease's epoch. One that is answered
// already, by a commit whose own answer was lost or by the owner before, changes nothing.
func (s *session) carryOut(ctx context.Context, req *store.Request) error {
	if err := s.settle(); err != nil {
		return err
	}
	c := s.newCommit(s.position)
	p, err := s.plan(ctx, req, &c)
	if err != nil {
		return fmt.Errorf("carry out request %d: %w", req.ID, err)
	}
	c.Answers = []store.Answer{{Request: req.ID, State: p.state, Text: p.answer}}
	switch err := s.r.state.Commit(ctx, c); {
	case errors.Is(err, store.ErrAnswered):
		return nil
	case err != nil:
		return fmt.Errorf("carry out request %d: %w", req.ID, err)
	}
	p.landed()
	s.publish()
	s.o.Logger.Info("answered a request", "request", req.ID, "action", req.Action, "key", req.Key, "position", req.Position,
		"who", req.Who, "why", req.Why, "state", p.state, "answer", p.answer)
	return nil
}

func (s *session) plan(ctx context.Context, req *store.Request, c *store.Commit) (plan, error) {
	switch req.Action {
	case store.AskPause:
		return s.planPause(req, c), nil
	case store.AskResume:
		return s.planResume(c), nil
	case store.AskRetry:
		if req.Position == 0 {
			return s.planRetryAll(c), nil
		}
		return s.planRetry(req, c), nil
	case store.AskSkip:
		return s.planSkip(ctx, req, c)
	case store.AskEdit:
		return s.planEdit(ctx, req, c)
	}
	return refuse("the owner of a plugin cannot do this"), nil
}

func (s *session) planPause(req *store.Request, c *store.Commit) plan {
	if s.held != nil {
		return do(func() {}, "it was %s already", pausedBy(s.held))
	}
	c.Pause = &store.Pause{Who: req.Who, Why: req.Why}
	return do(func() { s.hold(c.Pause) }, "paused at position %d", s.position)
}

func (s *session) planResume(c *store.Commit) plan {
	if s.held == nil {
		return do(func() {}, "nobody had paused it")
	}
	c.Pause = &store.Pause{}
	return do(func() { s.hold(nil) }, "goes on from position %d", s.position)
}

// pausedBy says who keeps a plugin from going on, and why.
func pausedBy(p *store.Pause) string {
	if p.Why == "" {
		return "paused by " + p.Who
	}
	return "paused by " + p.Who + ": " + p.Why
}

// retried is a sequence that is tried again at once, its attempts counted anew.
func retried(q *sequence) store.Sequence {
	again := q.Sequence
	again.State, again.Attempts, again.NextAttempt = store.Retrying, 0, time.Now()
	return again
}

// accept is what the session knows once a person has had a sequence tried again.
func (s *session) accept(q *sequence, again store.Sequence) {
	delete(s.r.suspicion.refused, q.Position)
	q.Sequence, q.page = again, 1
}

// when says when a retry comes that was asked for now. Invariant 9.
func (s *session) when() string {
	switch {
	case s.held != nil:
		return "once the plugin is resumed; it is " + pausedBy(s.held)
	case s.r.quarantine.tries > 0:
		return "once its module works again: the plugin is quarantined"
	}
	return "at once"
}

func (s *session) planRetry(req *store.Request, c *store.Commit) plan {
	q := s.seqs.byKey[req.Key]
	if q == nil {
		return refuse("no event of key %q waits any more", req.Key)
	}
	again := retried(q)
	c.Sequences = []store.Sequence{again}
	return do(func() { s.accept(q, again) }, "event %d is tried again %s", q.Position, s.when())
}

func (s *session) planRetryAll(c *store.Commit) plan {
	all := s.seqs.byPosition()
	if len(all) == 0 {
		return do(func() {}, "no event waits")
	}
	for _, q := range all {
		c.Sequences = append(c.Sequences, retried(q))
	}
	return do(func() {
		for i, q := range all {
			s.accept(q, c.Sequences[i])
		}
	}, "%d failed events are tried again %s", len(all), s.when())
}

// failedEvent returns the sequence that a request is about, or why it cannot be carried out: it must be
// about the event that is the failed one now. So a request that comes late concerns no other event.
func (s *session) failedEvent(req *store.Request) (*sequence, string) {
	q := s.seqs.byKey[req.Key]
	switch {
	case q == nil:
		return nil, fmt.Sprintf("no event of key %q waits any more", req.Key)
	case q.Position != req.Position:
		return nil, fmt.Sprintf("the failed event of key %q is %d by now", req.Key, q.Position)
	case q.Kind == "":
		return nil, fmt.Sprintf("event %d has not failed, it waits for its turn", q.Position)
	}
	return q, ""
}

// planSkip drops the failed event, and nothing else. Invariant 4: the next one of its key is the next to be handled.
func (s *session) planSkip(ctx context.Context, req *store.Request, c *store.Commit) (plan, error) {
	q, why := s.failedEvent(req)
	if q == nil {
		return refuse("%s", why), nil
	}
	events, err := s.queued(ctx, q, 2)
	if err != nil {
		return plan{}, err
	}
	c.Dequeue = []store.QueuedEvent{{Key: q.Key, Position: q.Position}}
	rest := events[1:]
	next := q.Sequence
	advance(&next, rest, s.r.module.Digest())
	c.Sequences = []store.Sequence{next}
	landed := func() {
		s.accept(q, next)
		q.Waiting--
		s.seqs.waiting--
		if len(rest) == 0 {
			s.seqs.remove(q)
		}
	}
	if len(rest) == 0 {
		return do(landed, "skipped event %d; no other one of its key waited", req.Position), nil
	}
	return do(landed, "skipped event %d; event %d of its key is next, %s", req.Position, rest[0].Position, s.when()), nil
}

// planEdit puts other data in the place of the failed event's, for this plugin and for ever.
func (s *session) planEdit(ctx context.Context, req *store.Request, c *store.Commit) (plan, error) {
	q, why := s.failedEvent(req)
	if q == nil {
		return refuse("%s", why), nil
	}
	events, err := s.queued(ctx, q, 1)
	if err != nil {
		return plan{}, err
	}
	full, err := s.r.state.Request(ctx, req.ID)
	if err != nil {
		return plan{}, fmt.Errorf("read its data: %w", err)
	}
	if event.IsJSON(events[0].ContentType) && !event.ValidJSON(full.Data) {
		return refuse("the data is no JSON, as event %d is", q.Position), nil
	}
	c.Replacements = []store.Replacement{{Plugin: s.o.Plugin, Position: q.Position, Data: full.Data, Who: req.Who, Why: req.Why}}
	again := retried(q)
	c.Sequences = []store.Sequence{again}
	return do(func() {
		s.edited[q.Position] = struct{}{}
		s.accept(q, again)
	}, "event %d has other data and is tried again %s", q.Position, s.when()), nil
}

// queued reads the first events of a sequence, which has at least one.
func (s *session) queued(ctx context.Context, q *sequence, limit int) ([]event.Event, error) {
	events, err := s.r.state.Queued(ctx, s.o.Generation, q.Key, limit)
	if err != nil {
		return nil, fmt.Errorf("read the sequence %q: %w", q.Key, err)
	}
	if len(events) == 0 || events[0].Position != q.Position {
		return nil, fmt.Errorf("the sequence %q does not begin with its failed event %d", q.Key, q.Position)
	}
	return events, nil
}
