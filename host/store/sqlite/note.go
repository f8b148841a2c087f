package sqlite

import (
	"context"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// NotePosition records the checkpoint of a read model that is kept elsewhere.
func (s *Store) NotePosition(ctx context.Context, n store.Note) error {
	err := s.write(ctx, func(c *conn) error {
		res, err := c.exec(`UPDATE generations SET position = ?, elsewhere = 1, digest = coalesce(nullif(?, ''), digest), updated_at = `+now+`, mark = `+markAt("?1")+`
WHERE id = ? AND epoch = ? AND owner = ?`, int64(n.Position), n.Digest, n.Generation, n.Epoch, n.Owner)
		if err != nil {
			return err
		}
		if rows, err := res.RowsAffected(); err != nil || rows == 1 {
			return err
		}
		return store.ErrLeaseLost
	})
	if err != nil {
		return fmt.Errorf("note the checkpoint of generation %d: %w", n.Generation, err)
	}
	return nil
}

// Origin returns where a generation began, and whether its documents are kept elsewhere.
func (s *Store) Origin(ctx context.Context, generation int64) (o store.Origin, err error) {
	err = s.read(ctx, func(c *conn) error {
		found, err := c.one(func(r row) { o = store.Origin{Start: event.Position(r.int(0)), Elsewhere: r.int(1) != 0} },
			"SELECT started_after, elsewhere FROM generations WHERE id = ?", generation)
		if err == nil && !found {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return o, fmt.Errorf("origin of generation %d: %w", generation, err)
	}
	return o, nil
}
