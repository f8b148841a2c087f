package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// hold is a mark that does not move because writers are open.
type hold struct {
	at      event.Position
	since   time.Time // zero where nothing is held
	asked   time.Time
	holders []store.Holder
}

const (
	// heldForLong is when it becomes worth a statement to learn who they are.
	heldForLong = 500 * time.Millisecond
	askAgain    = time.Second
)

// holders names the writers that keep the watermark below the head, once they have done so for a while.
// Invariant 9: nothing waits in silence.
func (t *tail) holders(ctx context.Context, v view, now time.Time) ([]store.Holder, error) {
	switch {
	case v.proven >= v.head:
		t.hold = hold{}
		return nil, nil
	case t.hold.since.IsZero() || t.hold.at != v.proven:
		t.hold = hold{at: v.proven, since: now}
	case now.Sub(t.hold.since) >= heldForLong && now.Sub(t.hold.asked) >= askAgain:
		who, err := t.s.nameWriters(ctx, t.conn, t.mark.blockers(v.head))
		if err != nil {
			return nil, err
		}
		t.hold.asked, t.hold.holders = now, who
	}
	return t.hold.holders, nil
}

// nameWriters says what the server lets us know about virtual transactions, the oldest first.
func (s *Store) nameWriters(ctx context.Context, q querier, ids []string) ([]store.Holder, error) {
	rows, err := q.Query(ctx, s.sql.holders, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Holder, error) {
		var h store.Holder
		var seconds float64
		err := row.Scan(&h.PID, &h.Application, &h.User, &h.State, &seconds)
		h.Age = time.Duration(seconds * float64(time.Second))
		return h, err
	})
}

// writers names who has an open transaction on the events table now, for error messages.
func (s *Store) writers(ctx context.Context) string {
	_, _, ids, err := s.lookAtLocks(ctx, s.reads)
	if err != nil {
		return "transactions that could not be listed (" + describe(err) + ")"
	}
	who, err := s.nameWriters(ctx, s.reads, ids)
	if err != nil {
		return "transactions that could not be listed (" + describe(err) + ")"
	}
	return nameHolders(who)
}

// nameHolders is a list of transactions for people.
func nameHolders(holders []store.Holder) string {
	if len(holders) == 0 {
		return "no transactions any more"
	}
	var names []string
	for _, h := range holders {
		name := fmt.Sprintf("pid %d", h.PID)
		if h.PID == 0 {
			name = fmt.Sprintf("prepared transaction %q", h.Application)
		} else if h.Application != "" {
			name += fmt.Sprintf(" (%s)", h.Application)
		}
		if h.State != "" && h.PID != 0 {
			name += ", " + h.State
		}
		if h.Age > 0 {
			name += ", open for " + h.Age.Round(time.Millisecond).String()
		}
		names = append(names, name)
	}
	return strings.Join(names, "; ")
}
