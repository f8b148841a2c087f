package postgres

import (
	"context"
	"errors"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// errRestarted ends a connection through which a pooler has led us to another start of the server, or
// to another server. Holders may have other names there.
var errRestarted = fmt.Errorf("%w: the server was restarted", store.ErrUnavailable)

// past is what was known when the last connection was lost. Until every writer that the new one finds
// has ended, an event could still be committed at a position that was published as a hole.
type past struct {
	published event.Position
	newest    newest
	writers   map[string]bool // nil before the first look
}

// connect makes a new connection and forgets what was seen through the last one and not published.
func (t *tail) connect(ctx context.Context) error {
	conn, err := t.s.target.connect(ctx, steady)
	if err != nil {
		return err
	}
	t.conn, t.started, t.atRest = conn, "", nil
	if _, err := checkServer(ctx, conn); err != nil {
		return err
	}
	if _, err := checkSequence(ctx, conn, t.s.relation, t.s.events.Position); err != nil {
		return err
	}
	// The event before the sequence: later ones have higher positions.
	var last newest
	err = conn.QueryRow(ctx, t.s.sql.newest).Scan(&last.position, &last.id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	t.head, t.proven, t.hole, t.hold = t.published, t.published, hole{}, hold{}
	t.mark.restart(t.published)
	if _, err := t.readHead(ctx, &t.view); err != nil {
		return err
	}
	if last.position > t.head {
		return wentBack("there is an event at position %d, and the sequence %s stands at %d", last.position, t.s.sequence, t.head)
	}
	if !t.told {
		t.newest, err = t.newestAt(ctx, t.published)
		return err
	}
	if t.past == nil {
		t.past = &past{published: t.published, newest: t.newest}
	}
	t.past.writers = nil
	return t.checkPast(ctx)
}

// checkPast compares the end of what was published with what is there now.
func (t *tail) checkPast(ctx context.Context) error {
	now, err := t.newestAt(ctx, t.past.published)
	if err != nil || now == t.past.newest {
		return err
	}
	return wentBack("before the connection was lost the last event up to position %d was %q at %d, and now it is %q at %d",
		t.past.published, t.past.newest.id, t.past.newest.position, now.id, now.position)
}

// scan looks who holds the events table's lock, and returns what is final now that this is known, and
// a place in the write-ahead log behind every position up to highWater.
func (t *tail) scan(ctx context.Context, highWater event.Position) (mark event.Position, drawnBefore string, err error) {
	started, drawnBefore, ids, err := t.s.lookAtLocks(ctx, t.conn)
	if err != nil {
		return 0, "", err
	}
	if t.started != "" && t.started != started {
		return 0, "", errRestarted
	}
	t.started = started
	mark = t.mark.scan(highWater, ids)
	return mark, drawnBefore, t.settlePast(ctx, ids)
}

// settlePast looks at the past for the last time once the writers that the connection found have ended.
func (t *tail) settlePast(ctx context.Context, ids []string) error {
	if t.past == nil {
		return nil
	}
	first := t.past.writers == nil
	open := make(map[string]bool)
	for _, id := range ids {
		if first || t.past.writers[id] {
			open[id] = true
		}
	}
	t.past.writers = open
	if len(open) > 0 {
		return nil
	}
	if err := t.checkPast(ctx); err != nil {
		return err
	}
	t.past = nil
	return nil
}

// lookAtLocks lists the virtual transactions that hold the events table's lock, after the times that
// come with the look.
func (s *Store) lookAtLocks(ctx context.Context, q querier) (started, walPlace string, ids []string, err error) {
	rows, err := q.Query(ctx, s.sql.lockers, s.relation)
	if err != nil {
		return "", "", nil, err
	}
	var id *string
	_, err = pgx.ForEachRow(rows, []any{&started, &walPlace, &id}, func() error {
		if id != nil {
			ids = append(ids, *id)
		}
		return nil
	})
	return started, walPlace, ids, err
}
