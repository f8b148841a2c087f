package redismodel

import (
	"context"

	"eshost/host/event"
	"eshost/host/store"
)

// tenure is the session's: what it reads is what it has left there, or it fails.
func (m *Model) tenure() tenure {
	m.mu.Lock()
	defer m.mu.Unlock()
	return tenure{session: m.session, epoch: m.epoch}
}

// Documents is the Reader's, for the owner: a read model that was lost or taken over since is noticed.
func (m *Model) Documents(ctx context.Context, _ int64, names []store.DocumentKey) ([]event.Document, error) {
	return m.documents(ctx, m.tenure(), names)
}

// Scan is the Reader's, for the owner.
func (m *Model) Scan(ctx context.Context, _ int64, o store.ScanOptions) ([]event.Document, error) {
	return m.scan(ctx, m.tenure(), o)
}

// Collections is the Reader's, for the owner.
func (m *Model) Collections(ctx context.Context, _ int64) ([]string, error) {
	return m.collections(ctx, m.tenure())
}

// Sequences is the Reader's, for the owner.
func (m *Model) Sequences(ctx context.Context, _ int64) ([]store.Sequence, error) {
	return m.sequences(ctx, m.tenure())
}

// Queued is the Reader's, for the owner.
func (m *Model) Queued(ctx context.Context, _ int64, key string, limit int) ([]event.Event, error) {
	return m.queued(ctx, m.tenure(), key, limit)
}
