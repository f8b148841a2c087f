package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"eshost/host/event"
	"eshost/host/store"
)

// Commit applies a batch's outcome in one transaction, or nothing of it.
//
// Invariant 2: documents, emitted events, parked rows and checkpoint change together, under the epoch.
func (s *Store) Commit(ctx context.Context, cm store.Commit) error {
	if err := cm.Validate(); err != nil {
		return fmt.Errorf("commit generation %d: %w", cm.Generation, err)
	}
	cm.Root = cmp.Or(cm.Root, cm.Generation)
	err := s.write(ctx, func(c *conn) error {
		if err := moveCheckpoint(c, cm); err != nil {
			return err
		}
		if err := recordSpan(c, cm); err != nil {
			return fmt.Errorf("record the module: %w", err)
		}
		if err := writeDocuments(ctx, c, cm.Root, cm.Documents); err != nil {
			return fmt.Errorf("write documents: %w", err)
		}
		if err := appendEmitted(c, cm.Emitted); err != nil {
			return fmt.Errorf("append emitted events: %w", err)
		}
		if err := moveQueues(c, cm.Generation, cm.Queue, cm.Dequeue); err != nil {
			return fmt.Errorf("write queues: %w", err)
		}
		if err := writeSequences(c, cm.Generation, cm.Sequences); err != nil {
			return fmt.Errorf("write sequences: %w", err)
		}
		return operate(c, cm)
	})
	if err != nil {
		return fmt.Errorf("commit generation %d at %d: %w", cm.Generation, cm.Position, err)
	}
	return nil
}

// moveCheckpoint is the guard: the row changes only for the current owner and epoch, from the expected position.
func moveCheckpoint(c *conn, cm store.Commit) error {
	res, err := c.exec(`UPDATE generations SET position = ?, digest = coalesce(nullif(?, ''), digest), updated_at = `+now+`, mark = `+markAt("?1")+`
WHERE id = ? AND epoch = ? AND position = ? AND owner = ? AND root = ?`, int64(cm.Position), cm.Digest, cm.Generation, cm.Epoch, int64(cm.Expected), cm.Owner, cm.Root)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	var epoch, root int64
	var position event.Position
	var owner string
	found, err := c.one(func(r row) { epoch, position, owner, root = r.int(0), event.Position(r.int(1)), r.text(2), r.int(3) },
		"SELECT epoch, position, owner, root FROM generations WHERE id = ?", cm.Generation)
	switch {
	case err != nil:
		return err
	case !found:
		return store.ErrNotFound
	case epoch != cm.Epoch:
		return fmt.Errorf("%w: its epoch is %d, not %d", store.ErrLeaseLost, epoch, cm.Epoch)
	case owner == "":
		return fmt.Errorf("%w: it was released", store.ErrLeaseLost)
	case owner != cm.Owner:
		return fmt.Errorf("%w: host %s has it", store.ErrLeaseLost, owner)
	case root != cm.Root:
		return &store.InvalidError{Field: "root", Reason: fmt.Sprintf("is %d, and the generation belongs to %d", cm.Root, root)}
	}
	return fmt.Errorf("%w: it is at %d, not %d", store.ErrCheckpointMoved, position, cm.Expected)
}

// recordSpan begins a new span where the module is another than the last one.
// Invariant 8: which module made which span of positions is on record.
func recordSpan(c *conn, cm store.Commit) error {
	if cm.Digest == "" {
		return nil
	}
	_, err := c.exec(`INSERT INTO module_spans (generation, from_position, digest, since)
SELECT ?1, ?2, ?3, `+now+`
WHERE ?3 IS NOT (SELECT digest FROM module_spans WHERE generation = ?1 ORDER BY from_position DESC LIMIT 1)
ON CONFLICT (generation, from_position) DO UPDATE SET digest = excluded.digest, since = excluded.since`,
		cm.Generation, int64(cm.Expected), cm.Digest)
	return err
}

const (
	upsertDocument = `INSERT INTO documents (generation, collection, key, data, position) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (generation, collection, key) DO UPDATE SET data = excluded.data, position = excluded.position`
	deleteDocument = `DELETE FROM documents WHERE generation = ? AND collection = ? AND key = ?`
)

// writeDocuments writes in key order: neighbours lie on one page of the tree.
func writeDocuments(ctx context.Context, c *conn, generation int64, writes []event.DocumentWrite) error {
	sorted := slices.Clone(writes)
	slices.SortFunc(sorted, func(a, b event.DocumentWrite) int {
		return cmp.Or(cmp.Compare(a.Collection, b.Collection), cmp.Compare(a.Key, b.Key))
	})
	for i, w := range sorted {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var err error
		if w.Data == nil {
			_, err = c.exec(deleteDocument, generation, w.Collection, w.Key)
		} else {
			_, err = c.exec(upsertDocument, generation, w.Collection, w.Key, string(w.Data), int64(w.Position))
		}
		if refusedValue(err) {
			return &store.RefusedError{Position: w.Position, Err: fmt.Errorf("document %q of collection %q, written by event %d: %w",
				w.Key, w.Collection, w.Position, &store.InvalidError{Field: "data", Reason: "is refused by the database: " + err.Error()})}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// appendEmitted appends to the streams' ends. An event that a rebuild emits again is stored already.
func appendEmitted(c *conn, emitted []event.Emitted) error {
	a := newAppender(c)
	for _, e := range emitted {
		r := store.AppendRequest{Streams: []store.StreamAppend{{Stream: e.Stream, StreamType: e.StreamType, Expected: store.AnyVersion,
			Events: []store.NewEvent{{ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata, ContentType: e.ContentType}}}}}
		err := r.Validate()
		if err == nil {
			_, err = a.request(r)
		}
		if err != nil {
			err = fmt.Errorf("event %q, caused by %d: %w", e.ID, e.Cause, err)
			if errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrIDConflict) {
				err = &store.RefusedError{Position: e.Cause, Err: err}
			}
			return err
		}
	}
	return nil
}

func moveQueues(c *conn, generation int64, queue, dequeue []store.QueuedEvent) error {
	for _, q := range queue {
		if _, err := c.exec("INSERT INTO sequence_events (generation, key, position) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", generation, q.Key, int64(q.Position)); err != nil {
			return err
		}
	}
	for _, q := range dequeue {
		if _, err := c.exec("DELETE FROM sequence_events WHERE generation = ? AND key = ? AND position = ?", generation, q.Key, int64(q.Position)); err != nil {
			return err
		}
	}
	return nil
}

func writeSequences(c *conn, generation int64, sequences []store.Sequence) error {
	for _, q := range sequences {
		if q.State == "" {
			if _, err := c.exec("DELETE FROM sequences WHERE generation = ? AND key = ?", generation, q.Key); err != nil {
				return err
			}
			continue
		}
		_, err := c.exec(`INSERT OR REPLACE INTO sequences (generation, key, state, position, attempts, next_attempt, kind, error, stack, digest, since)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, generation, q.Key, string(q.State), int64(q.Position), int64(q.Attempts), micros(q.NextAttempt),
			string(q.Kind), q.Error, q.Stack, q.Digest, micros(q.Since))
		if err != nil {
			return err
		}
	}
	return nil
}

// SetCondition records why a plugin stands still, or that it runs.
func (s *Store) SetCondition(ctx context.Context, generation, epoch int64, cond store.Condition) error {
	err := s.write(ctx, func(c *conn) error {
		res, err := c.exec(`UPDATE generations SET condition = ?, reason = ?, condition_since = coalesce(?, `+now+`)
WHERE id = ? AND epoch = ? AND owner IS NOT NULL`, string(cond.State), cond.Reason, micros(cond.Since), generation, epoch)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return store.ErrLeaseLost
	})
	if err != nil {
		return fmt.Errorf("set the condition of generation %d: %w", generation, err)
	}
	return nil
}
