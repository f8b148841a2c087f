package sqlite

import (
	"context"
	"fmt"

	"eshost/host/store"
)

// NotePosition records the checkpoint of a read model that is kept elsewhere.
func (s *Store) NotePosition(ctx context.Context, n store.Note) error {
	err := s.write(ctx, func(c *conn) error {
		res, err := c.exec(`UPDATE generations SET position = ?, digest = coalesce(nullif(?, ''), digest), updated_at = `+now+`
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
