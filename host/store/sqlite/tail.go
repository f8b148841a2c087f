package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"eshost/host/event"
	"eshost/host/store"
)

// tail follows the log's end. What is committed is final (see the package comment), so the watermark
// is the highest committed position and nobody ever holds it.
type tail struct {
	s    *Store
	conn *pool // of one, its own: what it saw before is compared with what it sees now
	once sync.Once

	mark    event.Position
	markID  string // of the event at mark, "" if there is none
	started bool
	bell    int64

	seen    *conn // the connection that saw version
	version int64 // of the database
}

// Tail starts a reader of the log's end.
func (s *Store) Tail(floor event.Position) store.Tail {
	return &tail{s: s, conn: newPool(1, s.connectReader), mark: floor}
}

// Close closes the tail's connection.
func (t *tail) Close() {
	t.once.Do(func() { t.conn.close() }) // it has only read: there is nothing to lose
}

// Poll looks once. With nothing new it asks only whether anything was committed: no table is read.
func (t *tail) Poll(ctx context.Context, limit int) (store.TailState, error) {
	var state store.TailState
	err := t.conn.with(ctx, func(c *conn) (broken bool, err error) {
		if err = t.s.inPlace(); err == nil {
			state, err = t.look(ctx, c, limit)
		}
		return err != nil, err
	})
	if err != nil {
		return store.TailState{}, fmt.Errorf("poll the log: %w", t.s.explain(err))
	}
	return state, nil
}

func (t *tail) look(ctx context.Context, c *conn, limit int) (store.TailState, error) {
	var version int64
	if _, err := c.one(func(r row) { version = r.int(0) }, "PRAGMA data_version"); err != nil {
		return store.TailState{}, err
	}
	if t.started && t.seen == c && t.version == version {
		return store.TailState{Watermark: t.mark, Head: t.mark, Complete: true, Bell: t.bell}, ctx.Err()
	}
	head, bell, err := highestAndBell(c)
	if err != nil {
		return store.TailState{}, err
	}
	if head < t.mark {
		return store.TailState{}, fmt.Errorf("%w: its highest position is %d, and %d was already handed out: restore the newer database", store.ErrLogWentBack, head, t.mark)
	}
	events, complete, err := t.span(ctx, c, head, limit)
	if err != nil {
		return store.TailState{}, err
	}
	markID, err := idAt(c, head)
	if err != nil {
		return store.TailState{}, err
	}
	t.mark, t.markID, t.bell, t.started, t.seen, t.version = head, markID, bell, true, c, version
	return store.TailState{Watermark: head, Head: head, Events: events, Complete: complete, Bell: bell}, nil
}

func highestAndBell(c *conn) (p event.Position, bell int64, err error) {
	_, err = c.one(func(r row) { p, bell = event.Position(r.int(0)), r.int(1) },
		"SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0), rung FROM bell")
	return p, bell, err
}

// span reads the events of (mark, head], if they are not too many. It also looks whether the event at
// the mark is the one that was there: a database may have been restored and written to since.
func (t *tail) span(ctx context.Context, c *conn, head event.Position, limit int) (events []event.Event, complete bool, err error) {
	if !t.started {
		return nil, false, nil
	}
	markID, err := idAt(c, t.mark)
	if err != nil {
		return nil, false, err
	}
	if markID != t.markID && markID != "" {
		return nil, false, fmt.Errorf("%w: position %d was event %q and is now %q: restore the newer database", store.ErrLogWentBack, t.mark, t.markID, markID)
	}
	bytes := 0
	err = c.query(ctx, func(r row) error {
		e := r.event()
		if bytes += e.Size(); bytes > mostBytes {
			return errTooMuch
		}
		events = append(events, e)
		return nil
	},
		"SELECT "+eventColumns+" FROM events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?", int64(t.mark), int64(head), int64(limit)+1)
	if errors.Is(err, errTooMuch) {
		return nil, false, nil
	}
	if err != nil || len(events) > limit {
		return nil, false, err
	}
	return events, true, nil
}

// mostBytes bounds what one Poll reads.
const mostBytes = 16 << 20

var errTooMuch = errors.New("more than a poll carries")

func idAt(c *conn, p event.Position) (id string, err error) {
	_, err = c.one(func(r row) { id = r.text(0) }, "SELECT id FROM events WHERE position = ?", int64(p))
	return id, err
}
