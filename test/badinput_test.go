package test

import (
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"eshost/test/pgtest"
	"eshost/test/redistest"
)

const (
	exitFailed  = 1
	exitInput   = 2
	exitMissing = 3
)

// refuses runs the host and holds it to a refusal: the exit code, an error that names the thing, and a hint.
func (p *project) refuses(code int, says ...string) {
	p.t.Helper()
	got, out, errs := p.run("", "run")
	if got != code {
		p.t.Errorf("exit code %d, want %d\n%s", got, code, errs)
	}
	checkRefusal(p.t, out, errs, says)
}

func checkRefusal(t *testing.T, out, errs string, says []string) {
	t.Helper()
	for _, want := range append(says, "eshost: ", "\nhint: ") {
		if !strings.Contains(errs, want) {
			t.Errorf("the error does not say %q:\n%s", want, errs)
		}
	}
	if strings.Contains(out, "ready") || strings.Contains(errs, "goroutine ") || strings.Contains(errs, secret) {
		t.Errorf("a refusal must not look like this:\n%s%s", out, errs)
	}
}

// secret is the password in the tests' URLs, which nobody may print.
const secret = "hunter2"

func TestUnusableModules(t *testing.T) {
	t.Parallel()
	rust := string(read(t, balancesModule(t, "rust")))
	bad := func(name string) string {
		return string(read(t, filepath.Join(root, "host", "internal", "plugin", "testdata", "bad", name+".wasm")))
	}
	for name, c := range map[string]struct {
		module string
		allow  string
		says   []string
	}{
		"empty":              {module: "", says: []string{"empty"}},
		"truncated":          {module: rust[:len(rust)/2]},
		"not WebAssembly":    {module: "#!/bin/sh\necho hello\n", says: []string{"not a WebAssembly module"}},
		"a component":        {module: "\x00asm\x0d\x00\x01\x00", says: []string{"component"}},
		"another ABI":        {module: bad("import_v2"), says: []string{"version 2 of the ABI"}},
		"no ABI":             {module: bad("no_marker"), says: []string{"eshost_abi_v1"}},
		"unknown function":   {module: bad("unknown_function"), says: []string{"eshost_v1"}},
		"unknown module":     {module: bad("unknown_module")},
		"import not granted": {module: rust, allow: `allow = ["log"]`, says: []string{"state"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, newDatabase(t, "sqlite"), "h", plugin{"broken", "module.wasm", c.allow})
			p.write("module.wasm", c.module)
			p.refuses(exitInput, append(c.says, `plugin "broken"`, "module.wasm")...)
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		newProject(t, newDatabase(t, "sqlite"), "h", plugin{"broken", "module.wasm", ""}).refuses(exitMissing, `plugin "broken"`, "module.wasm")
	})
	t.Run("several", func(t *testing.T) {
		t.Parallel()
		p := newProject(t, newDatabase(t, "sqlite"), "h", plugin{"one", "missing.wasm", ""}, plugin{"two", "empty.wasm", ""})
		p.write("empty.wasm", "")
		code, out, errs := p.run("", "run")
		if code != exitInput && code != exitMissing {
			t.Errorf("exit code %d", code)
		}
		checkRefusal(t, out, errs, []string{`plugin "one"`, `plugin "two"`})
	})
}

func TestStoresThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	type server struct {
		address string
		code    int
		says    string
	}
	servers := map[string]server{
		"nobody":       {closed, exitMissing, "refused"},
		"a web server": {web.Listener.Addr().String(), exitInput, "not PostgreSQL"},
	}
	servers["Redis"] = server{redistest.Start(t).Addr(), exitMissing, "connect"}
	for name, c := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := fmt.Sprintf("postgres://user:%s@%s/events?connect_timeout=3&sslmode=disable", secret, c.address)
			newProject(t, url, "h").refuses(c.code, c.address, c.says)
		})
	}
}

func TestForeignAndNewerDatabases(t *testing.T) {
	t.Parallel()
	const newer = "(version, name%s) VALUES (4711, 'from the future'%s)"
	t.Run("postgres newer", func(t *testing.T) {
		t.Parallel()
		url := pgtest.Database(t)
		openStore(t, url)
		execute(t, url, "INSERT INTO eshost.migrations "+fmt.Sprintf(newer, "", ""))
		newProject(t, url, "h").refuses(exitInput, "4711", "newer eshost")
	})
	t.Run("postgres foreign", func(t *testing.T) {
		t.Parallel()
		url := pgtest.Database(t)
		execute(t, url, "CREATE SCHEMA eshost", "CREATE TABLE eshost.customers (id int)")
		newProject(t, url, "h").refuses(exitInput, "another application")
	})
	t.Run("sqlite newer", func(t *testing.T) {
		t.Parallel()
		url := newDatabase(t, "sqlite")
		openStore(t, url)
		executeSQLite(t, url, "INSERT INTO migrations "+fmt.Sprintf(newer, ", applied_at", ", 1"))
		newProject(t, url, "h").refuses(exitInput, "4711", "newer eshost")
	})
	t.Run("sqlite foreign", func(t *testing.T) {
		t.Parallel()
		url := newDatabase(t, "sqlite")
		executeSQLite(t, url, "CREATE TABLE customers (id int)")
		newProject(t, url, "h").refuses(exitInput, "events.db")
	})
	t.Run("sqlite no database", func(t *testing.T) {
		t.Parallel()
		p := newProject(t, "sqlite:notes.txt", "h")
		p.write("notes.txt", strings.Repeat("this is no database\n", 100))
		p.refuses(exitInput, "notes.txt")
	})
	t.Run("sqlite missing folder", func(t *testing.T) {
		t.Parallel()
		newProject(t, "sqlite:missing/events.db", "h").refuses(exitMissing, "missing")
	})
}

// executeSQLite runs a statement on the file itself.
func executeSQLite(t *testing.T, storeURL string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", strings.TrimPrefix(storeURL, "sqlite:")+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestLogThatWentBack sets the sequence of positions back, as a restored backup does: a host refuses to go on,
// whether it runs or is started, and does not skip what gets the old positions.
func TestLogThatWentBack(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		s := openStore(t, storeURL)
		for range 5 {
			appendOne(t, s, "a")
		}
		p := newProject(t, storeURL, "h", plugin{"balances", balancesModule(t, "rust"), ""})
		h := p.host()
		h.ready()
		settled(t, s, "balances")
		setBackTo(t, storeURL, 2)
		if code := h.wait(); code != exitFailed {
			t.Errorf("the running host ended with code %d", code)
		}
		says := []string{"the log went back", "rebuil"}
		checkRefusal(t, "", h.stderr.String(), says)
		p.refuses(exitFailed, says...)
	})
}
