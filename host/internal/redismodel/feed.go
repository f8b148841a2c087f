package redismodel

import (
	"context"

	"eshost/host/event"
)

// Feed hands out a plugin's events; see delivery.Feed.
type Feed interface {
	Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error)
}

// place is where an event is in the log.
type place struct {
	position event.Position
	id       string
}

// Follow returns a feed of the events of another one, whose places the Model remembers until they are committed: so a
// checkpoint is tied to the log without reading it again.
func (m *Model) Follow(f Feed) Feed { return followed{f, m} }

type followed struct {
	Feed
	m *Model
}

func (f followed) Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error) {
	b, err := f.Feed.Next(ctx, after, limit, maxBytes)
	if err == nil {
		f.m.remember(after, b.Events)
	}
	return b, err
}

// remember adds a batch, in the place of whatever was fetched after the same position before.
func (m *Model) remember(after event.Position, events []event.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.read)
	for n > 0 && m.read[n-1].position > after {
		n--
	}
	m.read = m.read[:n]
	for i := range events {
		m.read = append(m.read, place{events[i].Position, events[i].ID})
	}
}

// anchorAt is what ties a checkpoint to the log; nothing if no event was fetched up to there since the anchor before.
func (m *Model) anchorAt(p event.Position) *anchor {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for n < len(m.read) && m.read[n].position <= p {
		n++
	}
	if n == 0 {
		return nil
	}
	last := m.read[n-1]
	m.read = m.read[n:]
	return &anchor{Position: last.position, ID: last.id, Types: m.o.Filter.Types}
}
