package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// querier is what a pool, a connection and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Read implements store.Log.
func (s *Store) Read(ctx context.Context, o store.ReadOptions) (event.Batch, error) {
	if o.Limit < 1 {
		return event.Batch{}, fmt.Errorf("read events: the limit is %d, and must be at least 1", o.Limit)
	}
	if o.UpTo <= o.After {
		return event.Batch{UpTo: o.UpTo}, nil
	}
	events, err := s.readRange(ctx, s.reads, o)
	if err != nil {
		return event.Batch{}, fail(ctx, "read events", err)
	}
	batch := event.Batch{Events: events, UpTo: o.UpTo}
	if ended(o, events) {
		batch.UpTo = events[len(events)-1].Position
	}
	return batch, nil
}

// ended reports whether a bound ended the read before its span did. It measures bytes exactly as the
// statement does: if they differed, events would be skipped.
func ended(o store.ReadOptions, events []event.Event) bool {
	if len(events) >= o.Limit {
		return true
	}
	bytes := 0
	for i := range events {
		bytes += len(events[i].Data) + eventOverhead
	}
	return o.MaxBytes > 0 && bytes >= o.MaxBytes
}

func (s *Store) readRange(ctx context.Context, q querier, o store.ReadOptions) ([]event.Event, error) {
	maxBytes := int64(math.MaxInt64)
	if o.MaxBytes > 0 {
		maxBytes = int64(o.MaxBytes)
	}
	types := o.Filter.Types
	after, upTo := int64(o.After), int64(o.UpTo)
	var rows pgx.Rows
	var err error
	switch {
	case o.Stream != "":
		versions := store.Versions{UpTo: math.MaxInt64}
		if o.Versions != nil {
			versions = *o.Versions
		}
		rows, err = q.Query(ctx, s.sql.readStream, binaryResults, after, upTo, o.Limit, append([]string{}, types...), o.Stream, maxBytes, versions.After, versions.UpTo)
	case o.MaxBytes > 0 && len(types) > 0:
		rows, err = q.Query(ctx, s.sql.readTypesBounded, binaryResults, after, upTo, o.Limit, types, maxBytes)
	case o.MaxBytes > 0:
		rows, err = q.Query(ctx, s.sql.readBounded, binaryResults, after, upTo, o.Limit, maxBytes)
	case len(types) > 0:
		rows, err = q.Query(ctx, s.sql.readTypes, binaryResults, after, upTo, o.Limit, types)
	default:
		rows, err = q.Query(ctx, s.sql.read, binaryResults, after, upTo, o.Limit)
	}
	if err != nil {
		return nil, err
	}
	return collectEvents(rows)
}

func collectEvents(rows pgx.Rows) ([]event.Event, error) {
	defer rows.Close()
	var events []event.Event
	var reader eventReader
	for rows.Next() {
		events = append(events, event.Event{})
		if err := reader.read(&events[len(events)-1], rows.RawValues()); err != nil {
			return nil, err
		}
	}
	return events, rows.Err()
}

// PositionBefore implements store.Log. It reads the whole log, since times need not rise with positions.
//
// Events that are not committed yet count too: it waits until those drawn so far are final, and if that
// takes too long it fails and names who keeps it waiting.
func (s *Store) PositionBefore(ctx context.Context, t time.Time) (event.Position, error) {
	final, err := s.settle(ctx)
	if err != nil {
		return 0, fmt.Errorf("find the position before %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	var first *int64
	if whole := t.Truncate(time.Microsecond); whole.Before(t) {
		t = whole.Add(time.Microsecond) // times are stored in microseconds: what is at or after t is from there on
	}
	err = s.reads.QueryRow(ctx, s.sql.firstSince, t, final).Scan(&first)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fail(ctx, "find the position before a time", err)
	}
	if first != nil {
		return event.Position(*first) - 1, nil
	}
	return final, nil
}

// PositionAt implements store.Log. It reads the whole log, as PositionBefore does.
func (s *Store) PositionAt(ctx context.Context, t time.Time, upTo event.Position) (p event.Position, later int64, err error) {
	t = t.Truncate(time.Microsecond) // as times are stored: none is between the two
	err = s.reads.QueryRow(ctx, s.sql.lastUntil, t, int64(upTo)).Scan(&p, &later)
	return p, later, fail(ctx, "find the position at a time", err)
}

// settle waits until every position handed out by now is final and returns the highest of them.
func (s *Store) settle(ctx context.Context) (event.Position, error) {
	const patience, pause = 10 * time.Second, 10 * time.Millisecond
	tail := s.Tail(0)
	defer tail.Close()
	deadline := time.Now().Add(patience)
	var goal event.Position
	for first := true; ; first = false {
		state, err := tail.Poll(ctx, 1)
		if err != nil {
			return 0, err
		}
		if first {
			goal = state.Head
		}
		if state.Watermark >= goal {
			return goal, nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%w: an event that is not committed yet may be older (%s); end that transaction, or try again", store.ErrUnavailable, nameHolders(state.Holders))
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
