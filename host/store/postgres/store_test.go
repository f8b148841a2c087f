package postgres_test

import (
	"context"
	"net/url"
	"os"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/postgres"
	"eshost/host/store/storetest"
	"eshost/test/pgtest"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestStore holds the driver to the contract of host/store.
func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Exercise(t, func(t *testing.T) storetest.Database { return database(pgtest.Database(t)) })
}

// TestStorePooled does so again through a PgBouncer in transaction mode, of which the URL says nothing. The few sessions
// of the server are handed from statement to statement, so that whatever is left in one meets those who do not expect it.
func TestStorePooled(t *testing.T) {
	t.Parallel()
	pooler, err := pgtest.StartPooler(t.Context(), pgtest.Shared(t), map[string]string{"default_pool_size": "4", "server_round_robin": "1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pooler.Close() })
	storetest.Exercise(t, func(t *testing.T) storetest.Database {
		direct := pgtest.Database(t)
		pooled, err := pooler.URL(direct)
		if err != nil {
			t.Fatal(err)
		}
		d := database(pooled)
		of := database(direct)
		d.MakeHole, d.SetBack, d.MoveCheckpoint, d.ReadModel = of.MakeHole, of.SetBack, of.MoveCheckpoint, of.ReadModel
		return d
	})
}

func database(url string) storetest.Database {
	return storetest.Database{
		Open: func(t *testing.T) store.Store { return open(t, url) },
		MakeHole: func(t *testing.T) {
			tx := begin(t, url)
			tx.exec(`INSERT INTO eshost.events (stream, version, type) VALUES ('a hole', 1, 'T')`)
			tx.exec(`ROLLBACK`)
		},
		ReadModel: func(t *testing.T, plugin string) []string {
			rows, err := connect(t, url).conn.Query(t.Context(), `SELECT key FROM eshost.read_models WHERE plugin = $1 ORDER BY key`, plugin)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			return keys
		},
		MoveCheckpoint: func(t *testing.T, plugin string, to event.Position) {
			connect(t, url).exec(`UPDATE eshost.generations SET position = $2 WHERE plugin = $1`, plugin, int64(to))
		},
		SetBack: func(t *testing.T, to event.Position) {
			s := connect(t, url)
			s.exec(`DELETE FROM eshost.events WHERE position > $1`, int64(to))
			s.exec(`SELECT setval(pg_get_serial_sequence('eshost.events', 'position'), $1, false)`, int64(to)+1)
		},
	}
}

// open opens a store, which the caller closes.
func open(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, postgres.Options{Name: t.Name()})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// opened opens a store for the rest of the test.
func opened(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s := open(t, url)
	t.Cleanup(func() { s.Close() })
	return s
}

// session is a connection of an application.
type session struct {
	t    *testing.T
	ctx  context.Context
	conn *pgx.Conn
}

func connect(t *testing.T, url string) *session {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = "application of " + t.Name()
	ctx := context.WithoutCancel(t.Context()) // cleanups use sessions too
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(ctx) })
	return &session{t, ctx, conn}
}

func begin(t *testing.T, url string) *session {
	t.Helper()
	s := connect(t, url)
	s.exec("BEGIN")
	return s
}

func (s *session) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.conn.Exec(s.ctx, sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func query[T any](s *session, sql string, args ...any) T {
	s.t.Helper()
	var v T
	if err := s.conn.QueryRow(s.ctx, sql, args...).Scan(&v); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// withUser is the URL for another role.
func withUser(t *testing.T, raw, user, password string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}
