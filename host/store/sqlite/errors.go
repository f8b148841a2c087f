package sqlite

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"eshost/host/store"
)

// refusedValue reports whether the database refuses what it was given, and always will.
func refusedValue(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return true
	}
	return false
}

// explain names the file and says what an error of SQLite means and what to do about it. Errors
// that are not SQLite's pass as they are.
func (s *Store) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	meaning, kind := "", store.ErrUnavailable
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		meaning = fmt.Sprintf("another process has held its write lock for %v: find it with fuser or lsof", s.opts.LockTimeout)
	case sqlite3.SQLITE_FULL:
		meaning = "the disk is full: make room, nothing of this change was stored"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		meaning = "it cannot be written: the file and its folder must be writable for this user"
	case sqlite3.SQLITE_CANTOPEN:
		meaning = "it cannot be opened: SQLite keeps a -wal and a -shm file beside it, so its folder must be writable for this user"
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_PROTOCOL:
		meaning = "the disk or its file system fails"
	case sqlite3.SQLITE_NOMEM:
		meaning = "memory is short"
	case sqlite3.SQLITE_NOTADB:
		meaning, kind = "it is not a SQLite database: name another file", store.ErrSchema
	case sqlite3.SQLITE_CORRUPT:
		meaning, kind = "it is damaged: restore a backup, or try sqlite3's .recover", store.ErrSchema
	default:
		return fmt.Errorf("%s: %w", s.file, err)
	}
	return fmt.Errorf("%w: %s: %s: %w", kind, s.file, meaning, err)
}
