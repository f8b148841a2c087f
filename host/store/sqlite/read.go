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

// scanStep is how many events a search looks at before it looks at its context. It also ends the
// statement, so that a long search does not keep the WAL from being checkpointed.
const scanStep = 50_000

// errEnough ends a query that has given what was asked for.
var errEnough = errors.New("enough")

// Read returns events of (After, UpTo] in position order.
func (s *Store) Read(ctx context.Context, o store.ReadOptions) (event.Batch, error) {
	b := event.Batch{UpTo: o.UpTo}
	searching := o.Stream == "" && len(o.Filter.Types) > 0
	if span := int64(o.UpTo - o.After); span > 0 && o.Stream == "" && !searching {
		b.Events = make([]event.Event, 0, min(int64(o.Limit), span, 8192))
	}
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
	err := s.read(ctx, func(c *conn) error {
		if !searching { // nothing is read that is not wanted
			sql, args := readSQL(o, o.After, o.UpTo)
			return c.query(ctx, collect, sql, args...)
		}
		return inSteps(ctx, c, o.After, o.UpTo, func(after, upTo event.Position) error {
			sql, args := readSQL(o, after, upTo)
			return c.query(ctx, collect, sql, args...)
		})
	})
	if err != nil && !errors.Is(err, errEnough) {
		return event.Batch{}, fmt.Errorf("read events after %d: %w", o.After, err)
	}
	return b, nil
}

func readSQL(o store.ReadOptions, after, upTo event.Position) (string, []driver.Value) {
	where := []string{"position > ?", "position <= ?"}
	args := []driver.Value{int64(after), int64(upTo)}
	from := "events"
	if o.Stream != "" {
		// Left to itself SQLite walks the whole log to save the sorting of one stream.
		from += " INDEXED BY events_stream_version"
		where = append(where, "stream = ?")
		args = append(args, o.Stream)
		if v := o.Versions; v != nil {
			where = append(where, "version > ?", "version <= ?")
			args = append(args, v.After, v.UpTo)
		}
	}
	if n := len(o.Filter.Types); n > 0 {
		where = append(where, "type IN (?"+strings.Repeat(", ?", n-1)+")")
		for _, t := range o.Filter.Types {
			args = append(args, t)
		}
	}
	return "SELECT " + eventColumns + " FROM " + from + " WHERE " + strings.Join(where, " AND ") + " ORDER BY position LIMIT ?", append(args, int64(o.Limit))
}

// inSteps calls f with one span of (after, upTo] after another, each of scanStep events at most.
func inSteps(ctx context.Context, c *conn, after, upTo event.Position, f func(after, upTo event.Position) error) error {
	for after < upTo {
		end := upTo
		_, err := c.one(func(r row) { end = min(upTo, event.Position(r.int(0))) },
			"SELECT position FROM events WHERE position > ? ORDER BY position LIMIT 1 OFFSET ?", int64(after), int64(scanStep-1))
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = f(after, end)
		}
		if err != nil {
			return err
		}
		after = end
	}
	return nil
}

// PositionBefore returns the highest position below every event recorded at or after t.
func (s *Store) PositionBefore(ctx context.Context, t time.Time) (event.Position, error) {
	at := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		at++ // stored times are whole microseconds
	}
	var p event.Position
	err := s.read(ctx, func(c *conn) (err error) {
		if p, err = highest(c); err != nil {
			return err
		}
		// Times need not rise with positions, so no search but a walk finds the first.
		return inSteps(ctx, c, 0, p, func(after, upTo event.Position) error {
			found, err := c.one(func(r row) { p = event.Position(r.int(0)) - 1 },
				"SELECT position FROM events WHERE position > ? AND position <= ? AND time >= ? ORDER BY position LIMIT 1", int64(after), int64(upTo), at)
			if err == nil && found {
				err = errEnough
			}
			return err
		})
	})
	if err != nil && !errors.Is(err, errEnough) {
		return 0, fmt.Errorf("find the position before %v: %w", t, err)
	}
	return p, nil
}

// PositionAt returns the highest position of an event recorded at t or before, and how many below it were recorded later.
func (s *Store) PositionAt(ctx context.Context, t time.Time, upTo event.Position) (p event.Position, later int64, err error) {
	at := t.UnixMicro()
	err = s.read(ctx, func(c *conn) error {
		p, later = 0, 0
		err := inSteps(ctx, c, 0, upTo, func(after, upTo event.Position) error {
			_, err := c.one(func(r row) { p = max(p, event.Position(r.int(0))) },
				"SELECT coalesce(max(position), 0) FROM events WHERE position > ? AND position <= ? AND time <= ?", int64(after), int64(upTo), at)
			return err
		})
		if err != nil {
			return err
		}
		return inSteps(ctx, c, 0, p, func(after, upTo event.Position) error {
			_, err := c.one(func(r row) { later += r.int(0) },
				"SELECT count(*) FROM events WHERE position > ? AND position <= ? AND time > ?", int64(after), int64(upTo), at)
			return err
		})
	})
	if err != nil {
		return 0, 0, fmt.Errorf("find the position at %v: %w", t, err)
	}
	return p, later, nil
}

// highest is the highest position ever committed, which outlives its event.
func highest(c *conn) (p event.Position, err error) {
	_, err = c.one(func(r row) { p = event.Position(r.int(0)) }, "SELECT seq FROM sqlite_sequence WHERE name = 'events'")
	return p, err
}
