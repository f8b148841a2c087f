package delivery

import (
	"errors"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// suspicion is how a Runner finds the event whose effects no store would keep: one that emits to a
// stream of another type or what an earlier module has emitted differently, or that writes a document
// which a constraint somebody added forbids. The store refuses the whole commit; it names the event, or
// handling the batch again in ever smaller parts shows which it is. That one failed, whatever its
// handler says: other keys must not wait for it.
type suspicion struct {
	// refused are the events found, by position, until their failure is on record.
	refused map[event.Position]*event.Failure
	narrow  int // how many events a commit may have; 0 means as many as ever
}

// refusedCommit is a commit that would be refused again, and of which there is now less to suspect.
type refusedCommit struct{ err error }

func (e *refusedCommit) Error() string { return e.err.Error() }
func (e *refusedCommit) Unwrap() error { return e.err }

// learn takes the error of a commit of some events and marks it if the next try will be another one.
func (s *suspicion) learn(fl *flight, err error) error {
	if !errors.Is(err, store.ErrInvalid) && !errors.Is(err, store.ErrIDConflict) {
		return err
	}
	cause := s.culprit(fl, err)
	switch {
	case cause != 0 && s.refused[cause] == nil:
		s.refused[cause] = &event.Failure{Kind: event.FailReject, Message: fmt.Sprintf("the store refuses what it does: %v", err)}
	case cause == 0 && fl.events > 1:
		s.narrow = fl.events / 2
	default:
		return err // it has been tried and did not help
	}
	return &refusedCommit{err}
}

// culprit returns the position of the event that must be the cause, 0 if it may be one of several.
func (s *suspicion) culprit(fl *flight, err error) event.Position {
	var refused *store.RefusedError
	if errors.As(err, &refused) {
		return refused.Position
	}
	var conflict *store.IDConflictError
	if errors.As(err, &conflict) {
		for i := range fl.c.Emitted {
			if e := &fl.c.Emitted[i]; e.ID == conflict.ID {
				return e.Cause
			}
		}
	}
	if fl.events != 1 {
		return 0
	}
	for i := range fl.c.Documents {
		return fl.c.Documents[i].Position
	}
	for i := range fl.c.Emitted {
		return fl.c.Emitted[i].Cause
	}
	return 0
}

// landed takes note of a commit that was not refused.
func (s *suspicion) landed(c *store.Commit, most int) {
	for i := range c.Sequences {
		delete(s.refused, c.Sequences[i].Position)
	}
	if s.narrow *= 2; s.narrow >= most {
		s.narrow = 0
	}
}
