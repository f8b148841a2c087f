package store

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"eshost/host/event"
)

// Reload is a module that took over a plugin, or was refused.
type Reload struct {
	ID       int64
	Plugin   string
	Digest   string         // empty if the file could not be read
	Position event.Position // the checkpoint it took over at, or that the one before had
	Refused  string         // why; empty if it took over
	Host     string         // the host's name
	At       time.Time      // by the database's clock. Set on reading
}

// Request is what a person asks of a plugin's owner, and what became of it.
type Request struct {
	ID     int64 // in the order in which they were asked. Set on reading
	Plugin string
	Action Action
	Key    string // of the sequence
	// Position is the failed event of the sequence, so that what was asked about one event is never done
	// to another. A retry with none is for all sequences.
	Position   event.Position
	Generation int    // its number
	Partition  int    // that the sequence is in
	Digest     string // of a module
	// Data takes the place of the event's. Only Store.Request reads it; DataSize says how large it is.
	Data     []byte
	Who, Why string

	State       RequestState // Set on reading
	Answer      string       // one sentence once it is not pending. Set on reading
	DataSize    int          // Set on reading
	RequestedAt time.Time    // by the database's clock. Set on reading
	AnsweredAt  time.Time    // zero while it is pending. Set on reading
	// Age is how long ago RequestedAt is, by the database's clock. Set on reading.
	Age time.Duration
}

// Action is what is asked.
type Action string

const (
	// AskRetry tries a sequence's failed event again at once, its attempts counted anew.
	AskRetry Action = "retry"
	// AskSkip takes the failed event out of its sequence, unhandled, which goes on with the next one. A rebuild handles it
	// again.
	AskSkip Action = "skip"
	// AskEdit puts other data in the place of the failed event's, for this plugin and for ever, and tries it again.
	AskEdit Action = "edit"
	// AskPause makes a plugin stand still until AskResume.
	AskPause Action = "pause"
	// AskResume ends a pause.
	AskResume Action = "resume"
	// AskRebuild, AskRollback and AskDrop are about generations.
	AskRebuild  Action = "rebuild"
	AskRollback Action = "rollback"
	AskDrop     Action = "drop"
	// AskReload has the host whose ID is Key bring in hosts.toml and the modules as they are now. Its Plugin
	// is EveryPlugin.
	AskReload Action = "reload"
)

// EveryPlugin stands where a request is about a host, and not about one plugin. No plugin has this name.
const EveryPlugin = "*"

// RequestState says what became of a request.
type RequestState string

const (
	// Pending requests wait for the plugin's owner.
	Pending RequestState = "pending"
	// Done requests were carried out.
	Done RequestState = "done"
	// Refused requests changed nothing; the answer says why.
	Refused RequestState = "refused"
)

// Answer settles a request.
type Answer struct {
	Request int64
	State   RequestState // Done or Refused
	Text    string       // one sentence for whoever asked
}

// Replacement is data that a person has put in the place of an event's, for one plugin. The log never changes.
type Replacement struct {
	Plugin   string
	Position event.Position
	// Data is what the plugin's handler sees. Only Store.Replacement reads it; Size says how large it is.
	Data     []byte
	Who, Why string
	Size     int       // Set on reading
	At       time.Time // by the database's clock. Set on reading
}

// Pause is a person's wish that a plugin stands still.
type Pause struct {
	Who, Why string    // no Who: the pause is over
	At       time.Time // by the database's clock. Set on reading
}

// SequenceOptions selects sequences of a generation.
type SequenceOptions struct {
	State SequenceState  // empty means all
	After event.Position // only those whose failed event is above
	Limit int            // at least 1
}

// Limits of requests.
const (
	// MaxPending is how many requests of one plugin may be pending.
	MaxPending = 1000
	// MaxWhoBytes and MaxWhyBytes bound the two texts.
	MaxWhoBytes = 200
	MaxWhyBytes = 2000
)

// Validate reports the first thing about the request that no driver would store, as ErrInvalid.
func (r *Request) Validate() error {
	if err := validateName("plugin", r.Plugin, true); err != nil {
		return err
	}
	if err := validateName("key", r.Key, false); err != nil {
		return err
	}
	if err := validateName("digest", r.Digest, false); err != nil {
		return err
	}
	if err := validateLine("who", r.Who, MaxWhoBytes, true); err != nil {
		return err
	}
	if r.Partition < 0 {
		return &InvalidError{Field: "partition", Reason: "must not be negative"}
	}
	answerable := r.Action == AskSkip || r.Action == AskEdit // somebody will want to know why
	if err := validateLine("why", r.Why, MaxWhyBytes, answerable); err != nil {
		return err
	}
	switch r.Action {
	case AskSkip, AskEdit:
		if r.Position <= 0 {
			return &InvalidError{Field: "position", Reason: "of the failed event is missing"}
		}
	case AskRetry, AskPause, AskResume, AskRebuild, AskRollback, AskDrop, AskReload:
		if r.Position < 0 {
			return &InvalidError{Field: "position", Reason: "must not be negative"}
		}
	default:
		return &InvalidError{Field: "action", Reason: fmt.Sprintf("%q is none", r.Action)}
	}
	return r.validateData()
}

func (r *Request) validateData() error {
	switch {
	case r.Action == AskEdit && r.Data == nil:
		return &InvalidError{Field: "data", Reason: "is missing"}
	case r.Action != AskEdit && r.Data != nil:
		return &InvalidError{Field: "data", Reason: fmt.Sprintf("is nothing for %s", r.Action)}
	case len(r.Data) > MaxDataBytes:
		return &InvalidError{Field: "data", Reason: fmt.Sprintf("has %d bytes, at most %d are allowed", len(r.Data), MaxDataBytes)}
	}
	return nil
}

// validateLine holds a person's words to what fits into a line of a log.
func validateLine(field, s string, most int, required bool) error {
	switch {
	case s == "" && required:
		return &InvalidError{Field: field, Reason: "is missing"}
	case len(s) > most:
		return &InvalidError{Field: field, Reason: fmt.Sprintf("has %d bytes, at most %d are allowed", len(s), most)}
	case !utf8.ValidString(s):
		return &InvalidError{Field: field, Reason: "must be UTF-8"}
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return &InvalidError{Field: field, Reason: "must be one line without control characters"}
		}
	}
	return nil
}
