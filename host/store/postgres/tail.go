package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// tail reads the end of the log on a connection of its own. See doc.go.
type tail struct {
	s    *Store
	conn *pgx.Conn // nil before the first Poll, and after one that failed
	view
	mark    watermark
	started string          // when the server was started, as it says
	past    *past           // what must have stayed as it was while there was no connection, until that is known
	told    bool            // a Poll has succeeded
	atRest  *event.Position // the head while nothing is drawn; nil if not known on this connection
	bell    int64           // as the last look at the head saw it
	hold    hold
	broken  error // ErrLogWentBack, for good
}

// view is how far the tail has come. A Poll works on a copy and keeps it only if it succeeds: what its
// caller was not told must be told by the next.
type view struct {
	head      event.Position
	proven    event.Position // final
	published event.Position // final, and a crash of the server cannot undo it
	newest    newest         // the last event at or below proven
	hole      hole
}

// newest is an event by which a log is recognized. Position 0 is an empty log.
type newest struct {
	position event.Position
	id       string
}

// hole is the positions without events between newest and proven. Their having been drawn is written
// to disk before any commit that follows, but not at once: if the server crashed now it would hand
// them out again. So they are not published before the log on disk has reached drawnBefore.
type hole struct {
	drawnBefore string // a place in the write-ahead log; empty if there is no such hole
	since       time.Time
}

// longestHole is how long a hole is kept back where nothing makes the server write its log. A crash in
// that very moment would be reported as a log that went back; it could not lose an event.
const longestHole = time.Second

// Tail implements store.Log.
func (s *Store) Tail(floor event.Position) store.Tail {
	return &tail{s: s, view: view{head: floor, proven: floor, published: floor}}
}

// Close implements store.Tail.
func (t *tail) Close() { t.disconnect() }

func (t *tail) disconnect() {
	if t.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = t.conn.Close(ctx) // it is of no more use, however it ends
	t.conn = nil
}

// Poll implements store.Tail. After an error the next Poll begins with a new connection and no
// memory of who held what.
func (t *tail) Poll(ctx context.Context, limit int) (store.TailState, error) {
	if t.broken != nil {
		return store.TailState{}, t.broken
	}
	state, err := t.poll(ctx, limit)
	switch {
	case err == nil:
		return state, nil
	case errors.Is(err, store.ErrLogWentBack):
		t.broken = err
	default:
		err = fail(ctx, "poll the log", err)
	}
	t.disconnect()
	return store.TailState{}, err
}

func (t *tail) poll(ctx context.Context, limit int) (store.TailState, error) {
	if t.conn == nil {
		if err := t.connect(ctx); err != nil {
			return store.TailState{}, err
		}
	}
	v := t.view
	flushed, err := t.readHead(ctx, &v)
	if err != nil {
		return store.TailState{}, err
	}
	var events []event.Event
	complete := true
	if v.head > v.proven || t.past != nil {
		if events, complete, err = t.advance(ctx, &v, limit); err != nil {
			return store.TailState{}, err
		}
	}
	v.publish(t.view, flushed, time.Now())
	holders, err := t.holders(ctx, v, time.Now())
	if err != nil {
		return store.TailState{}, err
	}
	t.view = v
	state := store.TailState{Watermark: v.published, Head: v.head, Complete: complete && t.told, Holders: holders, Bell: t.bell}
	if state.Complete {
		state.Events = events
	}
	t.told = true
	return state, nil
}

// readHead is all that an idle Poll asks of the database.
func (t *tail) readHead(ctx context.Context, v *view) (flushed bool, err error) {
	var drawn *event.Position // nil if nothing was drawn since the sequence was made or set
	if v.hole.drawnBefore == "" {
		err = t.conn.QueryRow(ctx, t.s.sql.head).Scan(&drawn, &t.bell)
	} else {
		err = t.conn.QueryRow(ctx, t.s.sql.headFlushed, v.hole.drawnBefore).Scan(&drawn, &t.bell, &flushed)
	}
	if err == nil && drawn == nil {
		drawn, err = t.headAtRest(ctx)
	} else {
		t.atRest = nil
	}
	if err != nil {
		return false, err
	}
	last := *drawn
	if last < v.head {
		return false, wentBack("positions up to %d had been handed out, and now the sequence %s stands at %d", v.head, t.s.sequence, last)
	}
	v.head = last
	return flushed, nil
}

// headAtRest returns the last position of a sequence that nothing was drawn from yet. Between two looks
// that find it so, it can be read without its lock.
func (t *tail) headAtRest(ctx context.Context) (*event.Position, error) {
	if t.atRest != nil {
		return t.atRest, nil
	}
	var last event.Position
	if err := t.conn.QueryRow(ctx, t.s.sql.headAtRest).Scan(&last); err != nil {
		return nil, err
	}
	var drawn *event.Position
	if err := t.conn.QueryRow(ctx, t.s.sql.head).Scan(&drawn, &t.bell); err != nil || drawn != nil {
		return drawn, err
	}
	t.atRest = &last
	return t.atRest, nil
}

func wentBack(format string, args ...any) error {
	return fmt.Errorf("%w: %s; a backup was restored, a standby took over that had not received everything, or the sequence was set back: "+
		"events may have been lost or their positions be used again, so read models must be rebuilt, or the sequence be set above every position ever used",
		store.ErrLogWentBack, fmt.Sprintf(format, args...))
}

// advance moves v.proven as far as can be proven, and returns the events it passed if they are few.
func (t *tail) advance(ctx context.Context, v *view, limit int) (events []event.Event, complete bool, err error) {
	from := v.proven
	complete = t.told
	// Without holes up to the head there is nothing to prove.
	if n := t.worthReading(v, limit); n > 0 {
		if events, _, err = t.read(ctx, from, v.head, n); err != nil {
			return nil, false, err
		}
		events = contiguous(from, events)
		v.proven = from + event.Position(len(events))
	}
	if v.proven < v.head || t.past != nil {
		mark, drawnBefore, err := t.scan(ctx, v.head)
		if err != nil {
			return nil, false, err
		}
		if mark > v.proven {
			v.proven, v.hole = mark, hole{drawnBefore: drawnBefore, since: time.Now()}
			if complete {
				// Invariant 1: a new statement, whose snapshot is younger than the look at the locks.
				if events, complete, err = t.read(ctx, from, mark, limit); err != nil {
					return nil, false, err
				}
			}
		}
	}
	if !complete {
		v.newest, err = t.newestAt(ctx, v.proven)
		return nil, false, err
	}
	if len(events) > 0 {
		last := &events[len(events)-1]
		v.newest = newest{last.Position, last.ID}
	}
	return events, true, nil
}

// worthReading is how many events to read in the hope that they have no holes: none the first time and
// where there are more than a Poll gives out; a few while the mark is held.
func (t *tail) worthReading(v *view, limit int) int {
	const few = 16
	span := v.head - v.proven
	switch {
	case !t.told || span == 0:
		return 0
	case !t.hold.since.IsZero():
		return int(min(span, few, event.Position(limit)))
	case span > event.Position(limit):
		return 0
	}
	return int(span)
}

// contiguous returns the events that follow from one after another. They are committed, so no position
// among them can still come.
func contiguous(from event.Position, events []event.Event) []event.Event {
	for i := range events {
		if events[i].Position != from+event.Position(i)+1 {
			return events[:i]
		}
	}
	return events
}

// mostBytes bounds what one Poll reads.
const mostBytes = 16 << 20

// read reads a span, and reports whether that was all of it.
func (t *tail) read(ctx context.Context, after, upTo event.Position, limit int) (events []event.Event, all bool, err error) {
	o := store.ReadOptions{After: after, UpTo: upTo, Limit: limit + 1, MaxBytes: mostBytes}
	events, err = t.s.readRange(ctx, t.conn, o)
	return events, !ended(o, events), err
}

func (t *tail) newestAt(ctx context.Context, p event.Position) (newest, error) {
	var n newest
	err := t.conn.QueryRow(ctx, t.s.sql.newestAt, int64(p)).Scan(&n.position, &n.id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return n, err
}

// publish decides how much of what is proven is told.
func (v *view) publish(before view, flushed bool, now time.Time) {
	switch {
	case v.newest.position >= v.proven: // committed after it was drawn, so on disk
	case v.proven == before.proven && (v.hole.drawnBefore == "" || flushed || now.Sub(v.hole.since) >= longestHole):
	default:
		v.published = max(v.published, v.newest.position)
		return
	}
	v.published, v.hole = v.proven, hole{}
}
