package sqlite

import (
	"context"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// sequenceColumns are row.sequence's.
const sequenceColumns = `q.key, q.state, q.position, q.attempts, q.next_attempt, q.kind, q.error, q.stack, q.digest, q.since,
  (SELECT count(*) FROM sequence_events e WHERE e.generation = q.generation AND e.key = q.key)`

const (
	selectSequences = "SELECT " + sequenceColumns + " FROM sequences q WHERE q.generation = ?1"
	// family is the partitions of the generation that the partition ?1 is one of.
	family       = "(SELECT id FROM generations WHERE root = (SELECT root FROM generations WHERE id = ?1))"
	selectFamily = "SELECT " + sequenceColumns + " FROM sequences q WHERE q.generation IN " + family
)

const byPosition = " ORDER BY q.position, q.key"

func (r row) sequence() store.Sequence {
	return store.Sequence{Key: r.text(0), State: store.SequenceState(r.text(1)), Position: event.Position(r.int(2)), Attempts: int(r.int(3)),
		NextAttempt: r.time(4), Kind: event.FailureKind(r.text(5)), Error: r.text(6), Stack: r.text(7), Digest: r.text(8), Since: r.time(9),
		Waiting: int(r.int(10))}
}

// Sequences returns every failing or parked sequence of a generation.
func (s *Store) Sequences(ctx context.Context, generation int64) ([]store.Sequence, error) {
	var sequences []store.Sequence
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error { sequences = append(sequences, r.sequence()); return nil }, selectSequences+byPosition, generation)
	})
	if err != nil {
		return nil, fmt.Errorf("list sequences of generation %d: %w", generation, err)
	}
	return sequences, nil
}

// FindSequence returns one sequence.
func (s *Store) FindSequence(ctx context.Context, generation int64, key string) (q store.Sequence, err error) {
	err = s.read(ctx, func(c *conn) error {
		found, err := c.one(func(r row) { q = r.sequence() }, selectFamily+" AND q.key = ?2", generation, key)
		if err == nil && !found {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return q, fmt.Errorf("sequence %q of generation %d: %w", key, generation, err)
	}
	return q, nil
}

// SequenceWith returns the sequence in which an event waits.
func (s *Store) SequenceWith(ctx context.Context, generation int64, p event.Position) (q store.Sequence, err error) {
	err = s.read(ctx, func(c *conn) error {
		found, err := c.one(func(r row) { q = r.sequence() },
			selectFamily+" AND (q.generation, q.key) IN (SELECT generation, key FROM sequence_events WHERE generation IN "+family+" AND position = ?2)", generation, int64(p))
		if err == nil && !found {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return q, fmt.Errorf("sequence with event %d in generation %d: %w", p, generation, err)
	}
	return q, nil
}

// ListSequences returns some of a generation's sequences, without their stacks.
func (s *Store) ListSequences(ctx context.Context, generation int64, o store.SequenceOptions) ([]store.Sequence, error) {
	var sequences []store.Sequence
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			q := r.sequence()
			q.Stack = ""
			sequences = append(sequences, q)
			return nil
		}, selectFamily+" AND q.position > ?2 AND (?3 = '' OR q.state = ?3)"+byPosition+" LIMIT ?4", generation, int64(o.After), string(o.State), int64(o.Limit))
	})
	if err != nil {
		return nil, fmt.Errorf("list sequences of generation %d: %w", generation, err)
	}
	return sequences, nil
}

// Queued returns the first events that wait in a sequence.
func (s *Store) Queued(ctx context.Context, generation int64, key string, limit int) ([]event.Event, error) {
	var events []event.Event
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error { events = append(events, r.event()); return nil },
			`SELECT `+eventColumns+` FROM sequence_events q JOIN events USING (position)
WHERE q.generation IN `+family+` AND q.key = ?2 ORDER BY q.position LIMIT ?3`, generation, key, int64(limit))
	})
	if err != nil {
		return nil, fmt.Errorf("read sequence %q of generation %d: %w", key, generation, err)
	}
	return events, nil
}

const selectPlugins = `SELECT ` + generationColumns + `, g.condition, g.reason, g.condition_since, g.digest, g.updated_at,
  (SELECT count(*) FROM sequences q WHERE q.generation = g.id AND q.state = 'retrying'),
  (SELECT count(*) FROM sequences q WHERE q.generation = g.id AND q.state = 'parked'),
  (SELECT count(*) FROM sequence_events e WHERE e.generation = g.id),
  p.paused_by, p.paused_why, p.paused_at, g.owner, ` + hostColumns + `
FROM plugins p JOIN generations g ON g.root = p.live_generation AND g.state <> 'merged' LEFT JOIN hosts h ON h.id = g.owner
ORDER BY p.name, g.partition`

// Plugins returns the state of every plugin in the store, all as of one moment.
func (s *Store) Plugins(ctx context.Context) ([]store.PluginStatus, error) {
	var plugins []store.PluginStatus
	err := s.snapshot(ctx, func(c *conn) error {
		err := c.query(ctx, func(r row) error {
			p := store.PartitionStatus{Generation: r.generation(),
				Condition: store.Condition{State: store.ConditionState(r.text(9)), Reason: r.text(10), Since: r.time(11)},
				Digest:    r.text(12), UpdatedAt: r.time(13), Retrying: int(r.int(14)), Parked: int(r.int(15)), Waiting: int(r.int(16)), Owner: r.owner(20)}
			plugins = append(plugins, store.PluginStatus{Pause: r.pause(17), Partitions: []store.PartitionStatus{p}})
			return nil
		}, selectPlugins)
		if err != nil {
			return err
		}
		for i := range plugins {
			p := &plugins[i].Partitions[0]
			if p.Retrying+p.Parked == 0 {
				continue
			}
			_, err := c.one(func(r row) { q := r.sequence(); plugins[i].FirstFailure = &q }, selectSequences+byPosition+" LIMIT 1", p.ID)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list plugins: %w", err)
	}
	return store.JoinPlugins(plugins), nil
}

// Spans returns which module made which positions of a generation.
func (s *Store) Spans(ctx context.Context, generation int64) ([]store.ModuleSpan, error) {
	var spans []store.ModuleSpan
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			spans = append(spans, store.ModuleSpan{Digest: r.text(0), From: event.Position(r.int(1)), To: event.Position(r.int(2)), Since: r.time(3)})
			return nil
		}, `SELECT m.digest, m.from_position, lead(m.from_position, 1, g.position) OVER (ORDER BY m.from_position), m.since
FROM module_spans m JOIN generations g ON g.id = m.generation WHERE m.generation = ? ORDER BY m.from_position`, generation)
	})
	if err != nil {
		return nil, fmt.Errorf("list module spans of generation %d: %w", generation, err)
	}
	return spans, nil
}
