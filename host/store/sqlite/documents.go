package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// Documents returns those of the named documents that exist, all as of one moment.
func (s *Store) Documents(ctx context.Context, generation int64, keys []store.DocumentKey) ([]event.Document, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	docs := make([]event.Document, 0, len(keys))
	err := s.snapshot(ctx, func(c *conn) error {
		for i, k := range keys {
			if i%256 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			_, err := c.one(func(r row) {
				docs = append(docs, event.Document{Collection: k.Collection, Key: k.Key, Data: r.bytes(0)})
			},
				"SELECT data FROM documents WHERE generation = ? AND collection = ? AND key = ?", generation, k.Collection, k.Key)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %d documents of generation %d: %w", len(keys), generation, err)
	}
	return docs, nil
}

// Scan returns documents of one collection in byte order of their keys.
func (s *Store) Scan(ctx context.Context, generation int64, o store.ScanOptions) ([]event.Document, error) {
	where := "generation = ? AND collection = ?"
	args := []driver.Value{generation, o.Collection}
	if o.Prefix != "" {
		where += " AND key >= ?"
		args = append(args, o.Prefix)
		if end := prefixEnd(o.Prefix); end != "" {
			where += " AND key < ?"
			args = append(args, end)
		}
	}
	if o.After != "" {
		where += " AND key > ?"
		args = append(args, o.After)
	}
	var docs []event.Document
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			docs = append(docs, event.Document{Collection: o.Collection, Key: r.text(0), Data: r.bytes(1)})
			return nil
		}, "SELECT key, data FROM documents WHERE "+where+" ORDER BY key LIMIT ?", append(args, int64(o.Limit))...)
	})
	if err != nil {
		return nil, fmt.Errorf("scan collection %q of generation %d: %w", o.Collection, generation, err)
	}
	return docs, nil
}

// prefixEnd is the first string above all that begin with the prefix, "" if there is none.
func prefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return string(b[:i+1])
		}
	}
	return ""
}

// Collections lists the collections that have documents.
func (s *Store) Collections(ctx context.Context, generation int64) ([]string, error) {
	var names []string
	err := s.snapshot(ctx, func(c *conn) error {
		// From one collection to the next by the primary key, however many documents each has.
		next := "SELECT collection FROM documents WHERE generation = ? ORDER BY collection LIMIT 1"
		args := []driver.Value{generation}
		for {
			var name string
			found, err := c.one(func(r row) { name = r.text(0) }, next, args...)
			if err != nil || !found {
				return err
			}
			names = append(names, name)
			next = "SELECT collection FROM documents WHERE generation = ? AND collection > ? ORDER BY collection LIMIT 1"
			args = []driver.Value{generation, name}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list collections of generation %d: %w", generation, err)
	}
	return names, nil
}
