package postgres

import (
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// planner decides what becomes of append requests, given what the store holds. It does no I/O. Later
// requests see what earlier ones will store.
type planner struct {
	heads  map[string]head        // by stream
	stored map[string]*knownEvent // by id
	rows   []newRow
}

// head is a stream's end. Version 0 is a stream without events.
type head struct {
	version    int64
	streamType string
}

// knownEvent is stored already, or will be by row.
type knownEvent struct {
	event.Event
	row int // index of rows, or -1
}

// newRow is an event to insert.
type newRow struct {
	stream, streamType, id string
	version                int64
	event                  *store.NewEvent
}

const isStored = -1

// newPlanner takes the rows of statements.lookUp: heads have position 0.
func newPlanner(found []event.Event) *planner {
	p := &planner{heads: make(map[string]head), stored: make(map[string]*knownEvent)}
	for _, e := range found {
		if e.Position == 0 {
			p.heads[e.Stream] = head{e.Version, e.StreamType}
		} else {
			p.stored[e.ID] = &knownEvent{e, isStored}
		}
	}
	return p
}

// outcome is what becomes of one event of a request.
type outcome struct {
	known     *knownEvent
	duplicate bool
}

// add decides one request: all its events, or an error and nothing of it.
func (p *planner) add(r *request) ([]outcome, error) {
	undo := p.begin()
	var outcomes []outcome
	ids := r.ids
	for i := range r.Streams {
		s := &r.Streams[i]
		added, err := p.addStream(s, ids[:len(s.Events)])
		if err != nil {
			undo()
			return nil, err
		}
		outcomes, ids = append(outcomes, added...), ids[len(s.Events):]
	}
	return outcomes, nil
}

// begin returns a function that takes back what is planned from now on.
func (p *planner) begin() (undo func()) {
	first := len(p.rows)
	return func() {
		for i := len(p.rows) - 1; i >= first; i-- {
			row := p.rows[i]
			delete(p.stored, row.id)
			h := p.heads[row.stream]
			if h.version--; h.version == 0 {
				h.streamType = ""
			}
			p.heads[row.stream] = h
		}
		p.rows = p.rows[:first]
	}
}

func (p *planner) addStream(s *store.StreamAppend, ids []string) ([]outcome, error) {
	outcomes := make([]outcome, 0, len(s.Events))
	actual := p.heads[s.Stream].version
	next := int64(s.Expected) + 1 // the version the next event must get, if it matters
	for i := range s.Events {
		e := &s.Events[i]
		known, duplicate := p.stored[ids[i]]
		if duplicate && !store.SameContent(&known.Event, s, e) {
			return nil, &idTaken{known}
		}
		if !duplicate {
			var err error
			if known, err = p.plan(s, e, ids[i]); err != nil {
				return nil, err
			}
		}
		if s.Expected != store.AnyVersion && known.Version != next {
			return nil, &store.VersionConflictError{Stream: s.Stream, Expected: s.Expected, Actual: actual}
		}
		next++
		outcomes = append(outcomes, outcome{known, duplicate})
	}
	return outcomes, nil
}

// plan adds an event to the end of its stream.
func (p *planner) plan(s *store.StreamAppend, e *store.NewEvent, id string) (*knownEvent, error) {
	h := p.heads[s.Stream]
	switch {
	case h.version == 0:
		h.streamType = s.StreamType
	case s.StreamType != "" && s.StreamType != h.streamType:
		return nil, &store.InvalidError{Field: "stream_type", Stream: s.Stream, StreamType: s.StreamType, Reason: fmt.Sprintf("of stream %q is %q, not %q", s.Stream, h.streamType, s.StreamType)}
	}
	h.version++
	p.heads[s.Stream] = h
	known := &knownEvent{row: len(p.rows), Event: event.Event{
		Stream: s.Stream, StreamType: h.streamType, Version: h.version, ID: id, Type: e.Type, Data: e.Data,
		Metadata: metadataOf(e), ContentType: contentTypeOf(e), Time: timeToStore(e),
	}}
	p.stored[id] = known
	p.rows = append(p.rows, newRow{stream: s.Stream, streamType: h.streamType, id: id, version: h.version, event: e})
	return known, nil
}

// idTaken says that an id is another event's, whose position may be known only after the insert.
type idTaken struct{ by *knownEvent }

func (e *idTaken) Error() string { return e.final().Error() }

func (e *idTaken) final() error {
	return &store.IDConflictError{ID: e.by.ID, Position: e.by.Position}
}

func metadataOf(e *store.NewEvent) []byte {
	if len(e.Metadata) == 0 {
		return []byte("{}")
	}
	return e.Metadata
}

func contentTypeOf(e *store.NewEvent) string {
	if e.ContentType == "" {
		return store.DefaultContentType
	}
	return e.ContentType
}

// timeToStore is zero where the database's clock decides.
func timeToStore(e *store.NewEvent) time.Time {
	if e.Time.IsZero() {
		return time.Time{}
	}
	return e.Time.UTC().Truncate(time.Microsecond)
}
