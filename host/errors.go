package host

import (
	"errors"
	"fmt"

	"eshost/host/internal/plugin"
)

// Error says what failed, of which thing, and what to do next.
type Error struct {
	Subject string // "plugin balances", "store sqlite:eshost.db"
	Err     error
	hint    string
}

func (e *Error) Error() string { return e.Subject + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do next; it may be empty.
func (e *Error) Hint() string { return e.hint }

// withHint is an error's text and what to do about it.
func withHint(err error) string {
	var e *Error
	if errors.As(err, &e) && e.hint != "" {
		return err.Error() + "; " + e.hint
	}
	return err.Error()
}

// ErrModule is matched by errors about a module that this host does not run.
var ErrModule = errors.New("unusable module")

// ErrStart is matched by errors about a plugin that cannot start where hosts.toml says.
var ErrStart = errors.New("impossible start")

// ErrCacheDir is matched by errors about a compile cache that somebody else could write to.
var ErrCacheDir = plugin.ErrCacheDir

// moduleError makes a plugin package's error one of this package's.
func moduleError(subject string, err error) error {
	e := &Error{Subject: subject, Err: err}
	var pe *plugin.Error
	if errors.As(err, &pe) {
		e.Err, e.hint = pe.Err, pe.Hint
	}
	e.Err = &unusable{e.Err}
	return e
}

// unusable adds ErrModule to an error without a word.
type unusable struct{ error }

func (u *unusable) Unwrap() []error { return []error{u.error, ErrModule} }

func storeError(subject string, err error, hint string) error {
	return &Error{Subject: subject, Err: err, hint: hint}
}

func pluginSubject(name string) string { return fmt.Sprintf("plugin %q", name) }
