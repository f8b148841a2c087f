package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"eshost/host/event"
	"eshost/host/eventjson"
	"eshost/host/store"
)

// trialEvents reads a file of events and gives each its place, as an empty store would.
func (a *app) trialEvents(file string) ([]event.Event, error) {
	in, _, err := a.input(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	reader := eventjson.NewReader(in)
	log := trialLog{streams: make(map[string]*trialStream), ids: make(map[string]int), time: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
	for {
		item, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var bad *eventjson.LineError
		if errors.As(err, &bad) {
			return nil, badInput("eshost append --help says what a line has", "%s:%d: %w", inputName(file), bad.Line, bad.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: read: %w", inputName(file), err)
		}
		if err := log.append(&item.Append); err != nil {
			return nil, badInput("eshost append would refuse the line too", "%s:%d: %w", inputName(file), item.Line, err)
		}
	}
	if len(log.events) == 0 {
		return nil, badInput(`write one JSON object a line, such as {"stream":"acc-1","type":"Deposited","data":{"amount":100}}`, "%s has no events", inputName(file))
	}
	return log.events, nil
}

// trialLog is an event log in memory.
type trialLog struct {
	events  []event.Event
	streams map[string]*trialStream
	ids     map[string]int // index in events
	time    time.Time      // of the last event
}

type trialStream struct {
	kind    string
	version int64
}

// append adds one event, by the rules of a store.
func (l *trialLog) append(s *store.StreamAppend) error {
	e := &s.Events[0]
	if at, there := l.ids[e.ID]; there && e.ID != "" {
		if store.SameContent(&l.events[at], s, e) {
			return nil // stored once
		}
		return &store.IDConflictError{ID: e.ID, Position: l.events[at].Position}
	}
	stream := l.streams[s.Stream]
	if stream == nil {
		stream = new(trialStream)
		l.streams[s.Stream] = stream
	}
	switch {
	case s.Expected != store.AnyVersion && int64(s.Expected) != stream.version:
		return &store.VersionConflictError{Stream: s.Stream, Expected: s.Expected, Actual: stream.version}
	case s.StreamType != "" && stream.kind != "" && s.StreamType != stream.kind:
		return fmt.Errorf("stream_type of stream %q is %q, not %q", s.Stream, stream.kind, s.StreamType)
	case stream.kind == "":
		stream.kind = s.StreamType
	}
	stream.version++
	l.add(s, stream, e)
	return nil
}

// add stores the event. What it does not say is derived from what it says, so that every run is the same.
func (l *trialLog) add(s *store.StreamAppend, stream *trialStream, e *store.NewEvent) {
	stored := event.Event{
		Position:    event.Position(len(l.events) + 1),
		Stream:      s.Stream,
		StreamType:  stream.kind,
		Version:     stream.version,
		ID:          e.ID,
		Type:        e.Type,
		Data:        e.Data,
		Metadata:    e.Metadata,
		ContentType: e.ContentType,
		Time:        e.Time.Truncate(time.Microsecond),
	}
	if stored.ID == "" {
		stored.ID = uuid.NewSHA1(trialIDs, fmt.Appendf(nil, "%s\x00%d", s.Stream, stream.version)).String()
	}
	if len(stored.Metadata) == 0 {
		stored.Metadata = []byte("{}")
	}
	if stored.ContentType == "" {
		stored.ContentType = store.DefaultContentType
	}
	if e.Time.IsZero() {
		stored.Time = l.time
	}
	l.time = stored.Time
	l.ids[stored.ID] = len(l.events)
	l.events = append(l.events, stored)
}

// trialIDs is the name space (RFC 9562, version 5) of ids that a file of events leaves out.
var trialIDs = uuid.MustParse("0d6f6f0e-55a6-4a0f-9d0b-7c1b7f1d2e9a")

// checkTypes refuses a filter that lets no event through.
func checkTypes(file string, events []event.Event, wanted []string) error {
	filter := event.Filter{Types: wanted}
	if slices.ContainsFunc(events, func(e event.Event) bool { return filter.Match(&e) }) {
		return nil
	}
	there := make(map[string]bool)
	for i := range events {
		there[events[i].Type] = true
	}
	return badInput("types in the file: "+shorten(strings.Join(slices.Sorted(maps.Keys(there)), ", "), 500), "%s has no event of a type the plugin gets: %s",
		inputName(file), strings.Join(wanted, ", "))
}
