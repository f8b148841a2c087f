package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"eshost/host/event"
	"eshost/host/store"
)

// Append stores the requests in one transaction.
func (s *Store) Append(ctx context.Context, reqs []store.AppendRequest) []store.AppendResult {
	results := make([]store.AppendResult, len(reqs))
	valid := 0
	for i, r := range reqs {
		if results[i].Err = r.Validate(); results[i].Err == nil {
			valid++
		}
	}
	if valid == 0 {
		return results
	}
	err := s.write(ctx, func(c *conn) error {
		a := newAppender(c)
		for i, r := range reqs {
			if errors.Is(results[i].Err, store.ErrInvalid) {
				continue
			}
			recorded, err := a.request(r)
			if err != nil && !refused(err) {
				return err
			}
			results[i] = store.AppendResult{Events: recorded, Err: err}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("append: %w", err)
		for i, r := range reqs {
			if r.Validate() == nil {
				results[i] = store.AppendResult{Err: err}
			}
		}
	}
	return results
}

// refused reports whether the error says something about the request and not about the database.
func refused(err error) bool {
	return errors.Is(err, store.ErrVersionConflict) || errors.Is(err, store.ErrIDConflict) || errors.Is(err, store.ErrInvalid)
}

// appender appends within one write transaction. Nobody else can write meanwhile, so what it has read
// of a stream's end stays true.
type appender struct {
	c     *conn
	now   int64
	heads map[string]head
}

// head is a stream's end.
type head struct {
	version int64
	kind    string // stream type
}

func newAppender(c *conn) *appender {
	// SQLite's clock is this machine's, of which Go knows the microseconds.
	return &appender{c: c, now: time.Now().UnixMicro(), heads: map[string]head{}}
}

const (
	insertEvent = `INSERT INTO events (stream, stream_type, version, id, type, data, metadata, content_type, time)
VALUES (?, ?, ?, ?, ?, coalesce(?, x''), ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	selectHead = `SELECT version, stream_type FROM events WHERE stream = ? ORDER BY version DESC LIMIT 1`
)

// request stores a valid request whole or not at all.
func (a *appender) request(r store.AppendRequest) ([]store.Recorded, error) {
	n := 0
	for i := range r.Streams {
		n += len(r.Streams[i].Events)
	}
	if n == 1 { // one INSERT is whole by itself
		return a.streams(r, n)
	}
	if _, err := a.c.exec("SAVEPOINT request"); err != nil {
		return nil, err
	}
	recorded, err := a.streams(r, n)
	if err != nil {
		clear(a.heads) // some may be of events that go now
		if _, failed := a.c.exec("ROLLBACK TO request"); failed != nil {
			return nil, errors.Join(failed, err)
		}
	}
	if _, failed := a.c.exec("RELEASE request"); failed != nil {
		return nil, failed
	}
	return recorded, err
}

func (a *appender) streams(r store.AppendRequest, n int) ([]store.Recorded, error) {
	recorded := make([]store.Recorded, 0, n)
	for i := range r.Streams {
		var err error
		if recorded, err = a.stream(&r.Streams[i], recorded); err != nil {
			return nil, err
		}
	}
	return recorded, nil
}

// stream appends to one stream and adds where its events are to recorded.
func (a *appender) stream(sa *store.StreamAppend, recorded []store.Recorded) ([]store.Recorded, error) {
	h, err := a.head(sa.Stream)
	if err != nil {
		return nil, err
	}
	switch {
	case sa.StreamType == "" || sa.StreamType == h.kind:
	case h.version == 0:
		h.kind = sa.StreamType
	default:
		return nil, &store.InvalidError{Field: "stream_type", Stream: sa.Stream, StreamType: sa.StreamType, Reason: fmt.Sprintf("of stream %q is %q, not %q", sa.Stream, h.kind, sa.StreamType)}
	}
	for i := range sa.Events {
		// With an exact version the events take the versions that follow it, whether they are stored
		// now or were before.
		next := h.version + 1
		if sa.Expected != store.AnyVersion {
			next = int64(sa.Expected) + int64(i) + 1
		}
		r, err := a.event(sa, &sa.Events[i], h, next)
		if err != nil {
			return nil, err
		}
		if !r.Duplicate {
			h.version = r.Version
			a.heads[sa.Stream] = h
		}
		recorded = append(recorded, r)
	}
	return recorded, nil
}

// event stores one event as the stream's version next, or finds it stored.
func (a *appender) event(sa *store.StreamAppend, e *store.NewEvent, h head, next int64) (store.Recorded, error) {
	r := store.Recorded{ID: e.ID, Stream: sa.Stream, Version: next}
	if next == h.version+1 {
		position, err := a.insert(sa, e, h, &r.ID, next)
		if err != nil || position != 0 {
			r.Position = position
			return r, err
		}
	}
	stored, found, err := a.find(e.ID)
	switch {
	case err != nil:
		return r, err
	case !found:
		return r, &store.VersionConflictError{Stream: sa.Stream, Expected: sa.Expected, Actual: h.version}
	case !store.SameContent(&stored, sa, e):
		return r, &store.IDConflictError{ID: e.ID, Position: stored.Position}
	case sa.Expected != store.AnyVersion && stored.Version != next:
		actual := h.version
		if actual == int64(sa.Expected) {
			actual = stored.Version - 1 // the stream is where it should be, but the event is from before
		}
		return r, &store.VersionConflictError{Stream: sa.Stream, Expected: sa.Expected, Actual: actual}
	}
	r.Version, r.Position, r.Duplicate = stored.Version, stored.Position, true
	return r, nil
}

// insert returns 0 if the event's id is taken.
func (a *appender) insert(sa *store.StreamAppend, e *store.NewEvent, h head, id *string, version int64) (event.Position, error) {
	if *id == "" {
		made, err := uuid.NewV7()
		if err != nil {
			return 0, fmt.Errorf("make an event id: %w", err)
		}
		*id = made.String()
	}
	metadata, contentType, at := "{}", store.DefaultContentType, a.now
	if len(e.Metadata) > 0 {
		metadata = string(e.Metadata)
	}
	if e.ContentType != "" {
		contentType = e.ContentType
	}
	if !e.Time.IsZero() {
		at = e.Time.UnixMicro()
	}
	res, err := a.c.exec(insertEvent, sa.Stream, h.kind, version, *id, e.Type, e.Data, metadata, contentType, at)
	if err != nil {
		return 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return 0, err
	}
	position, err := res.LastInsertId()
	return event.Position(position), err
}

func (a *appender) head(stream string) (head, error) {
	h, ok := a.heads[stream]
	if ok {
		return h, nil
	}
	_, err := a.c.one(func(r row) { h = head{r.int(0), r.text(1)} }, selectHead, stream)
	if err == nil {
		a.heads[stream] = h
	}
	return h, err
}

func (a *appender) find(id string) (e event.Event, found bool, err error) {
	if id == "" { // it had none, so it is not stored
		return e, false, nil
	}
	found, err = a.c.one(func(r row) { e = r.event() }, "SELECT "+eventColumns+" FROM events WHERE id = ?", id)
	return e, found, err
}
