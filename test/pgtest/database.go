package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// T is what this package needs of a *testing.T; the benchmark has none.
type T interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// shared is the server that the tests of this process share. It is the package's one variable: tests
// of a process have no other common place.
var shared struct {
	once   sync.Once
	url    string  // of the maintenance database
	server *Server // nil if the environment names a server
	err    error
}

// Main runs the tests of a package and then stops the server they shared. It returns the exit code.
func Main(m interface{ Run() int }) int {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest: stop the shared server:", err)
			return max(code, 1)
		}
	}
	return code
}

// Shared returns the URL of the maintenance database of the server the tests share.
func Shared(t T) string {
	t.Helper()
	shared.once.Do(func() {
		if shared.url = os.Getenv(envServer); shared.url != "" {
			return
		}
		if shared.server, shared.err = Start(context.Background(), Options{}); shared.err == nil {
			shared.url = shared.server.URL()
		}
	})
	if shared.err != nil {
		t.Fatalf("pgtest: %v", shared.err)
	}
	return shared.url
}

// Database makes a fresh, empty database on the shared server and returns its URL. It is dropped
// when the test ends.
func Database(t T) string {
	t.Helper()
	return databaseOn(t, Shared(t))
}

// Private starts a server for one test, which may stop and start it.
func Private(t T, o Options) *Server {
	t.Helper()
	s, err := Start(context.Background(), o)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return s
}

// Database makes a fresh, empty database and returns its URL. It goes with the server.
func (s *Server) Database(ctx context.Context) (string, error) {
	return create(ctx, s.URL())
}

func databaseOn(t T, maintenance string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	created, err := create(ctx, maintenance)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := drop(ctx, maintenance, created); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return created
}

func create(ctx context.Context, maintenance string) (string, error) {
	u, err := url.Parse(maintenance)
	if err != nil {
		return "", errors.New(envServer + " is not a URL: postgres://user:password@host:port/database")
	}
	conn, err := pgx.Connect(ctx, maintenance)
	if err != nil {
		return "", fmt.Errorf("connect to make a database: %w", err)
	}
	defer conn.Close(ctx)
	name := "eshost_test_" + strings.ToLower(rand.Text())
	sql := "CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8'"
	if version := conn.PgConn().ParameterStatus("server_version"); majorVersion(version) >= 15 {
		sql += " STRATEGY FILE_COPY" // half the time of the default where nothing waits for the disk
	}
	if _, err := conn.Exec(ctx, sql); err != nil {
		return "", fmt.Errorf("create a database: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// drop removes a database and whatever prepared transactions a failed test left in it.
func drop(ctx context.Context, maintenance, database string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return fmt.Errorf("connect to the database to drop: %w", err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
	if err != nil {
		return fmt.Errorf("list prepared transactions: %w", err)
	}
	prepared, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list prepared transactions: %w", err)
	}
	for _, gid := range prepared {
		if _, err := conn.Exec(ctx, "ROLLBACK PREPARED '"+strings.ReplaceAll(gid, "'", "''")+"'"); err != nil {
			return fmt.Errorf("roll back prepared transaction %q: %w", gid, err)
		}
	}
	name := conn.Config().Database
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("leave the database to drop: %w", err)
	}
	if err := execute(ctx, maintenance, "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop a database: %w", err)
	}
	return nil
}

func execute(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}
