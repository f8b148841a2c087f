package sqlite

import (
	"context"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// RecordReload adds to the history of a plugin's modules.
func (s *Store) RecordReload(ctx context.Context, r store.Reload) error {
	err := s.write(ctx, func(c *conn) error {
		_, err := c.exec("INSERT INTO reloads (plugin, digest, position, refused, host, at) VALUES (?, ?, ?, ?, ?, "+now+")",
			r.Plugin, r.Digest, int64(r.Position), r.Refused, r.Host)
		return err
	})
	if err != nil {
		return fmt.Errorf("record a reload of %s: %w", r.Plugin, err)
	}
	return nil
}

// Reloads returns the newest of a plugin's reloads.
func (s *Store) Reloads(ctx context.Context, plugin string, limit int) ([]store.Reload, error) {
	var list []store.Reload
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			list = append(list, store.Reload{ID: int64(r.int(0)), Plugin: r.text(1), Digest: r.text(2), Position: event.Position(r.int(3)),
				Refused: r.text(4), Host: r.text(5), At: r.time(6)})
			return nil
		}, "SELECT id, plugin, digest, position, refused, host, at FROM reloads WHERE plugin = ? ORDER BY id DESC LIMIT ?", plugin, int64(limit))
	})
	if err != nil {
		return nil, fmt.Errorf("list reloads of %s: %w", plugin, err)
	}
	return list, nil
}
