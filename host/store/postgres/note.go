package postgres

import (
	"context"
	"fmt"

	"eshost/host/store"
)

// NotePosition implements store.State.
func (s *Store) NotePosition(ctx context.Context, n store.Note) error {
	done, err := s.commits.Exec(ctx, s.sql.rare(`
UPDATE {generations} SET position = $4, digest = coalesce(nullif($5, ''), digest), updated_at = clock_timestamp()
WHERE id = $1 AND epoch = $2 AND owner = $3`), n.Generation, n.Epoch, n.Owner, int64(n.Position), n.Digest)
	if err == nil && done.RowsAffected() == 0 {
		return fmt.Errorf("note the checkpoint of generation %d: %w", n.Generation, store.ErrLeaseLost)
	}
	return fail(ctx, fmt.Sprintf("note the checkpoint of generation %d", n.Generation), err)
}
