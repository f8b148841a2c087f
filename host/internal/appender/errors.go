package appender

import (
	"errors"
	"fmt"
	"strings"

	"eshost/host/store"
)

// ErrClosed is returned for requests that were not written because the appender was closed.
var ErrClosed = errors.New("the host is stopping: the events were not stored")

// ErrOutcomeUnknown is matched by *OutcomeUnknownError.
var ErrOutcomeUnknown = errors.New("append outcome unknown")

// OutcomeUnknownError says that the events may or may not be stored. Appending them again with the
// same ids is safe: those that are stored are answered with their positions.
type OutcomeUnknownError struct {
	IDs []string // of all events of the request, those that the appender made included
	Err error    // why
}

func (e *OutcomeUnknownError) Error() string {
	const shown = 3
	ids := strings.Join(e.IDs[:min(shown, len(e.IDs))], ", ")
	if more := len(e.IDs) - shown; more > 0 {
		ids += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("it is not known whether the events were stored: append them again with the same ids (%s): %v", ids, e.Err)
}

// Unwrap returns why.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// Is makes the error match ErrOutcomeUnknown.
func (e *OutcomeUnknownError) Is(target error) bool { return target == ErrOutcomeUnknown }

// refused reports whether a store's error says that the request was looked at and not stored.
func refused(err error) bool {
	return errors.Is(err, store.ErrVersionConflict) || errors.Is(err, store.ErrIDConflict) || errors.Is(err, store.ErrInvalid)
}
