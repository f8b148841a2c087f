package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

const (
	documentRows  = 10_000
	documentBytes = 16 << 20
)

// queueDocuments adds the statements that write a commit's documents in bulk.
func (s *Store) queueDocuments(batch *pgx.Batch, c *store.Commit) {
	puts := make([]*event.DocumentWrite, 0, len(c.Documents))
	var deletes []*event.DocumentWrite
	for i := range c.Documents {
		if d := &c.Documents[i]; d.Data != nil {
			puts = append(puts, d)
		} else {
			deletes = append(deletes, d)
		}
	}
	s.queuePuts(batch, c.Root, puts)
	if len(deletes) > 0 {
		collections, keys := make([]string, len(deletes)), make([]string, len(deletes))
		for i, d := range deletes {
			collections[i], keys[i] = d.Collection, d.Key
		}
		batch.Queue(s.sql.deleteDocuments, c.Root, collections, keys)
	}
}

func (s *Store) queuePuts(batch *pgx.Batch, generation int64, puts []*event.DocumentWrite) {
	// In the order of the index, neighbours share its pages: a tenth less work for the server.
	slices.SortFunc(puts, func(a, b *event.DocumentWrite) int {
		return cmp.Or(strings.Compare(a.Collection, b.Collection), strings.Compare(a.Key, b.Key))
	})
	for len(puts) > 0 {
		n, bytes := 0, 0
		for n < len(puts) && n < documentRows && bytes < documentBytes {
			bytes += len(puts[n].Data)
			n++
		}
		positions, collections, keys, datas := make([]int64, n), make([]string, n), make([]string, n), make([][]byte, n)
		for i, d := range puts[:n] {
			positions[i], collections[i], keys[i], datas[i] = int64(d.Position), d.Collection, d.Key, d.Data
		}
		batch.Queue(s.sql.putDocuments, generation, positions, collections, keys, datas)
		puts = puts[n:]
	}
}

// findRefused names the value that the database refused, so that its owner can deal with it: the
// same commit would fail for ever.
func (s *Store) findRefused(ctx context.Context, c *store.Commit, refusal error) error {
	for i := range c.Documents {
		d := &c.Documents[i]
		switch {
		case !text(d.Collection) || !text(d.Key):
			return refusedDocument(d, "its name is not UTF-8 without zero bytes")
		case d.Data != nil && !event.ValidJSON(d.Data):
			return refusedDocument(d, "it is not JSON that a database accepts")
		}
	}
	for _, q := range c.Queue {
		if !text(q.Key) {
			return &store.InvalidError{Field: "key", Reason: fmt.Sprintf("%q of event %d is not UTF-8 without zero bytes", q.Key, q.Position)}
		}
	}
	for _, q := range c.Sequences {
		if !text(q.Key) {
			return &store.InvalidError{Field: "key", Reason: fmt.Sprintf("%q of event %d is not UTF-8 without zero bytes", q.Key, q.Position)}
		}
	}
	d, err := s.tryHalves(ctx, c.Root, c.Documents)
	switch {
	case err != nil:
		return errors.Join(fail(ctx, "commit", refusal), err)
	case d != nil:
		return refusedDocument(d, describe(refusal))
	}
	return &store.InvalidError{Field: "commit", Reason: "is refused by the database: " + describe(refusal)}
}

func refusedDocument(d *event.DocumentWrite, why string) error {
	return &store.RefusedError{Position: d.Position, Err: fmt.Errorf("commit: document %q of collection %q, written by event %d: %w",
		d.Key, d.Collection, d.Position, &store.InvalidError{Field: "data", Reason: "is refused by the database: " + why})}
}

func text(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// tryHalves writes ever fewer of the documents, in transactions that are rolled back, until one is left
// that the database refuses. It returns nil if it accepts them all.
func (s *Store) tryHalves(ctx context.Context, generation int64, documents []event.DocumentWrite) (*event.DocumentWrite, error) {
	puts := make([]*event.DocumentWrite, 0, len(documents))
	for i := range documents {
		if documents[i].Data != nil {
			puts = append(puts, &documents[i])
		}
	}
	refused, err := s.refuses(ctx, generation, puts)
	if err != nil || !refused {
		return nil, err
	}
	for len(puts) > 1 {
		half := puts[:len(puts)/2]
		if refused, err = s.refuses(ctx, generation, half); err != nil {
			return nil, err
		}
		if refused {
			puts = half
		} else {
			puts = puts[len(half):]
		}
	}
	return puts[0], nil
}

func (s *Store) refuses(ctx context.Context, generation int64, puts []*event.DocumentWrite) (bool, error) {
	if len(puts) == 0 {
		return false, nil
	}
	tx, err := s.commits.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	batch := &pgx.Batch{}
	s.queuePuts(batch, generation, slices.Clone(puts))
	err = tx.SendBatch(ctx, batch).Close()
	if refusedValue(err) {
		return true, nil
	}
	return false, err
}

// Documents implements store.State.
func (s *Store) Documents(ctx context.Context, generation int64, keys []store.DocumentKey) ([]event.Document, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	collections, names := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		collections[i], names[i] = k.Collection, k.Key
	}
	return s.collectDocuments(ctx, "read documents", s.sql.documents, generation, collections, names)
}

// Scan implements store.State.
func (s *Store) Scan(ctx context.Context, generation int64, o store.ScanOptions) ([]event.Document, error) {
	if o.Limit < 1 {
		return nil, fmt.Errorf("scan documents: the limit is %d, and must be at least 1", o.Limit)
	}
	from := max(o.Prefix, o.After)
	if end := prefixEnd(o.Prefix); end != "" {
		return s.collectDocuments(ctx, "scan documents", s.sql.scanBelow, generation, o.Collection, from, o.After, o.Limit, end)
	}
	return s.collectDocuments(ctx, "scan documents", s.sql.scan, generation, o.Collection, from, o.After, o.Limit)
}

// prefixEnd is the lowest string above all that begin with a prefix, in byte order, which is the order
// of code points; empty if there is none.
func prefixEnd(prefix string) string {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch {
		case last == utf8.MaxRune:
			continue
		case last == 0xD7FF: // surrogates are no code points
			last = 0xE000
		default:
			last++
		}
		return prefix + string(last)
	}
	return ""
}

func (s *Store) collectDocuments(ctx context.Context, step, sql string, args ...any) ([]event.Document, error) {
	rows, err := s.reads.Query(ctx, sql, append([]any{binaryResults}, args...)...)
	if err != nil {
		return nil, fail(ctx, step, err)
	}
	defer rows.Close()
	var documents []event.Document
	for rows.Next() {
		raw := rows.RawValues()
		documents = append(documents, event.Document{
			Collection: string(raw[0]), Key: string(raw[1]), Data: append([]byte(nil), raw[2]...),
		})
	}
	return documents, fail(ctx, step, rows.Err())
}

// Collections implements store.State.
func (s *Store) Collections(ctx context.Context, generation int64) ([]string, error) {
	rows, err := s.reads.Query(ctx, s.sql.collections, generation)
	if err != nil {
		return nil, fail(ctx, "list collections", err)
	}
	collections, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return collections, fail(ctx, "list collections", err)
}
