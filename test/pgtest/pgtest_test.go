package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"eshost/test/pgtest"

	"github.com/jackc/pgx/v5"
)

// childVariable makes the test binary the owner of a server that is about to be killed.
const childVariable = "ESHOST_PGTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		ownServerForEver()
	}
	os.Exit(pgtest.Main(m))
}

func ownServerForEver() {
	s, err := pgtest.Start(context.Background(), pgtest.Options{})
	if err != nil {
		os.Stdout.WriteString("error " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString(s.URL() + "\n")
	select {}
}

func queryString(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var s string
	if err := conn.QueryRow(t.Context(), sql).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func execute(t *testing.T, url string, sql ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, stmt := range sql {
		if _, err := conn.Exec(t.Context(), stmt); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatabaseIsFreshAndDropped(t *testing.T) {
	var a, b string
	t.Run("use", func(t *testing.T) {
		a, b = pgtest.Database(t), pgtest.Database(t)
		execute(t, a, "CREATE TABLE x ()", "BEGIN", "CREATE TABLE y ()")
		if n := queryString(t, b, "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'"); n != "0" {
			t.Errorf("a new database has %s tables", n)
		}
	})
	for _, database := range []string{a, b} {
		if conn, err := pgx.Connect(t.Context(), database); err == nil {
			t.Error("a database outlived its test")
			conn.Close(t.Context())
		}
	}
}

func TestPreparedTransactionDoesNotKeepDatabase(t *testing.T) {
	t.Run("use", func(t *testing.T) {
		execute(t, pgtest.Database(t), "CREATE TABLE x (i int)", "BEGIN", "INSERT INTO x VALUES (1)", "PREPARE TRANSACTION 'it''s open'")
	})
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	s := pgtest.Private(t, pgtest.Options{Settings: map[string]string{"work_mem": "7MB"}})
	database, err := s.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := queryString(t, database, "SHOW work_mem"); got != "7MB" {
		t.Errorf("work_mem is %s", got)
	}
	execute(t, database, "CREATE TABLE kept AS SELECT 'yes'::text AS v")
	for _, stop := range []func() error{s.Stop, s.Crash} {
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if conn, err := pgx.Connect(t.Context(), database); err == nil {
			conn.Close(t.Context())
			t.Fatal("a stopped server answers")
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := queryString(t, database, "SELECT v FROM kept"); got != "yes" {
			t.Errorf("the data is now %q", got)
		}
	}
}

// TestServerDiesWithItsOwner kills a process that owns a server, as a test that runs out of its time is.
func TestServerDiesWithItsOwner(t *testing.T) {
	t.Parallel()
	tmp, err := os.MkdirTemp("", "pgtest-") // not t.TempDir: the server is another user, who needs a folder like /tmp
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=1", "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error") {
		cmd.Process.Kill()
		t.Fatalf("the child said %q (%v)", line, err)
	}
	server, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	deadline := time.Now().Add(30 * time.Second)
	for {
		left, err := os.ReadDir(tmp)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", server.Host)
		if err == nil {
			conn.Close()
		}
		if err != nil && len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("30 s after its owner the server answers (%v), and %d folders are left", err == nil, len(left))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestMissingBinaries(t *testing.T) {
	t.Setenv("ESHOST_POSTGRES_BIN", t.TempDir())
	_, err := pgtest.Start(t.Context(), pgtest.Options{})
	if !errors.Is(err, pgtest.ErrMissing) || !strings.Contains(err.Error(), "ESHOST_POSTGRES_BIN") {
		t.Errorf("got error %v", err)
	}
}

func TestBadSettingIsReported(t *testing.T) {
	t.Parallel()
	_, err := pgtest.Start(t.Context(), pgtest.Options{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got error %v", err)
	}
}
