package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"eshost/host/event"
)

// AppendRequest is one caller's atomic append to one or several streams.
type AppendRequest struct {
	Streams []StreamAppend
}

// StreamAppend adds events to the end of one stream.
type StreamAppend struct {
	Stream string
	// StreamType is the aggregate's kind. Empty means what the stream already has; another kind
	// than the stream's is refused with ErrInvalid.
	StreamType string
	// Expected is the version the stream must have before the first of Events. Events that are
	// stored already (same id, same content) count as stored by this request: they are answered
	// with their old positions, and those that follow must continue from them.
	Expected Expected
	Events   []NewEvent
}

// NewEvent is an event to append.
type NewEvent struct {
	ID          string // empty means a new one is made
	Type        string
	Data        []byte
	Metadata    []byte    // a JSON object; empty means {}
	ContentType string    // empty means application/json
	Time        time.Time // zero means now, by the database's clock
}

// Expected is the stream version an append asks for: a number of events already in the stream, or AnyVersion.
type Expected int64

const (
	// AnyVersion appends whatever the stream's version.
	AnyVersion Expected = -1
	// NoStream appends only if the stream has no events.
	NoStream Expected = 0
)

func (e Expected) String() string {
	switch e {
	case AnyVersion:
		return "any"
	case NoStream:
		return "none"
	}
	return fmt.Sprint(int64(e))
}

// AppendResult answers one AppendRequest.
type AppendResult struct {
	// Events is in the request's order, all streams one after another.
	Events []Recorded
	Err    error
}

// Recorded is where an event was stored.
type Recorded struct {
	ID       string
	Stream   string
	Version  int64
	Position event.Position
	// Duplicate says that the event had been stored before.
	Duplicate bool
}

// Limits of one event, in bytes. They hold for every driver.
const (
	MaxNameBytes     = 512 // stream, stream type, event type, id, content type
	MaxDataBytes     = 16 << 20
	MaxMetadataBytes = 256 << 10
)

// Validate reports the first thing in the request that no driver would store, as ErrInvalid.
func (r AppendRequest) Validate() error {
	if len(r.Streams) == 0 {
		return &InvalidError{Field: "request", Reason: "has no events"}
	}
	seen := make(map[string]bool)
	for _, s := range r.Streams {
		if err := s.validate(); err != nil {
			return err
		}
		for _, e := range s.Events {
			if e.ID == "" {
				continue
			}
			if seen[e.ID] {
				return &InvalidError{Field: "id", Reason: fmt.Sprintf("%q is used twice in one request", e.ID)}
			}
			seen[e.ID] = true
		}
	}
	return nil
}

func (s StreamAppend) validate() error {
	if err := validateName("stream", s.Stream, true); err != nil {
		return err
	}
	if err := validateName("stream_type", s.StreamType, false); err != nil {
		return err
	}
	if s.Expected < AnyVersion {
		return &InvalidError{Field: "expected_version", Reason: fmt.Sprintf("must be any, none or a version, is %d", s.Expected)}
	}
	if len(s.Events) == 0 {
		return &InvalidError{Field: "events", Reason: fmt.Sprintf("of stream %q are missing", s.Stream)}
	}
	for i := range s.Events {
		if err := s.Events[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

func (e *NewEvent) validate() error {
	if err := validateName("type", e.Type, true); err != nil {
		return err
	}
	if err := validateName("id", e.ID, false); err != nil {
		return err
	}
	if err := validateName("content_type", e.ContentType, false); err != nil {
		return err
	}
	if len(e.Data) > MaxDataBytes {
		return &InvalidError{Field: "data", Reason: fmt.Sprintf("has %d bytes, at most %d are allowed", len(e.Data), MaxDataBytes)}
	}
	if y := e.Time.UTC().Year(); !e.Time.IsZero() && (y < 1 || y > 9999) {
		return &InvalidError{Field: "time", Reason: "must lie between the years 1 and 9999"}
	}
	return e.validateMetadata()
}

func (e *NewEvent) validateMetadata() error {
	if len(e.Metadata) == 0 {
		return nil
	}
	if len(e.Metadata) > MaxMetadataBytes {
		return &InvalidError{Field: "metadata", Reason: fmt.Sprintf("has %d bytes, at most %d are allowed", len(e.Metadata), MaxMetadataBytes)}
	}
	trimmed := bytes.TrimLeft(e.Metadata, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' || !event.ValidJSON(e.Metadata) {
		return &InvalidError{Field: "metadata", Reason: "must be a JSON object"}
	}
	return nil
}

func validateName(field, s string, required bool) error {
	switch {
	case s == "" && required:
		return &InvalidError{Field: field, Reason: "is missing"}
	case len(s) > MaxNameBytes:
		return &InvalidError{Field: field, Reason: fmt.Sprintf("has %d bytes, at most %d are allowed", len(s), MaxNameBytes)}
	case !utf8.ValidString(s) || bytes.IndexByte([]byte(s), 0) >= 0:
		return &InvalidError{Field: field, Reason: "must be UTF-8 without zero bytes"}
	}
	return nil
}

// SameContent reports whether the stored event is what the request asks to store again. A time the
// request does not name is not compared.
func SameContent(stored *event.Event, s *StreamAppend, e *NewEvent) bool {
	return stored.Stream == s.Stream &&
		(s.StreamType == "" || stored.StreamType == s.StreamType) &&
		stored.Type == e.Type &&
		bytes.Equal(stored.Data, e.Data) &&
		sameJSON(stored.Metadata, e.Metadata) &&
		(stored.ContentType == e.ContentType || e.ContentType == "" && stored.ContentType == DefaultContentType) &&
		(e.Time.IsZero() || stored.Time.Equal(e.Time.Truncate(time.Microsecond)))
}

// DefaultContentType is what an event has that names none.
const DefaultContentType = "application/json"

func sameJSON(a, b []byte) bool {
	if len(b) == 0 {
		b = []byte("{}")
	}
	if bytes.Equal(a, b) {
		return true
	}
	var ca, cb bytes.Buffer
	return json.Compact(&ca, a) == nil && json.Compact(&cb, b) == nil && bytes.Equal(ca.Bytes(), cb.Bytes())
}
