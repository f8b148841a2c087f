package postgres

import (
	"context"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type tag = pgconn.CommandTag

// SetCondition implements store.State.
func (s *Store) SetCondition(ctx context.Context, generation, epoch int64, c store.Condition) error {
	var since *time.Time
	if !c.Since.IsZero() {
		since = &c.Since
	}
	done, err := s.commits.Exec(ctx, s.sql.setCondition, generation, epoch, string(c.State), storable(c.Reason), since)
	if err == nil && done.RowsAffected() == 0 {
		return fmt.Errorf("set condition: %w", store.ErrLeaseLost)
	}
	return fail(ctx, "set condition", err)
}

// Plugins implements store.State.
func (s *Store) Plugins(ctx context.Context) ([]store.PluginStatus, error) {
	rows, err := s.reads.Query(ctx, s.sql.plugins)
	if err != nil {
		return nil, fail(ctx, "list plugins", err)
	}
	plugins, err := pgx.CollectRows(rows, scanPlugin)
	return store.JoinPlugins(plugins), fail(ctx, "list plugins", err)
}

func scanPlugin(row pgx.CollectableRow) (store.PluginStatus, error) {
	var p store.PartitionStatus
	var owner, name, process *string
	var startedAt, pausedAt *time.Time
	var pausedBy, pausedWhy string
	var left *int64
	var failed failedSequence
	err := row.Scan(&p.ID, &p.Plugin, &p.Number, &p.Position, &p.Epoch, &p.Root, &p.Partition, &p.Partitions, &p.OrderBy, &p.Condition.State, &p.Condition.Reason, &p.Condition.Since, &p.Digest, &p.UpdatedAt,
		&owner, &name, &process, &startedAt, &left,
		&p.Retrying, &p.Parked, &p.Waiting,
		&failed.key, &failed.state, &failed.position, &failed.attempts, &failed.next, &failed.kind, &failed.error, &failed.stack, &failed.digest, &failed.since, &failed.waiting,
		&pausedBy, &pausedWhy, &pausedAt)
	if err != nil {
		return store.PluginStatus{}, err
	}
	p.Condition.Since, p.UpdatedAt = p.Condition.Since.UTC(), p.UpdatedAt.UTC()
	p.Owner = ownerOf(owner, name, process, startedAt, left)
	return store.PluginStatus{FirstFailure: failed.sequence(), Pause: pauseOf(pausedBy, pausedWhy, pausedAt), Partitions: []store.PartitionStatus{p}}, nil
}

// ownerOf reads the columns about an owner, whose registration may be gone; nil if there is none.
func ownerOf(id, name, process *string, started *time.Time, left *int64) *store.Host {
	if id == nil {
		return nil
	}
	h := &store.Host{ID: *id}
	if name != nil {
		h.Name, h.Process, h.StartedAt = *name, *process, started.UTC()
		h.ExpiresIn = time.Duration(*left) * time.Microsecond
		h.Live = *left > 0
	}
	return h
}

// failedSequence is a row of sequences that may not be there.
type failedSequence struct {
	key, state, kind, error, stack, digest *string
	position                               *int64
	attempts                               *int
	next, since                            *time.Time
	waiting                                int
}

func (f *failedSequence) sequence() *store.Sequence {
	if f.key == nil {
		return nil
	}
	q := &store.Sequence{
		Key: *f.key, State: store.SequenceState(*f.state), Position: event.Position(*f.position), Attempts: *f.attempts,
		Kind: event.FailureKind(*f.kind), Error: *f.error, Stack: *f.stack, Digest: *f.digest, Since: f.since.UTC(), Waiting: f.waiting,
	}
	if f.next != nil {
		q.NextAttempt = f.next.UTC()
	}
	return q
}

// Spans implements store.State.
func (s *Store) Spans(ctx context.Context, generation int64) ([]store.ModuleSpan, error) {
	rows, err := s.reads.Query(ctx, s.sql.spans, generation)
	if err != nil {
		return nil, fail(ctx, "list module spans", err)
	}
	spans, err := pgx.CollectRows(rows, pgx.RowToStructByPos[store.ModuleSpan])
	for i := range spans {
		spans[i].Since = spans[i].Since.UTC()
	}
	return spans, fail(ctx, "list module spans", err)
}
