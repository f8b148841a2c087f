// Package event holds the leaf types that every part of the host shares: the event itself,
// its place in the log, what a handler does (effects) and how it fails.
package event

import (
	"encoding/json"
	"slices"
	"time"
)

// Position is an event's place in the log's global order. The first event of a log has
// position 1 or more; 0 means "before the first event". Positions may have holes.
type Position int64

// Event is one stored event.
type Event struct {
	Position   Position
	Stream     string // the aggregate's identity
	StreamType string // the aggregate's kind, may be empty
	Version    int64  // place in the stream, from 1, without holes
	ID         string // unique in the log
	Type       string
	Data       []byte // exactly the bytes that were appended
	Metadata   []byte // a JSON object, exactly as appended
	// ContentType says what Data is, as a media type.
	ContentType string
	// Time is when the event was recorded (or what its producer said), UTC, in microseconds.
	Time time.Time
}

// Size is what an event costs in memory, in bytes, near enough for bounds.
func (e *Event) Size() int {
	const fixed = 192
	return fixed + len(e.Stream) + len(e.StreamType) + len(e.ID) + len(e.Type) + len(e.Data) + len(e.Metadata) + len(e.ContentType)
}

// Filter says which events a reader wants. The zero Filter wants all.
type Filter struct {
	// Types lists the wanted event types. Empty means all.
	Types []string
	// Partition is which of these events are wanted. A store knows nothing of it: who reads leaves out the others.
	Partition Partition
}

// Match reports whether the filter wants e.
func (f Filter) Match(e *Event) bool { return f.MatchType(e.Type) && f.Partition.Has(e) }

// MatchType reports whether the filter wants events of a type, as far as that says.
func (f Filter) MatchType(eventType string) bool {
	return len(f.Types) == 0 || slices.Contains(f.Types, eventType)
}

// Batch is a span of the log as one reader sees it: every event after the position the reader
// named, up to and including UpTo, that its filter wants, in order.
type Batch struct {
	Events []Event
	UpTo   Position
}

// Document is one entry of a read model.
type Document struct {
	Collection string
	Key        string
	Data       json.RawMessage
}

// DocumentWrite is the effect of setting or deleting a document. Position is the event that did it.
type DocumentWrite struct {
	Collection string
	Key        string
	Data       []byte // JSON; nil deletes
	Position   Position
}

// Emitted is the effect of a handler that emits an event: it is appended to Stream, whatever that
// stream's version, in the transaction that moves the checkpoint past Cause.
type Emitted struct {
	Cause       Position // the event that was being handled
	ID          string   // derived from plugin, cause and index, so that a replay gives the same
	Stream      string
	StreamType  string
	Type        string
	Data        []byte
	Metadata    []byte // a JSON object
	ContentType string
}
