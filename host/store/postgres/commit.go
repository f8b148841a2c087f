package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

const (
	// commitTries bounds how often a commit is tried again whose emitted events lost a race for their
	// streams' next versions, or that was the victim of a deadlock.
	commitTries = 20
	// commitPatience bounds the wait for one lock: of the generation, which an older commit of an owner
	// that lost its connection may hold, or of a stream that an application writes to.
	commitPatience = 10 * time.Second
)

// Commit implements store.State. The whole commit is one pipelined batch, which the server runs as one
// transaction in one round trip; emitted events need a look at their streams before.
//
// It is tried again only after the server has said that it was rolled back. If the connection is lost
// the outcome is unknown and an error says so: the owner must Acquire again before its next commit,
// which waits for a transaction that may still be under way and shuts out one that has yet to begin.
func (s *Store) Commit(ctx context.Context, c store.Commit) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	c.Root = cmp.Or(c.Root, c.Generation)
	emitted, err := emittedRequest(c.Emitted)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := s.commitOnce(ctx, &c, emitted)
		if err == nil {
			if c.Pause != nil {
				s.ring(ctx)
			}
			return nil
		}
		if contended(err) && try < commitTries && ctx.Err() == nil {
			continue
		}
		return s.commitError(ctx, &c, err)
	}
}

func (s *Store) commitOnce(ctx context.Context, c *store.Commit, emitted *request) error {
	var rows []newRow
	if emitted != nil {
		p, err := s.lookUp(ctx, s.commits, []*request{emitted}, false)
		if err != nil {
			return err
		}
		if _, err := p.add(emitted); err != nil {
			return s.refusedEmission(ctx, c, err)
		}
		rows = p.rows
	}
	batch := &pgx.Batch{}
	if len(rows) > 0 {
		batch.Queue(durably, milliseconds(commitPatience)) // others may act on what is emitted
	} else {
		batch.Queue(patiently, milliseconds(commitPatience))
	}
	// Invariant 2: the guard comes first, and ends the transaction if the lease or the checkpoint is another.
	batch.Queue(s.sql.guard, c.Generation, c.Epoch, int64(c.Expected), int64(c.Position), c.Digest, c.Owner, c.Root)
	s.queueDocuments(batch, c)
	s.queueInsert(batch, rows, new([]event.Position))
	s.queueSequences(batch, c)
	s.queueOperations(batch, c)
	if c.Digest != "" { // Invariant 8
		batch.Queue(s.sql.span, c.Generation, int64(c.Expected), c.Digest)
	}
	return s.commits.SendBatch(ctx, batch).Close()
}

const patiently = `SELECT set_config('lock_timeout', $1, true)`

// emittedRequest is the emitted events as an append of one transaction, each to the end of its stream.
func emittedRequest(emitted []event.Emitted) (*request, error) {
	if len(emitted) == 0 {
		return nil, nil
	}
	var r store.AppendRequest
	for i := range emitted {
		e := &emitted[i]
		if e.ID == "" {
			return nil, emissionError(e, &store.InvalidError{Field: "id", Reason: "is missing"})
		}
		s := store.StreamAppend{Stream: e.Stream, StreamType: e.StreamType, Expected: store.AnyVersion, Events: []store.NewEvent{{
			ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata, ContentType: e.ContentType,
		}}}
		if err := (store.AppendRequest{Streams: []store.StreamAppend{s}}).Validate(); err != nil {
			return nil, emissionError(e, err)
		}
		r.Streams = append(r.Streams, s)
	}
	return newRequest(r, 0)
}

func emissionError(e *event.Emitted, err error) error {
	return &store.RefusedError{Position: e.Cause, Err: fmt.Errorf("emit event %q of event %d to stream %q: %w", e.ID, e.Cause, e.Stream, err)}
}

// refusedEmission answers a commit whose emitted events cannot be stored. A lost lease matters more:
// what its former owner emits is nobody's concern.
func (s *Store) refusedEmission(ctx context.Context, c *store.Commit, err error) error {
	if guard := s.guardError(ctx, c); guard != nil {
		return guard
	}
	var taken *idTaken
	if errors.As(err, &taken) {
		err = taken.final()
	}
	return fmt.Errorf("emit events: %w", err)
}

// commitError says what ended a commit.
func (s *Store) commitError(ctx context.Context, c *store.Commit, err error) error {
	switch state := code(err); {
	case state == codeDivisionByZero:
		if guard := s.guardError(ctx, c); guard != nil {
			return guard
		}
		if err := s.answeredBefore(ctx, c); err != nil {
			return err
		}
		// It is as expected now; but it was not, and nothing was changed.
		return fmt.Errorf("commit: %w", store.ErrCheckpointMoved)
	case refusedValue(err):
		return s.findRefused(ctx, c, err)
	case state == codeLockNotAvailable:
		return fmt.Errorf("commit: %w: another transaction holds generation %d or a stream that events are emitted to; open on the events are %s",
			store.ErrUnavailable, c.Generation, s.writers(ctx))
	case lostConnection(err):
		return fail(ctx, "commit, with unknown outcome", err)
	}
	return fail(ctx, "commit", err)
}

// guardError tells apart why the guard did not find its row; nil if it would find it now.
func (s *Store) guardError(ctx context.Context, c *store.Commit) error {
	var epoch, position, root int64
	var owner string
	err := s.commits.QueryRow(ctx, s.sql.whatNow, c.Generation).Scan(&epoch, &position, &owner, &root)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("commit: generation %d: %w", c.Generation, store.ErrNotFound)
	case err != nil:
		return fail(ctx, "commit: look at the generation", err)
	case epoch != c.Epoch:
		return fmt.Errorf("commit: %w: its epoch was %d, and now it is %d", store.ErrLeaseLost, c.Epoch, epoch)
	case owner == "":
		return fmt.Errorf("commit: %w: it was released", store.ErrLeaseLost)
	case owner != c.Owner:
		return fmt.Errorf("commit: %w: host %s has it", store.ErrLeaseLost, owner)
	case root != c.Root:
		return fmt.Errorf("commit: %w", &store.InvalidError{Field: "root", Reason: fmt.Sprintf("is %d, and generation %d belongs to %d", c.Root, c.Generation, root)})
	case position != int64(c.Expected):
		return fmt.Errorf("commit: %w: expected it at %d, and it is at %d", store.ErrCheckpointMoved, c.Expected, position)
	}
	return nil
}
