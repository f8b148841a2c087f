package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"eshost/host/store"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATE codes that decide what happens next.
const (
	codeDivisionByZero       = "22012"
	codeUniqueViolation      = "23505"
	codeReadOnly             = "25006"
	codeSerializationFailure = "40001"
	codeDeadlock             = "40P01"
	codeNoPrivilege          = "42501"
	codeLockNotAvailable     = "55P03"
	codeQueryCanceled        = "57014"
	codeNotPrepared          = "26000"
	codePreparedAlready      = "42P05"
)

// code is the SQLSTATE the server answered with, or empty if the error is not the server's.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// fail turns a driver's error into the store's: it names the step and matches store.ErrUnavailable or
// store.ErrSchema where that is what happened. It never holds a password: of a failed connection only
// the text is kept, not the configuration.
func fail(ctx context.Context, step string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", step, context.Cause(ctx))
	}
	switch kind := sentinelOf(err); {
	case kind != nil:
		return fmt.Errorf("%s: %w: %s", step, kind, describe(err))
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrSchema):
		return fmt.Errorf("%s: %w", step, err)
	case code(err) != "":
		return fmt.Errorf("%s: %s", step, describe(err))
	}
	return fmt.Errorf("%s: %w", step, err)
}

// sentinelOf says what an error of pgx means for the store, or nil if it is neither.
func sentinelOf(err error) error {
	if lostConnection(err) {
		return store.ErrUnavailable
	}
	c := code(err)
	switch c {
	case codeReadOnly, codeSerializationFailure, codeDeadlock, codeNoPrivilege, codeLockNotAvailable, codeQueryCanceled:
		return store.ErrUnavailable
	case "42P01", "42703", "3F000": // no such table, column, schema
		return store.ErrSchema
	}
	if len(c) == 5 {
		switch c[:2] {
		case "08", "28", "3D", "53", "57", "58": // connection, authorization, no such database, resources, operator, system
			return store.ErrUnavailable
		}
	}
	return nil
}

// lostConnection reports whether there is no answer, so that a statement may or may not have been run.
func lostConnection(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || pgconn.SafeToRetry(err) {
		return true
	}
	switch c := code(err); {
	case c == "57P01", c == "57P02", c == "57P03", strings.HasPrefix(c, "08"): // shut down, crashed, not up yet
		return true
	case c != "":
		return false
	}
	text := err.Error() // pgx has no type for these
	for _, sign := range []string{"unexpected EOF", "conn closed", "connection reset", "broken pipe", "use of closed network connection", "closed pool"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return pgconn.Timeout(err)
}

// refusedValue reports whether the server refuses what it was given: a value, a constraint, a limit or a
// trigger of its own. The same again would be refused again.
func refusedValue(err error) bool {
	c := code(err)
	if len(c) != 5 || c == codeUniqueViolation {
		return false
	}
	switch c[:2] {
	case "22", "23", "44", "54", "P0":
		return true
	}
	return false
}

// notOurSession reports whether what was prepared is not there, or what was not is.
func notOurSession(err error) bool {
	c := code(err)
	return c == codeNotPrepared || c == codePreparedAlready
}

// describe is the server's message with what helps to find its cause, on one line.
func describe(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return strings.Join(strings.Fields(err.Error()), " ")
	}
	text := e.Message
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	text += " (SQLSTATE " + e.Code + ")"
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	if notOurSession(err) {
		text += "; a pooler has put another session of the server in this one's place: take pgbouncer=false out of the store's URL"
	}
	return text
}
