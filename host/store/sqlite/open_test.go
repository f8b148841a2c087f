package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/store"
	"eshost/host/store/sqlite"
)

func open(t *testing.T, file string, o sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), file, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// raw opens the file as any other program would.
func raw(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func appendOne(ctx context.Context, s *sqlite.Store, stream, id string, data []byte) error {
	return s.Append(ctx, []store.AppendRequest{{Streams: []store.StreamAppend{{Stream: stream, Expected: store.AnyVersion,
		Events: []store.NewEvent{{ID: id, Type: "T", Data: data}}}}}})[0].Err
}

func TestOpenNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, odd := range []string{"plain.db", "with space.db", "100%.db", "what?.db", "a#b&c=d.db", "é😀.db"} {
		for i, name := range []string{filepath.Join(dir, odd), "sqlite:" + filepath.Join(dir, odd), "sqlite://" + filepath.Join(dir, odd)} {
			s := open(t, name, sqlite.Options{MustExist: i > 0})
			if !strings.HasSuffix(s.Describe(), odd) {
				t.Errorf("%s describes itself as %s", name, s.Describe())
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: what is in it is nobody else's business", e.Name(), info.Mode())
		}
	}
	if len(entries) != 3*6 { // the file, its WAL and the WAL's index
		t.Errorf("the folder holds %v", entries)
	}
}

func TestOpenThroughLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir+"/real.db", sqlite.Options{})
	if err := os.Symlink("real.db", dir+"/link.db"); err != nil {
		t.Skip(err)
	}
	linked := open(t, dir+"/link.db", sqlite.Options{})
	if err := appendOne(t.Context(), linked, "a", "1", nil); err != nil {
		t.Fatal(err)
	}
	b, err := s.Read(t.Context(), store.ReadOptions{UpTo: 10, Limit: 10})
	if err != nil || len(b.Events) != 1 {
		t.Errorf("appended through a link, read %+v (%v)", b, err)
	}
}

// TestOpenRefuses: what is no database of ours is refused, named, explained, and left as it was.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	write := func(content string) func(*testing.T, string) {
		return func(t *testing.T, file string) {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	statements := func(list ...string) func(*testing.T, string) {
		return func(t *testing.T, file string) {
			db := raw(t, file)
			for _, st := range list {
				execute(t, db, st)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		prepare func(t *testing.T, file string)
		want    error
		says    string
	}{
		"text file":        {write(strings.Repeat("a text file, not a database\n", 1000)), store.ErrSchema, "not a SQLite database"},
		"short text file":  {write("hello"), store.ErrSchema, "not a SQLite database"},
		"folder":           {func(t *testing.T, file string) { os.Mkdir(file, 0o700) }, store.ErrUnavailable, "is a folder"},
		"another's":        {statements("CREATE TABLE customers (id INTEGER)"), store.ErrSchema, "another application's"},
		"another's marked": {statements("PRAGMA application_id = 7"), store.ErrSchema, "another application's"},
		"newer": {func(t *testing.T, file string) {
			open(t, file, sqlite.Options{}).Close()
			statements("INSERT INTO migrations VALUES (999, 'later', 0)")(t, file)
		}, store.ErrSchema, "newer eshost"},
		"damaged": {func(t *testing.T, file string) {
			open(t, file, sqlite.Options{}).Close()
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			f.WriteAt(make([]byte, 4000), 96) // the header is left
		}, store.ErrSchema, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "es.db")
			c.prepare(t, file)
			before, _ := os.ReadFile(file)
			_, err := sqlite.Open(t.Context(), file, sqlite.Options{})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v that names the file and says %q", err, c.want, c.says)
			}
			if after, _ := os.ReadFile(file); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpenMissing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "es.db")
	_, err := sqlite.Open(t.Context(), file, sqlite.Options{MustExist: true})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), file) {
		t.Errorf("a file that must exist: %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it was made")
	}
	file = filepath.Join(file, "none", "es.db")
	if _, err = sqlite.Open(t.Context(), file, sqlite.Options{}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), file+": no such file") {
		t.Errorf("a folder that is not there: %v", err)
	}
	for _, name := range []string{"", "sqlite:", ":memory:", "sqlite::memory:"} {
		if s, err := sqlite.Open(t.Context(), name, sqlite.Options{}); err == nil {
			s.Close()
			t.Errorf("%q was opened", name)
		}
	}
}

func TestOpenManyAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "es.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := sqlite.Open(t.Context(), file, sqlite.Options{})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			if err := appendOne(t.Context(), s, "a", "", nil); err != nil {
				t.Errorf("append: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	wg.Wait()
	var migrations, events int
	if err := raw(t, file).QueryRow("SELECT (SELECT count(*) FROM migrations), (SELECT max(version) FROM events)").Scan(&migrations, &events); err != nil {
		t.Fatal(err)
	}
	if migrations != 5 || events != 8 {
		t.Errorf("%d migrations were applied and %d events stored, want 5 and 8", migrations, events)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "es.db"), sqlite.Options{})
	tail := s.Tail(0)
	if _, err := tail.Poll(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice does no harm
		tail.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := appendOne(t.Context(), s, "a", "", nil); err == nil {
		t.Error("appended to a closed store")
	}
	if _, err := s.Hosts(t.Context()); err == nil {
		t.Error("read a closed store")
	}
	if _, err := tail.Poll(t.Context(), 1); err == nil {
		t.Error("polled a closed tail")
	}
}

func TestAnotherProcessHoldsTheLock(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "es.db")
	s := open(t, file, sqlite.Options{LockTimeout: 50 * time.Millisecond})
	conn, err := raw(t, file).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	err = appendOne(t.Context(), s, "a", "1", nil)
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "write lock") || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := appendOne(ctx, s, "a", "1", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("within a millisecond: got %v", err)
	}
	if _, err := s.Read(t.Context(), store.ReadOptions{UpTo: 10, Limit: 10}); err != nil {
		t.Errorf("readers do not wait for writers: %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := appendOne(t.Context(), s, "a", "1", nil); err != nil {
		t.Errorf("once the lock is free: %v", err)
	}
}

// TestReplaced: what is written to a file that was replaced would be lost in silence.
func TestReplaced(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be renamed on Windows")
	}
	file := filepath.Join(t.TempDir(), "es.db")
	s := open(t, file, sqlite.Options{})
	tail := s.Tail(0)
	defer tail.Close()
	if err := os.Rename(file, file+".old"); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		if err := appendOne(t.Context(), s, "a", "1", nil); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "replaced") {
			t.Errorf("%s: append got %v", what, err)
		}
		if _, err := tail.Poll(t.Context(), 1); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: poll got %v", what, err)
		}
	}
	check("moved")
	open(t, file, sqlite.Options{})
	check("replaced")
	if err := os.Rename(file+".old", file); err != nil {
		t.Fatal(err)
	}
	if err := appendOne(t.Context(), s, "a", "1", nil); err != nil {
		t.Errorf("back in its place: %v", err)
	}
}
