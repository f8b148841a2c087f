package postgres

import (
	"context"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// RecordReload implements store.State.
func (s *Store) RecordReload(ctx context.Context, r store.Reload) error {
	_, err := s.commits.Exec(ctx, s.sql.rare(`INSERT INTO {reloads} (plugin, digest, position, refused, host) VALUES ($1, $2, $3, $4, $5)`),
		r.Plugin, r.Digest, int64(r.Position), r.Refused, r.Host)
	return fail(ctx, "record a reload", err)
}

// Reloads implements store.State.
func (s *Store) Reloads(ctx context.Context, plugin string, limit int) ([]store.Reload, error) {
	rows, err := s.reads.Query(ctx, s.sql.rare(`
SELECT id, plugin, digest, position, refused, host, at FROM {reloads} WHERE plugin = $1 ORDER BY id DESC LIMIT $2`), plugin, limit)
	if err != nil {
		return nil, fail(ctx, "list reloads", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r store.Reload, err error) {
		var position int64
		err = row.Scan(&r.ID, &r.Plugin, &r.Digest, &position, &r.Refused, &r.Host, &r.At)
		r.Position, r.At = event.Position(position), r.At.UTC()
		return r, err
	})
	return list, fail(ctx, "list reloads", err)
}
