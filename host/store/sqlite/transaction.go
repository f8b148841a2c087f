package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// read lends f a reader. Each statement of f sees what was committed before it.
func (s *Store) read(ctx context.Context, f func(*conn) error) error {
	return s.explain(s.readers.with(ctx, func(c *conn) (bool, error) { return false, f(c) }))
}

// snapshot is read with one view of the database for all of f's statements.
func (s *Store) snapshot(ctx context.Context, f func(*conn) error) error {
	return s.explain(s.readers.with(ctx, func(c *conn) (bool, error) {
		return s.transact(ctx, c, "BEGIN", func() error { return f(c) })
	}))
}

// write runs f in a write transaction. If it returns nil what f did is durable; else nothing of it is
// stored, except that after an error of COMMIT itself (a failing disk) nobody knows.
func (s *Store) write(ctx context.Context, f func(*conn) error) error {
	return s.explain(s.writer.with(ctx, func(c *conn) (bool, error) {
		if err := s.inPlace(); err != nil {
			return false, err
		}
		broken, err := s.transact(ctx, c, "BEGIN IMMEDIATE", func() error { return f(c) })
		if err == nil {
			broken = s.cutWAL(c)
		}
		return broken, err
	}))
}

// transact runs f in a transaction. A connection it leaves broken must be closed: that rolls back.
func (s *Store) transact(ctx context.Context, c *conn, begin string, f func() error) (broken bool, err error) {
	if err := s.await(ctx, func() error { _, err := c.exec(begin); return err }); err != nil {
		return false, fmt.Errorf("begin: %w", err)
	}
	rollback := true // if f panics, too
	defer func() {
		if rollback {
			_, failed := c.exec("ROLLBACK")
			broken = failed != nil
		}
	}()
	if err := f(); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	rollback = false
	// From here on the context does not matter: the answer must say what happened.
	if _, err := c.exec("COMMIT"); err != nil {
		return true, fmt.Errorf("commit: %w", err)
	}
	return false, nil
}

// await tries until the lock that f needs is free, for LockTimeout at most. SQLite's own waiting
// sleeps for up to 100 ms at a time and knows no context.
func (s *Store) await(ctx context.Context, f func() error) error {
	const longest = 5 * time.Millisecond
	deadline := time.Now().Add(s.opts.LockTimeout)
	for pause := longest / 32; ; pause = min(2*pause, longest) {
		err := f()
		var e *sqlite.Error
		if !errors.As(err, &e) || e.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// checkpointWait is how long a write waits for readers to let the WAL start over.
const checkpointWait = 250 * time.Millisecond

// cutWAL starts the WAL over where it has outgrown its limit, and reports whether the connection is
// broken. While a reader does not finish the WAL grows on, and is cut at the next multiple.
func (s *Store) cutWAL(c *conn) (broken bool) {
	info, err := os.Stat(s.file + "-wal")
	if err != nil || info.Size() < s.walNext {
		return false
	}
	busy := true
	for deadline := time.Now().Add(checkpointWait); err == nil && busy && time.Now().Before(deadline); {
		_, err = c.one(func(r row) { busy = r.int(0) != 0 }, "PRAGMA wal_checkpoint(TRUNCATE)")
		if busy {
			time.Sleep(time.Millisecond)
		}
	}
	s.walNext = s.walLimit
	if busy {
		s.walNext += info.Size()
	}
	return err != nil
}
