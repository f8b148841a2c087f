package store

import (
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
)

// Errors of opening a store.
var (
	// ErrUnavailable is returned when the database cannot be reached or refuses us. Trying again may help.
	ErrUnavailable = errors.New("store unavailable")
	// ErrSchema is returned when the database answers but is not one this binary can use: another
	// application's, or one that a newer eshost has migrated.
	ErrSchema = errors.New("unusable schema")
	// ErrNoSchema is returned to who may not migrate when the database has no eshost tables.
	ErrNoSchema = errors.New("no eshost tables")
	// ErrOldSchema is returned to who may not migrate when an older eshost made the tables.
	ErrOldSchema = errors.New("older schema")
)

// Errors of appending.
var (
	// ErrVersionConflict is matched by *VersionConflictError.
	ErrVersionConflict = errors.New("version conflict")
	// ErrIDConflict is matched by *IDConflictError.
	ErrIDConflict = errors.New("id conflict")
	// ErrInvalid is matched by *InvalidError.
	ErrInvalid = errors.New("invalid event")
)

// Errors of reading the log.
var (
	// ErrLogWentBack is returned when the log's positions fell below what was seen before: a restored
	// backup, or a sequence that was set back. Going on would skip or repeat events.
	ErrLogWentBack = errors.New("the log went back")
)

// Errors of the state.
var (
	// ErrNotFound is returned when there is no such plugin, sequence, request or replacement.
	ErrNotFound = errors.New("not found")
	// ErrLeaseHeld is matched by *LeaseHeldError.
	ErrLeaseHeld = errors.New("lease held by another host")
	// ErrLeaseLost is returned when the epoch of a change is no longer the generation's: another host
	// has taken over. Nothing was changed.
	ErrLeaseLost = errors.New("lease lost")
	// ErrCheckpointMoved is returned when the checkpoint is not where the change expects it. Nothing was changed.
	ErrCheckpointMoved = errors.New("checkpoint moved")
	// ErrAnswered is returned when a request is not pending any more. Nothing was changed.
	ErrAnswered = errors.New("request answered before")
	// ErrBuilding is returned when a generation of the plugin is being built already.
	ErrBuilding = errors.New("a generation is being built already")
	// ErrLive is returned when the live generation cannot be changed like that.
	ErrLive = errors.New("the generation is live")
	// ErrNotBuilt is returned by who reads a read model that is kept elsewhere and is not there as a whole: it is being
	// built anew, and what is missing may exist.
	ErrNotBuilt = errors.New("the read model is not built")
	// ErrAway is returned by who reads a read model that is kept elsewhere and does not reach it.
	ErrAway = errors.New("what keeps the read model cannot be used")
	// ErrTooManyRequests is returned when too many requests of one plugin are pending.
	ErrTooManyRequests = errors.New("too many requests are pending")
)

// VersionConflictError says which stream was not at the expected version.
type VersionConflictError struct {
	Stream   string
	Expected Expected
	Actual   int64
}

func (e *VersionConflictError) Error() string {
	return fmt.Sprintf("stream %q is at version %d, expected %s", e.Stream, e.Actual, e.Expected)
}

// Is makes the error match ErrVersionConflict.
func (e *VersionConflictError) Is(target error) bool { return target == ErrVersionConflict }

// IDConflictError says that an id is taken by an event with other content.
type IDConflictError struct {
	ID       string
	Position event.Position
}

func (e *IDConflictError) Error() string {
	return fmt.Sprintf("event id %q is already used at position %d with other content", e.ID, e.Position)
}

// Is makes the error match ErrIDConflict.
func (e *IDConflictError) Is(target error) bool { return target == ErrIDConflict }

// InvalidError says what no store would keep.
type InvalidError struct {
	Field  string
	Reason string
	// Stream and StreamType name the StreamAppend that the log refuses for what it holds already; they
	// are empty where the request is wrong by itself.
	Stream, StreamType string
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }

// Is makes the error match ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// RefusedError names the event whose effect no database would keep. It wraps an *InvalidError or an
// *IDConflictError that says why. The same commit would be refused for ever.
type RefusedError struct {
	Position event.Position // the event that was handled
	Err      error
}

func (e *RefusedError) Error() string { return e.Err.Error() }

func (e *RefusedError) Unwrap() error { return e.Err }

// LeaseHeldError says who has a lease and for how long at least.
type LeaseHeldError struct {
	Owner     Host
	ExpiresIn time.Duration
}

func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("host %q (%s) has the lease for another %s", e.Owner.Name, e.Owner.ID, e.ExpiresIn.Round(100*time.Millisecond))
}

// Is makes the error match ErrLeaseHeld.
func (e *LeaseHeldError) Is(target error) bool { return target == ErrLeaseHeld }
