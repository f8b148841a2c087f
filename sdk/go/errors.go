package eshost

import (
	"strconv"
	"unicode/utf8"
)

// failure is an error that says what the host shall do with the event.
type failure struct {
	status int32
	text   string
}

func (f *failure) Error() string { return f.text }

// Retry returns an error that fails the event so that it is tried again after a pause, and parked after the last
// attempt. For what may be better next time. Every error that is no rejection does the same.
func Retry(text string) error { return &failure{statusRetry, text} }

// Reject returns an error that refuses the event for good: it is parked at once. For what can never succeed. It may be
// wrapped; the outermost text is the one that is shown.
func Reject(text string) error { return &failure{statusReject, text} }

// HostError is the host's answer to a call that it did not carry out, for example
//
//	state_set "balances" "acc-1": too large: a name, key, value or list is over its limit
type HostError struct {
	Function string   // the function of the ABI, for example state_set
	Subject  []string // collection and key, or what else the function was given to name things
	Errno    Errno
}

func (e *HostError) Error() string {
	text := e.Function
	for _, name := range e.Subject {
		text += ` "` + shorten(name) + `"`
	}
	return text + ": " + e.Errno.Error()
}

// Unwrap returns the Errno, so that errors.Is(err, eshost.ErrTooLarge) works.
func (e *HostError) Unwrap() error { return e.Errno }

// shorten cuts a name that may be what was too large.
func shorten(name string) string {
	const limit = 80
	if utf8.RuneCountInString(name) <= limit {
		return name
	}
	return string([]rune(name)[:limit]) + "…"
}

// Errno is why the host did not carry out a call.
type Errno int32

const (
	// ErrNotFound: no such document or key.
	ErrNotFound Errno = -1
	// ErrDenied: not allowed here.
	ErrDenied Errno = -2
	// ErrTooLarge: a name, key, value or list is over its limit.
	ErrTooLarge Errno = -3
	// ErrQuota: this event has done too much of it.
	ErrQuota Errno = -5
	// ErrInvalid: not JSON, not UTF-8, or a name that is empty or holds a zero byte.
	ErrInvalid Errno = -7
)

func (e Errno) Error() string {
	switch e {
	case ErrNotFound:
		return "not found"
	case ErrDenied:
		return "denied: not allowed here"
	case ErrTooLarge:
		return "too large: a name, key, value or list is over its limit"
	case ErrQuota:
		return "quota: this event has done too much of it"
	case ErrInvalid:
		return "invalid: not JSON, not UTF-8, or a name that is empty or holds a zero byte"
	}
	return "error " + strconv.Itoa(int(e))
}
