package redismodel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/host/event"
	"eshost/host/store"
)

// unusableError says why a read model that is whole must be begun anew.
type unusableError struct{ reason string }

func (e *unusableError) Error() string { return e.reason }

func unusable(reason string, args ...any) error { return &unusableError{fmt.Sprintf(reason, args...)} }

func newSession() string { return rand.Text() }

// inspect reads what the read model says of itself and holds it to what is there. What it returns beside ErrDamaged names
// the state that was seen, as far as there is one.
func (r *Reader) inspect(ctx context.Context) (meta, error) {
	var fields, counts *redis.MapStringStringCmd
	var sequences, waiting *redis.IntCmd
	err := r.server.together(ctx, func(p redis.Pipeliner) {
		fields, counts = p.HGetAll(ctx, r.keys.meta()), p.HGetAll(ctx, r.keys.collections())
		sequences, waiting = p.HLen(ctx, r.keys.sequences()), p.ZCard(ctx, r.keys.waiting())
	})
	if fields == nil || fields.Err() != nil {
		return meta{}, errOr(err, fields)
	}
	m := parseMeta(fields.Val())
	switch {
	case err != nil:
		return m, err
	case len(fields.Val()) == 0:
		return m, ErrGone
	case m.database != r.database:
		return m, r.foreign(m.database)
	case m.session == "" || m.serial == "" || m.state != Ready && m.state != Rebuilding:
		return m, fmt.Errorf("%w: a commit was left half applied", ErrDamaged)
	case sequences.Val() != m.sequences || waiting.Val() != m.waiting:
		return m, fmt.Errorf("%w: sequences or waiting events are missing", ErrDamaged)
	}
	return m, r.inspectCollections(ctx, &m, counts.Val())
}

// errOr is the transaction's error, or the command's own.
func errOr(err error, cmd *redis.MapStringStringCmd) error {
	if err == nil && cmd != nil {
		err = damage(cmd.Err())
	}
	return err
}

// inspectCollections compares how many documents each collection has with how many were written.
func (r *Reader) inspectCollections(ctx context.Context, m *meta, counts map[string]string) error {
	type lengths struct{ documents, index *redis.IntCmd }
	found := make(map[string]lengths, len(counts))
	err := r.server.together(ctx, func(p redis.Pipeliner) {
		p.Exists(ctx, r.keys.meta())
		for name := range counts {
			found[name] = lengths{p.HLen(ctx, r.keys.documents(name)), p.ZCard(ctx, r.keys.index(name))}
		}
	})
	if err != nil {
		return err
	}
	total := int64(0)
	for name, l := range found {
		n := number(counts[name])
		if l.documents.Val() != n || l.index.Val() != n {
			return fmt.Errorf("%w: documents of collection %q are missing", ErrDamaged, name)
		}
		total += n
	}
	if total != m.documents {
		return fmt.Errorf("%w: collections are missing", ErrDamaged)
	}
	return nil
}

// vouch makes sure that the read model is of this generation, of no owner after this one, and of the log as it is now.
func (m *Model) vouch(ctx context.Context, generation int64, lease *store.Lease, seen *meta) error {
	switch {
	case seen.format != format:
		return unusable("it is of another version of eshost's")
	case seen.generation != generation:
		return unusable("it is of generation %d, not of %d", seen.generation, generation)
	case seen.epoch >= lease.Epoch:
		// Either another host has taken over since, or the database has forgotten that it gave out these epochs.
		c := store.Condition{State: store.Running, Since: time.Now()}
		if err := m.State.SetCondition(ctx, generation, lease.Epoch, c); err != nil {
			return err
		}
		return unusable("the database was set back: it has given out epoch %d, and Redis has seen %d", lease.Epoch, seen.epoch)
	}
	watermark, head, err := m.o.End(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("find the end of the log: %w", err)
	case seen.position > head:
		return unusable("the log was set back: it ends at %d, and the checkpoint is %d", head, seen.position)
	case seen.position > watermark:
		return fmt.Errorf("its checkpoint %d is above the watermark %d, so it cannot be held to the log yet", seen.position, watermark)
	}
	return m.compare(ctx, seen, lease.Position)
}

// compare holds the checkpoint to the log: the event it is anchored to is still there, and after it none that the plugin
// should have got. Invariant 1: a log that was set back and has grown again would be skipped in silence.
func (m *Model) compare(ctx context.Context, seen *meta, noted event.Position) error {
	a := seen.anchor
	if a.Position < 0 || a.Position > seen.position {
		return fmt.Errorf("%w: it does not say which event it ends with", ErrDamaged)
	}
	if a.ID != "" {
		b, err := m.log.Read(ctx, store.ReadOptions{After: a.Position - 1, UpTo: a.Position, Limit: 1})
		if err != nil {
			return fmt.Errorf("read event %d: %w", a.Position, err)
		}
		switch kept := len(b.Events) == 1; {
		case kept && b.Events[0].ID == a.ID:
		case !kept && noted == seen.position: // somebody has deleted old events
		default:
			return unusable("the log was set back: event %d is not the one that was handled", a.Position)
		}
	}
	if noted == seen.position {
		return nil // the database itself has the log up to here on record
	}
	const window = 1_000_000
	for at := a.Position; at < seen.position; {
		b, err := m.log.Read(ctx, store.ReadOptions{After: at, UpTo: min(seen.position, at+window), Filter: event.Filter{Types: a.Types}, Limit: 1})
		if err != nil {
			return fmt.Errorf("read events after %d: %w", at, err)
		}
		if len(b.Events) > 0 {
			return unusable("the log was set back: event %d is new", b.Events[0].Position)
		}
		at = b.UpTo
	}
	return nil
}

// settleAnswers answers in the database what was carried out in Redis by a commit after which nobody could answer.
func (m *Model) settleAnswers(ctx context.Context, generation, epoch int64) error {
	call, cancel := m.server.bound(ctx)
	defer cancel()
	open, err := m.server.client.HGetAll(call, m.keys.answers()).Result()
	if err = explain(call, err); errors.Is(err, ErrDamaged) {
		return nil // what is no hash holds no answers, and goes with the rest
	}
	if err != nil {
		return err
	}
	for id, encoded := range open {
		a, err := decodeAnswer(id, encoded, m.o.Database)
		if errors.Is(err, errOther) {
			continue
		}
		if err == nil {
			err = m.AnswerRequest(ctx, generation, epoch, a)
		}
		if err != nil && !errors.Is(err, store.ErrAnswered) && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, ErrDamaged) {
			return fmt.Errorf("answer request %s, which was carried out: %w", id, err)
		}
		m.forgetAnswer(ctx, id)
	}
	return nil
}

// forgetAnswer drops an answer that the database has. One that stays is found again by the next session.
func (m *Model) forgetAnswer(ctx context.Context, id string) {
	ctx, cancel := m.server.bound(ctx)
	defer cancel()
	if err := m.server.client.HDel(ctx, m.keys.answers(), id).Err(); err != nil {
		m.o.Logger.Debug("cannot drop an answer that was given", "request", id, "error", err)
	}
}
