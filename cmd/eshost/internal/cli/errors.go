package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"eshost/host"
	"eshost/host/config"
	"eshost/host/store"
)

// Exit codes; the package comment says what they mean.
const (
	exitDone        = 0
	exitFailed      = 1
	exitInput       = 2
	exitMissing     = 3
	exitInterrupted = 130
)

// failure is an error with an exit code and hints of its own.
type failure struct {
	code  int
	err   error
	hints []string
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// Hint says what to do next, one thing a line.
func (f *failure) Hint() string { return strings.Join(f.hints, "\n") }

// failed, badInput and missing make an error of their exit code. The hint may be empty.
func failed(hint, format string, args ...any) error   { return fail(exitFailed, hint, format, args...) }
func badInput(hint, format string, args ...any) error { return fail(exitInput, hint, format, args...) }
func missing(hint, format string, args ...any) error  { return fail(exitMissing, hint, format, args...) }

func fail(code int, hint, format string, args ...any) error {
	f := &failure{code: code, err: fmt.Errorf(format, args...)}
	if hint != "" {
		f.hints = []string{hint}
	}
	return f
}

// codeOf is the one place where an error becomes an exit code.
func codeOf(err error) int {
	var f *failure
	var bad *config.Error
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &f):
		return f.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &bad), errors.Is(err, host.ErrModule), errors.Is(err, host.ErrStart), errors.Is(err, host.ErrCacheDir), errors.Is(err, store.ErrSchema), errors.Is(err, store.ErrInvalid):
		return exitInput
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return exitMissing
	}
	return exitFailed
}

// report writes an error for people: what happened, line by line, and what to do next. Each of several
// joined errors comes with its own hint.
func report(w io.Writer, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && hintOf(err) == "" {
		for _, one := range joined.Unwrap() {
			report(w, one)
		}
		return
	}
	text := err.Error()
	if codeOf(err) == exitInterrupted {
		text = strings.ReplaceAll(text, context.Canceled.Error(), "interrupted")
	}
	writeLines(w, "eshost:", text)
	writeLines(w, "hint:", hintOf(err))
}

func writeLines(w io.Writer, prefix, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(w, prefix, printable(strings.TrimSuffix(line, "\n")))
	}
}

// hintOf returns the outermost hint of an error, or "".
func hintOf(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		if h, ok := err.(interface{ Hint() string }); ok && h.Hint() != "" {
			return h.Hint()
		}
	}
	return ""
}
