package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"

	"eshost/host/store"
)

// Options of Open.
type Options struct {
	// MustExist makes Open fail with store.ErrUnavailable where there is no file yet. Defaults to
	// false: a new database is made, readable and writable for this user only.
	MustExist bool
	// NoMigrate makes Open leave the file as it is, and fail with store.ErrNoSchema or
	// store.ErrOldSchema where that is not enough. Defaults to false.
	NoMigrate bool
	// LockTimeout is how long a change waits for other processes that write to the file, within its
	// context. Defaults to 10s.
	LockTimeout time.Duration
	// Readers is how many reads run at a time. Defaults to 4.
	Readers int
}

// Sizes of what SQLite keeps beside the file and in memory.
const (
	// A checkpoint copies the WAL into the file once it has this many pages (16 MiB). More pages a
	// checkpoint means fewer syncs and fewer copies of a page that changes often.
	checkpointPages = 4000
	// Readers that overlap without a gap keep SQLite from starting the WAL over after a checkpoint.
	// Beyond this size a write makes it, see cutWAL.
	walLimit = 64 << 20
	// Another connection's commit empties a reader's cache, so a large one would be wasted.
	writerCacheKiB = 64 << 10
	readerCacheKiB = 8 << 10
)

// now is the database's clock in microseconds, to the millisecond. In one transaction it may move.
const now = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"

// Store is a database file. It is safe for concurrent use.
type Store struct {
	opts    Options
	file    string      // absolute, without symbolic links
	info    os.FileInfo // of the file when it was opened
	writer  *pool       // of one: who has it may write
	readers *pool
	close   func() error
	ran     atomic.Uint64 // statements

	walLimit int64
	walNext  int64 // the WAL's size at which it is next cut; belongs to who has the writer
}

var _ store.Store = (*Store)(nil)

// Open opens the database in a file, named by a path or by a URL sqlite:PATH, and brings its schema
// up to date. It fails with store.ErrUnavailable where the file cannot be used and with
// store.ErrSchema where it is something else than a database of this or an older eshost.
func Open(ctx context.Context, name string, o Options) (*Store, error) {
	o.LockTimeout = cmp.Or(o.LockTimeout, 10*time.Second)
	o.Readers = cmp.Or(o.Readers, 4)
	s := &Store{opts: o, walLimit: walLimit, walNext: walLimit}
	if err := s.locate(name); err != nil {
		return nil, err
	}
	s.writer = newPool(1, s.connectWriter)
	s.readers = newPool(o.Readers, s.connectReader)
	s.close = sync.OnceValue(func() error {
		// The writer is the last, since the last connection to close empties the WAL into the file.
		return errors.Join(s.readers.close(), s.writer.close())
	})
	err := s.writer.with(ctx, func(c *conn) (broken bool, err error) {
		err = s.migrate(ctx, c)
		return err != nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", s.explain(errors.Join(err, s.Close())))
	}
	return s, nil
}

// Close waits for calls that are under way and closes the file. Later calls fail.
func (s *Store) Close() error { return s.close() }

// Statements is how many statements the store has run since it was opened, BEGIN and COMMIT included.
func (s *Store) Statements() uint64 { return s.ran.Load() }

// Describe names the file.
func (s *Store) Describe() string { return "SQLite " + s.file }

// Identity implements store.Store: the time at which the tables were made. A path is another one in each container.
func (s *Store) Identity(ctx context.Context) (id string, err error) {
	err = s.read(ctx, func(c *conn) error {
		_, err := c.one(func(r row) { id = strconv.FormatInt(r.int(0), 16) }, "SELECT applied_at FROM migrations ORDER BY version LIMIT 1")
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the database's identity: %w", err)
	}
	return id, nil
}

// locate finds the file and makes it if need be.
func (s *Store) locate(name string) error {
	path := strings.TrimPrefix(name, "sqlite:")
	if path != name && strings.HasPrefix(path, "//") {
		path = strings.TrimPrefix(path, "//") // sqlite:///var/lib/es.db
	}
	if path == "" || path == ":memory:" {
		return fmt.Errorf("open the store: %q names no file: write sqlite:PATH", name)
	}
	file, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	s.file = file
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) && !s.opts.MustExist {
		if err = create(file); err == nil {
			info, err = os.Stat(file)
		}
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is a %s, not a file", file, kindOf(info.Mode()))
	}
	if err == nil {
		s.info = info
		s.file, err = filepath.EvalSymlinks(file)
	}
	if err != nil {
		return fmt.Errorf("open the store: %w: %w", store.ErrUnavailable, err)
	}
	return nil
}

func kindOf(m fs.FileMode) string {
	if m.IsDir() {
		return "folder"
	}
	return "device or pipe"
}

// create makes an empty file that only this user can read; SQLite gives its other files the same
// mode. It is made under another name first and never opened under its own: closing any descriptor
// of a database file drops the locks that the whole process holds on it.
func create(file string) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		var inner *fs.PathError
		if errors.As(err, &inner) {
			err = inner.Err // of the file, not of its first name
		}
		return fmt.Errorf("make %s: %w", file, err)
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return fmt.Errorf("make %s: %w", file, err)
	}
	if err := os.Link(f.Name(), file); err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	// A file system without hard links.
	f, err = os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = f.Close()
	}
	return err
}

func (s *Store) connectWriter(ctx context.Context) (*conn, error) {
	return s.connect(ctx,
		// Without it a position could be answered and then lost with the machine's power.
		"PRAGMA synchronous = FULL",
		fmt.Sprintf("PRAGMA cache_size = -%d", writerCacheKiB),
		fmt.Sprintf("PRAGMA wal_autocheckpoint = %d", checkpointPages),
		fmt.Sprintf("PRAGMA journal_size_limit = %d", s.walLimit),
		"PRAGMA busy_timeout = 0") // from here on await waits, and looks at the context
}

func (s *Store) connectReader(ctx context.Context) (*conn, error) {
	return s.connect(ctx,
		"PRAGMA query_only = ON",
		fmt.Sprintf("PRAGMA cache_size = -%d", readerCacheKiB))
}

func (s *Store) connect(ctx context.Context, pragmas ...string) (*conn, error) {
	// mode=rw: a file that has vanished must not come back empty.
	path := filepath.ToSlash(s.file)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "mode=rw&_error_rc=1"}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{raw: raw, stmts: map[string]driver.Stmt{}, ran: &s.ran}
	pragmas = append([]string{
		// Readers, too, wait for one that repairs the WAL, or is the first to open the file, or the last to close it.
		fmt.Sprintf("PRAGMA busy_timeout = %d", s.opts.LockTimeout.Milliseconds()),
		"PRAGMA trusted_schema = OFF", // views and triggers of the file may not call what has effects
		"PRAGMA temp_store = MEMORY",
	}, pragmas...)
	for _, p := range pragmas {
		if err := c.script(p); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	if err := s.inPlace(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// inPlace reports whether the file is still the one that was opened. Writes to a file that was
// deleted or replaced would succeed and be lost.
func (s *Store) inPlace() error {
	if info, err := os.Stat(s.file); err != nil || !os.SameFile(info, s.info) {
		return fmt.Errorf("%w: %s was moved, deleted or replaced while it was open: stop every process that uses it, then start again", store.ErrUnavailable, s.file)
	}
	return nil
}
