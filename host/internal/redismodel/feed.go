package redismodel

import (
	"context"
	"errors"
	"time"

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
// checkpoint is tied to the log without reading it again. While there is nothing to hand out it looks now and then whether
// Redis still has the read model, and fails if not: the next commit may be hours away.
func (m *Model) Follow(f Feed) Feed { return followed{f, m} }

type followed struct {
	Feed
	m *Model
}

func (f followed) Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	looked := make(chan struct{})
	idle := time.AfterFunc(f.m.o.Look, func() {
		defer close(looked)
		if err := f.m.awaitLoss(ctx); err != nil {
			cancel(err)
		}
	})
	b, err := f.Feed.Next(ctx, after, limit, maxBytes)
	lost := context.Cause(ctx)
	cancel(nil)
	if !idle.Stop() {
		<-looked
	}
	switch {
	case err == nil:
		f.m.remember(after, b.Events)
	case isLost(lost):
		err = lost
	}
	return b, err
}

// lookTime bounds a look. What Redis does not answer in that time, it is asked again later.
const lookTime = time.Second

// awaitLoss returns why the session's read model is not there any more, nil when ctx ends.
func (m *Model) awaitLoss(ctx context.Context) error {
	again := time.NewTicker(m.o.Look)
	defer again.Stop()
	for {
		if err := m.look(ctx); isLost(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

// look reads what the read model says of itself. A commit that is under way does not disturb it.
func (m *Model) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(lookTime, m.server.limit))
	defer cancel()
	t := m.tenure()
	head, err := m.server.client.HMGet(ctx, m.keys.meta(), "session", "state", "position", "head", "database").Result()
	if err != nil {
		return damage(err)
	}
	return m.mayRead(t, head)
}

// isLost reports whether an error says that the session's read model is gone, damaged, or another session's or database's.
func isLost(err error) bool {
	return errors.Is(err, ErrGone) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) || errors.Is(err, errTaken)
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
