package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

const eventColumns = "position, stream, stream_type, version, id, type, data, metadata, content_type, time"

func (r row) event() event.Event {
	return event.Event{
		Position: event.Position(r.int(0)), Stream: r.text(1), StreamType: r.text(2), Version: r.int(3), ID: r.text(4), Type: r.text(5),
		Data: r.bytes(6), Metadata: r.bytes(7), ContentType: r.text(8), Time: r.time(9),
	}
}

// scanStep is how many events a filtered read looks at before it looks at its context. It also ends
// the statement, so that a long search does not keep the WAL from being checkpointed.
const scanStep = 50_000

// errEnough ends a query that has given what was asked for.
var errEnough = errors.New("enough")

// Read returns events of (After, UpTo] in position order.
func (s *Store) Read(ctx context.Context, o store.ReadOptions) (event.Batch, error) {
	b := event.Batch{UpTo: o.UpTo}
	err := s.read(ctx, func(c *conn) error {
		size := 0
		collect := func(r row) error {
			e := r.event()
			b.Events = append(b.Events, e)
			size += e.Size()
			if len(b.Events) >= o.Limit || o.MaxBytes > 0 && size >= o.MaxBytes {
				b.UpTo = e.Position
				return errEnough
			}
			return nil
		}
		for after, more := o.After, true; more; {
			upTo := o.UpTo
			if len(o.Filter.Types) > 0 && o.Stream == "" {
				var err error
				if upTo, err = stepEnd(ctx, c, after, o.UpTo); err != nil {
					return err
				}
			}
			sql, args := readSQL(o, after, upTo)
			if err := c.query(ctx, collect, sql, args...); err != nil {
				return err
			}
			after, more = upTo, upTo < o.UpTo
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return event.Batch{}, fmt.Errorf("read events after %d: %w", o.After, err)
	}
	return b, nil
}

func readSQL(o store.ReadOptions, after, upTo event.Position) (string, []driver.Value) {
	where := []string{"position > ?", "position <= ?"}
	args := []driver.Value{int64(after), int64(upTo)}
	if o.Stream != "" {
		where = append(where, "stream = ?")
		args = append(args, o.Stream)
	}
	if n := len(o.Filter.Types); n > 0 {
		where = append(where, "type IN (?"+strings.Repeat(", ?", n-1)+")")
		for _, t := range o.Filter.Types {
			args = append(args, t)
		}
	}
	from := "events"
	if o.Stream != "" {
		// Left to itself SQLite walks the whole log to save the sorting of one stream.
		from += " INDEXED BY events_stream_version"
	}
	return "SELECT " + eventColumns + " FROM " + from + " WHERE " + strings.Join(where, " AND ") + " ORDER BY position LIMIT ?", append(args, int64(o.Limit))
}

// stepEnd is how far a read that starts after a position goes at once.
func stepEnd(ctx context.Context, c *conn, after, upTo event.Position) (event.Position, error) {
	end := upTo
	_, err := c.one(ctx, func(r row) { end = min(upTo, event.Position(r.int(0))) },
		"SELECT position FROM events WHERE position > ? ORDER BY position LIMIT 1 OFFSET ?", int64(after), int64(scanStep))
	return end, err
}

// PositionBefore returns the highest position below every event recorded at or after t.
func (s *Store) PositionBefore(ctx context.Context, t time.Time) (event.Position, error) {
	var p event.Position
	at := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		at++ // stored times are whole microseconds
	}
	err := s.read(ctx, func(c *conn) error {
		// Times need not rise with positions, so no search but a walk finds the first.
		found, err := c.one(ctx, func(r row) { p = event.Position(r.int(0)) - 1 }, "SELECT position FROM events WHERE time >= ? ORDER BY position LIMIT 1", at)
		if err == nil && !found {
			p, err = highest(ctx, c)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find the position before %v: %w", t, err)
	}
	return p, nil
}

// highest is the highest position ever committed, which outlives its event.
func highest(ctx context.Context, c *conn) (p event.Position, err error) {
	_, err = c.one(ctx, func(r row) { p = event.Position(r.int(0)) }, "SELECT seq FROM sqlite_sequence WHERE name = 'events'")
	return p, err
}
