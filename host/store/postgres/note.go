package postgres

import (
	"context"
	"errors"
	"fmt"

	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// NotePosition implements store.State.
func (s *Store) NotePosition(ctx context.Context, n store.Note) error {
	done, err := s.commits.Exec(ctx, s.sql.rare(`
UPDATE {generations} SET position = $4, elsewhere = true, digest = coalesce(nullif($5, ''), digest), updated_at = clock_timestamp(),
    mark = `+markAt("$4")+`
WHERE id = $1 AND epoch = $2 AND owner = $3`), n.Generation, n.Epoch, n.Owner, int64(n.Position), n.Digest)
	if err == nil && done.RowsAffected() == 0 {
		return fmt.Errorf("note the checkpoint of generation %d: %w", n.Generation, store.ErrLeaseLost)
	}
	return fail(ctx, fmt.Sprintf("note the checkpoint of generation %d", n.Generation), err)
}

// Origin implements store.State.
func (s *Store) Origin(ctx context.Context, generation int64) (store.Origin, error) {
	var o store.Origin
	err := s.reads.QueryRow(ctx, s.sql.rare(`SELECT started_after, elsewhere FROM {generations} WHERE id = $1`), generation).Scan(&o.Start, &o.Elsewhere)
	if errors.Is(err, pgx.ErrNoRows) {
		return o, fmt.Errorf("origin of generation %d: %w", generation, store.ErrNotFound)
	}
	return o, fail(ctx, fmt.Sprintf("origin of generation %d", generation), err)
}
