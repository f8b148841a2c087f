package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/postgres"
	"eshost/test/pgtest"
)

func wantOpenError(t *testing.T, url string, o postgres.Options, want error, words ...string) {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, o)
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
}

func TestManyHostsMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := postgres.Open(t.Context(), url, postgres.Options{})
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			if _, err := s.EnsurePlugin(t.Context(), "p", 0, 1, "stream"); err != nil {
				t.Errorf("use: %v", err)
			}
			s.Close()
		})
	}
	wg.Wait()
	if n := query[int](connect(t, url), `SELECT count(*) - count(DISTINCT version) FROM eshost.migrations`); n != 0 {
		t.Errorf("%d migrations were applied twice", n)
	}
}

func TestOpenKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := open(t, url)
	if r := s.Append(t.Context(), []store.AppendRequest{appendOne("a", store.AnyVersion, "1")})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	s.Close()
	b, err := opened(t, url).Read(t.Context(), store.ReadOptions{UpTo: 10, Limit: 10})
	if err != nil || len(b.Events) != 1 {
		t.Errorf("read %+v (%v)", b, err)
	}
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	open(t, url).Close()
	known := query[int](connect(t, url), `SELECT max(version) FROM eshost.migrations`)
	connect(t, url).exec(`INSERT INTO eshost.migrations (version, name) VALUES (4711, 'from the future')`)
	wantOpenError(t, url, postgres.Options{}, store.ErrSchema, "4711", fmt.Sprintf("up to %d", known), "newer eshost")
}

func TestOpenRefusesOtherApplications(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql  []string
		word string
	}{
		"another application's schema":       {[]string{`CREATE SCHEMA eshost`, `CREATE TABLE eshost.users (i int)`}, "another application"},
		"another application's migrations":   {[]string{`CREATE SCHEMA eshost`, `CREATE TABLE eshost.migrations (id int)`}, "another application"},
		"a column is gone":                   {[]string{`ALTER TABLE eshost.events DROP COLUMN content_type CASCADE`}, `"content_type"`},
		"a column has another type":          {[]string{`DROP VIEW eshost.event_log`, `ALTER TABLE eshost.events ALTER COLUMN stream_type TYPE varchar(9)`}, "character varying"},
		"a column of the state is gone":      {[]string{`ALTER TABLE eshost.sequences DROP COLUMN stack`}, `"stack"`},
		"a table is gone":                    {[]string{`DROP TABLE eshost.module_spans`}, "module_spans"},
		"positions are drawn ahead":          {[]string{`ALTER SEQUENCE eshost.events_position_seq CACHE 20`}, "CACHE 20"},
		"positions go in steps":              {[]string{`ALTER SEQUENCE eshost.events_position_seq INCREMENT 2`}, "INCREMENT 2"},
		"positions come again":               {[]string{`ALTER SEQUENCE eshost.events_position_seq CYCLE`}, "NO CYCLE"},
		"positions come from somewhere else": {[]string{`ALTER TABLE eshost.events ALTER COLUMN position DROP IDENTITY`}, "identity"},
		"nothing may be written":             {[]string{`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`}, "read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			if !strings.Contains(c.sql[0], "CREATE SCHEMA") {
				open(t, url).Close()
			}
			admin := connect(t, url)
			for _, sql := range c.sql {
				admin.exec(sql)
			}
			want := store.ErrSchema
			if c.word == "read-only" {
				want = store.ErrUnavailable
			}
			wantOpenError(t, url, postgres.Options{}, want, c.word)
		})
	}
}

// TestOpenRefusesAServerWithoutLocks uses a schema that stands in for a server without real locks: what looks like
// pg_locks and stays empty.
func TestOpenRefusesAServerWithoutLocks(t *testing.T) {
	t.Parallel()
	database := pgtest.Database(t)
	open(t, database).Close()
	admin := connect(t, database)
	admin.exec(`CREATE SCHEMA fake`)
	admin.exec(`CREATE VIEW fake.pg_locks AS SELECT * FROM pg_catalog.pg_locks WHERE false`)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery += "&search_path=" + url.PathEscape("fake, pg_catalog")
	wantOpenError(t, u.String(), postgres.Options{}, store.ErrSchema, "pg_locks")
}

func TestOpenRefusesAWrongEncoding(t *testing.T) {
	t.Parallel()
	database := pgtest.Database(t)
	admin := connect(t, database)
	name := query[string](admin, `SELECT current_database()`) + "_latin1"
	admin.exec(`CREATE DATABASE ` + name + ` TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`)
	t.Cleanup(func() { connect(t, database).exec(`DROP DATABASE ` + name) })
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	wantOpenError(t, u.String(), postgres.Options{}, store.ErrSchema, "LATIN1", "UTF8")
}

func TestOpenOfServersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	quick := postgres.Options{ConnectTimeout: 300 * time.Millisecond}

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	wantOpenError(t, "postgres://u:pa55word@"+closed.Addr().String()+"/db", quick, store.ErrUnavailable, "refused", closed.Addr().String())

	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  error
		word  string
	}{
		"silence": {func(c net.Conn) { _, _ = bufio.NewReader(c).ReadString(0xff) }, store.ErrUnavailable, "no answer within 300ms"},
		"redis": {func(c net.Conn) {
			for r := bufio.NewReader(c); ; {
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
				fmt.Fprint(c, "-ERR unknown command\r\n")
			}
		}, store.ErrSchema, "-ERR unknown command"},
		"a greeting": {func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n"); _, _ = bufio.NewReader(c).ReadString(0xff) }, store.ErrSchema, "SSH-2.0"},
		"garbage":    {func(c net.Conn) { fmt.Fprint(c, strings.Repeat("garbage ", 1000)) }, store.ErrSchema, "garbage"},
		"a hang-up":  {func(c net.Conn) {}, store.ErrUnavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := listen(t, c.serve)
			wantOpenError(t, "postgres://u:pa55word@"+address+"/db", quick, c.want, c.word, address)
		})
	}
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(server.Close)
		address := server.Listener.Addr().String()
		wantOpenError(t, "postgres://u:pa55word@"+address+"/db", quick, store.ErrSchema, "HTTP/1.1 400", address)
	})
}

// listen serves every connection with a function and closes it after.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); serve(c) }()
		}
	}()
	return l.Addr().String()
}

func TestOpenGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	address := listen(t, func(c net.Conn) { _, _ = bufio.NewReader(c).ReadString(0xff) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := postgres.Open(ctx, "postgres://u@"+address+"/db", postgres.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v", err)
	}
}

// TestErrorsHoldNoPassword tries every way to fail with a URL in the hand.
func TestErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	const password = "s3cr3t%pass:word"
	database, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(u *url.URL)) string {
		u := *database
		u.User = url.UserPassword("postgres", password)
		change(&u)
		return u.String()
	}
	for name, raw := range map[string]string{
		"wrong password":      with(func(u *url.URL) {}),
		"refused":             with(func(u *url.URL) { u.Host = "127.0.0.1:1" }),
		"bad port":            "postgres://postgres:s3cr3t@127.0.0.1:port/db",
		"not encoded":         "postgres://postgres:s3cr3t%pass@127.0.0.1:1/db",
		"not a URL":           "host=127.0.0.1 password=s3cr3t",
		"another scheme":      "mysql://postgres:s3cr3t@127.0.0.1/db",
		"bad parameter":       with(func(u *url.URL) { u.RawQuery = "sslmode=sometimes&password=s3cr3t" }),
		"bad pooler":          with(func(u *url.URL) { u.RawQuery = "pgbouncer=perhaps" }),
		"unknown host":        with(func(u *url.URL) { u.Host = "no-such-host.invalid:1" }),
		"no such database":    database.JoinPath("..", "none").String(),
		"simple protocol":     with(func(u *url.URL) { u.RawQuery = "default_query_exec_mode=simple_protocol" }),
		"unknown run-time":    with(func(u *url.URL) { u.User = database.User; u.RawQuery += "&no_such_setting=1" }),
		"connect timeout bad": with(func(u *url.URL) { u.RawQuery = "connect_timeout=soon" }),
	} {
		s, err := postgres.Open(t.Context(), raw, postgres.Options{ConnectTimeout: 2 * time.Second})
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		real, _ := database.User.Password()
		for _, secret := range []string{"s3cr3t", real} {
			if text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)); strings.Contains(text, secret) {
				t.Errorf("%s: the error holds the password: %s", name, text)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	raw := pgtest.Database(t)
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	text := opened(t, raw).Describe()
	if strings.Contains(text, password) || !strings.Contains(text, u.Host) || !strings.Contains(text, strings.TrimPrefix(u.Path, "/")) || !strings.HasPrefix(text, "PostgreSQL 1") {
		t.Errorf("it describes itself as %q", text)
	}
}

// TestOpenWithoutTheRightToMigrate is a host whose role may only use a schema that an administrator made.
func TestOpenWithoutTheRightToMigrate(t *testing.T) {
	t.Parallel()
	database := pgtest.Database(t)
	admin := connect(t, database)
	role := "worker_" + query[string](admin, "SELECT current_database()")
	admin.exec(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'secret'`)
	t.Cleanup(func() {
		admin := connect(t, database)
		admin.exec("DROP OWNED BY " + role)
		admin.exec("DROP ROLE " + role)
	})
	asWorker := withUser(t, database, role, "secret")
	wantOpenError(t, asWorker, postgres.Options{}, store.ErrUnavailable, "create schema", "permission denied")

	admin.exec(`CREATE SCHEMA eshost AUTHORIZATION ` + role)
	open(t, asWorker).Close() // makes the tables in the schema that was made for it

	admin.exec(`ALTER SCHEMA eshost OWNER TO postgres`)
	admin.exec(`REVOKE ALL ON SCHEMA eshost FROM ` + role)
	admin.exec(`GRANT USAGE ON SCHEMA eshost TO ` + role)
	if r := opened(t, asWorker).Append(t.Context(), []store.AppendRequest{appendOne("a", store.AnyVersion, "1")})[0]; r.Err != nil {
		t.Error(r.Err)
	}
}

func TestOtherSchemaAndOtherNames(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	admin := connect(t, url)
	admin.exec(`CREATE SCHEMA "The App"`)
	admin.exec(`CREATE TABLE "The App"."Event ""Log""" ("Global Pos" bigserial PRIMARY KEY, aggregate text NOT NULL, kind text NOT NULL DEFAULT '', "#" bigint NOT NULL,
		uid text NOT NULL UNIQUE, "type of event" text NOT NULL, payload bytea NOT NULL, meta json NOT NULL, mime text NOT NULL, "at" timestamptz NOT NULL,
		eshost_own text, UNIQUE (aggregate, "#"))`)
	o := postgres.Options{Schema: `Read "Models"`, Events: postgres.Mapping{Schema: "The App", Table: `Event "Log"`, Position: "Global Pos", Stream: "aggregate",
		StreamType: "kind", Version: "#", ID: "uid", Type: "type of event", Data: "payload", Metadata: "meta", ContentType: "mime", Time: "at"}}
	s, err := postgres.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })

	r := follow(t, s)
	res := s.Append(t.Context(), []store.AppendRequest{appendOne("a", store.NoStream, "1"), appendOne("a", 1, "2"), appendOne("a", 1, "late"), appendOne("a", 2, "2")})
	if res[0].Err != nil || res[1].Err != nil || !errors.Is(res[2].Err, store.ErrVersionConflict) || res[3].Err == nil {
		t.Fatalf("appended %+v", res)
	}
	r.want("1 2")
	for _, ro := range []store.ReadOptions{{}, {MaxBytes: 1 << 20}, {Stream: "a"}, {Filter: event.Filter{Types: []string{"Happened"}}},
		{Filter: event.Filter{Types: []string{"Happened"}}, MaxBytes: 1 << 20}, {Stream: "a", Filter: event.Filter{Types: []string{"Happened"}}}} {
		ro.UpTo, ro.Limit = 10, 10
		if b, err := s.Read(t.Context(), ro); err != nil || len(b.Events) != 2 {
			t.Errorf("read %+v: %+v (%v)", ro, b, err)
		}
	}
	if p, err := s.PositionBefore(t.Context(), time.Now().Add(-time.Hour)); err != nil || p != 0 {
		t.Errorf("the position before an hour ago is %d (%v)", p, err)
	}
	g, l := owned(t, s, "p")
	err = s.Commit(t.Context(), store.Commit{Generation: g.ID, Owner: "h", Epoch: l.Epoch, Position: 2, Digest: "d",
		Emitted: []event.Emitted{{Cause: 2, ID: "3", Stream: "a", Type: "Emitted"}},
		Queue:   []store.QueuedEvent{{Key: "k", Position: 1}}, Sequences: []store.Sequence{{Key: "k", State: store.Parked, Position: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	r.want("1 2 3")
	if q, err := s.Queued(t.Context(), g.ID, "k", 5); err != nil || len(q) != 1 || q[0].ID != "1" {
		t.Errorf("queued is %+v (%v)", q, err)
	}
	if n := query[int](admin, `SELECT count(*) FROM "Read ""Models""".events`); n != 0 {
		t.Errorf("%d events were stored in the wrong table", n)
	}
}

// appendOne is a request for one event.
func appendOne(stream string, expected store.Expected, id string) store.AppendRequest {
	return store.AppendRequest{Streams: []store.StreamAppend{{Stream: stream, Expected: expected, Events: []store.NewEvent{{ID: id, Type: "Happened", Data: []byte(`{}`)}}}}}
}

// owned makes a plugin and takes its lease.
func owned(t *testing.T, s *postgres.Store, plugin string) (store.Generation, store.Lease) {
	t.Helper()
	g, err := s.EnsurePlugin(t.Context(), plugin, 0, 1, "stream")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RegisterHost(t.Context(), store.Host{ID: "h", Name: "host"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	l, err := s.Acquire(t.Context(), g.ID, "h")
	if err != nil {
		t.Fatal(err)
	}
	return g, l
}
