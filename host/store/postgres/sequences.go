package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// queueSequences adds the statements that change a commit's failing and parked sequences.
func (s *Store) queueSequences(batch *pgx.Batch, c *store.Commit) {
	if len(c.Queue) > 0 {
		batch.Queue(s.sql.queue, append([]any{c.Generation}, queuedColumns(c.Queue)...)...)
	}
	if len(c.Dequeue) > 0 {
		batch.Queue(s.sql.dequeue, append([]any{c.Generation}, queuedColumns(c.Dequeue)...)...)
	}
	var over []string
	var puts []*store.Sequence
	for i := range c.Sequences {
		if q := &c.Sequences[i]; q.State == "" {
			over = append(over, q.Key)
		} else {
			puts = append(puts, q)
		}
	}
	if len(over) > 0 {
		batch.Queue(s.sql.deleteSequences, c.Generation, over)
	}
	if len(puts) > 0 {
		batch.Queue(s.sql.putSequences, append([]any{c.Generation}, sequenceColumns(puts)...)...)
	}
}

func queuedColumns(events []store.QueuedEvent) []any {
	keys, positions := make([]string, len(events)), make([]int64, len(events))
	for i, q := range events {
		keys[i], positions[i] = q.Key, int64(q.Position)
	}
	return []any{keys, positions}
}

func sequenceColumns(puts []*store.Sequence) []any {
	n := len(puts)
	keys, states, kinds, messages, stacks, digests := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	positions, attempts := make([]int64, n), make([]int32, n)
	next, since := make([]*time.Time, n), make([]time.Time, n)
	for i, q := range puts {
		keys[i], states[i], kinds[i], digests[i] = q.Key, string(q.State), string(q.Kind), q.Digest
		messages[i], stacks[i] = storable(q.Error), storable(q.Stack)
		positions[i], attempts[i], since[i] = int64(q.Position), int32(q.Attempts), q.Since
		if !q.NextAttempt.IsZero() {
			next[i] = &q.NextAttempt
		}
	}
	return []any{keys, states, positions, attempts, next, kinds, messages, stacks, digests, since}
}

// storable makes a guest's words text that the database takes: they must not stop a commit.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Sequences implements store.State.
func (s *Store) Sequences(ctx context.Context, generation int64) ([]store.Sequence, error) {
	rows, err := s.reads.Query(ctx, s.sql.sequences, generation)
	if err != nil {
		return nil, fail(ctx, "list sequences", err)
	}
	sequences, err := pgx.CollectRows(rows, scanSequence)
	return sequences, fail(ctx, "list sequences", err)
}

func scanSequence(row pgx.CollectableRow) (store.Sequence, error) {
	var q store.Sequence
	var next *time.Time
	err := row.Scan(&q.Key, &q.State, &q.Position, &q.Attempts, &next, &q.Kind, &q.Error, &q.Stack, &q.Digest, &q.Since, &q.Waiting)
	if next != nil {
		q.NextAttempt = next.UTC()
	}
	q.Since = q.Since.UTC()
	return q, err
}

// someSequences are scanSequence's columns of a generation's sequences, with or without their stacks.
func (s *Store) someSequences(stack, where string) string {
	return s.sql.rare(`
SELECT key, state, position, attempts, next_attempt, kind, error, ` + stack + `, digest, since,
       (SELECT count(*) FROM {sequence_events} e WHERE e.generation = s.generation AND e.key = s.key)
FROM {sequences} s WHERE ` + ofFamily + ` ` + where)
}

// FindSequence implements store.State.
func (s *Store) FindSequence(ctx context.Context, generation int64, key string) (store.Sequence, error) {
	rows, err := s.reads.Query(ctx, s.someSequences("stack", "AND key = $2"), generation, key)
	if err != nil {
		return store.Sequence{}, fail(ctx, "find a sequence", err)
	}
	q, err := pgx.CollectExactlyOneRow(rows, scanSequence)
	if errors.Is(err, pgx.ErrNoRows) {
		return q, fmt.Errorf("sequence %q of generation %d: %w", key, generation, store.ErrNotFound)
	}
	return q, fail(ctx, "find a sequence", err)
}

// SequenceWith implements store.State.
func (s *Store) SequenceWith(ctx context.Context, generation int64, p event.Position) (store.Sequence, error) {
	with := "AND (generation, key) IN (SELECT generation, key FROM {sequence_events} WHERE " + ofFamily + " AND position = $2)"
	rows, err := s.reads.Query(ctx, s.someSequences("stack", with), generation, int64(p))
	if err != nil {
		return store.Sequence{}, fail(ctx, "find the sequence of an event", err)
	}
	q, err := pgx.CollectExactlyOneRow(rows, scanSequence)
	if errors.Is(err, pgx.ErrNoRows) {
		return q, fmt.Errorf("sequence with event %d in generation %d: %w", p, generation, store.ErrNotFound)
	}
	return q, fail(ctx, "find the sequence of an event", err)
}

// ListSequences implements store.State.
func (s *Store) ListSequences(ctx context.Context, generation int64, o store.SequenceOptions) ([]store.Sequence, error) {
	rows, err := s.reads.Query(ctx, s.someSequences("''", "AND position > $2 AND ($3 = '' OR state = $3) ORDER BY position, key LIMIT $4"),
		generation, int64(o.After), string(o.State), o.Limit)
	if err != nil {
		return nil, fail(ctx, "list sequences", err)
	}
	list, err := pgx.CollectRows(rows, scanSequence)
	return list, fail(ctx, "list sequences", err)
}

// Queued implements store.State.
func (s *Store) Queued(ctx context.Context, generation int64, key string, limit int) ([]event.Event, error) {
	rows, err := s.reads.Query(ctx, s.sql.queued, binaryResults, generation, key, limit)
	if err != nil {
		return nil, fail(ctx, "read queued events", err)
	}
	events, err := collectEvents(rows)
	return events, fail(ctx, "read queued events", err)
}
