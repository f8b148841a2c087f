package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/test/pgtest"
)

// TestRestoredEvents restores the events alone to an earlier moment, while no host runs, and lets applications write to
// them before one is started: the read models were made of another log. The host must refuse to skip what has come in
// the places of events, say which plugins it is about, and go on once somebody has said how.
func TestRestoredEvents(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		seed := newSeed(t)
		s := openStore(t, storeURL)
		rust := balancesModule(t, "rust")
		p := newProject(t, storeURL, "h", plugin{"first", rust, bankTypes}, plugin{"second", rust, bankTypes})
		appendAs(t, s, "more-", seed, 100)
		h := p.host()
		h.ready()
		settled(t, s, "first", "second")
		if out := p.must("recover"); out != "the log bears out every checkpoint\n" {
			t.Errorf("recover says %q", out)
		}
		h.stop()
		setBackTo(t, storeURL, 0)
		appendAs(t, s, "other-", seed+1, 250)

		says := []string{"the log went back", `the checkpoint 100 of plugin "first" stands on another log`, `plugin "second"`, "eshost recover"}
		p.refuses(exitFailed, says...)
		code, out, errs := p.run("", "recover")
		if code != exitFailed || strings.Count(out, " at 100 ") != 2 || !strings.Contains(errs, "does not bear out 2 checkpoints") {
			t.Errorf("recover: exit code %d\n%s%s", code, out, errs)
		}
		var report struct {
			Diverged  []struct{ Plugin string }
			Recovered []struct {
				Plugin string
				After  event.Position
				Kept   bool
			}
		}
		if err := json.Unmarshal([]byte(p.must("recover", "--json", "first", "--rebuild")), &report); err != nil {
			t.Fatal(err)
		}
		if len(report.Diverged) != 2 || len(report.Recovered) != 1 || report.Recovered[0].Plugin != "first" || report.Recovered[0].Kept {
			t.Errorf("recover --rebuild says %+v", report)
		}
		p.refuses(exitFailed, `plugin "second"`)
		if out := p.must("recover", "--all", "--keep-after", "250"); out != "second goes on after 100 with the documents it has\n" {
			t.Errorf("recover --keep-after says %q", out)
		}
		kept := documents(t, s, "second", "balances")

		h = p.host()
		h.ready()
		settled(t, s, "first", "second")
		compareDocuments(t, "first", documents(t, s, "first", "balances"), modelOf(t, s).balances)
		after := documents(t, s, "second", "balances")
		for key, document := range kept {
			if after[key] != document {
				t.Errorf("document %q was %s and is %s", key, document, after[key])
			}
		}
		if len(after) <= len(kept) {
			t.Errorf("the plugin that went on made nothing of the new events: %d documents", len(after))
		}
		h.stop()
	})
}

// TestRestoredFile restores a SQLite database as a whole under a running host: the host says that the file is another
// one, writes to neither, and is right again once it is started anew.
func TestRestoredFile(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	storeURL := newDatabase(t, "sqlite")
	file := strings.TrimPrefix(storeURL, "sqlite:")
	p := newProject(t, storeURL, "h", bankPlugins(t)...)
	s := openStore(t, storeURL)
	h := p.host()
	h.ready()
	appendAs(t, s, "before-", seed, 200)
	settled(t, s, "assemblyscript", "rust", "journal")
	backup := filepath.Join(p.dir, "backup.db")
	executeSQLite(t, storeURL, "VACUUM INTO '"+backup+"'")
	appendAs(t, s, "lost-", seed+1, 300)
	settled(t, s, "assemblyscript", "rust", "journal")
	for _, err := range []error{os.Rename(backup, file), os.Remove(file + "-wal"), os.Remove(file + "-shm")} {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	eventually(t, "the host says that the file is another one", func() error {
		if !strings.Contains(h.stderr.String(), "was moved, deleted or replaced while it was open") {
			return errors.New("it has not said so")
		}
		return nil
	})
	h.kill()
	s = openStore(t, storeURL)
	if head := headOf(t, s); head != 200 {
		t.Fatalf("the restored log ends at %d", head)
	}
	h = p.host()
	h.ready()
	appendAs(t, s, "after-", seed+2, 500)
	checkBank(t, s)
	h.stop()
}

// TestRestoredDump restores a dump of a whole PostgreSQL database, into the same server under a running host and into
// a new one: checkpoints and events went back together, so nothing is skipped and nothing handled twice.
func TestRestoredDump(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	server := pgtest.Private(t, pgtest.Options{})
	storeURL := privateDatabase(t, server)
	s := openStore(t, storeURL)
	p := newProject(t, storeURL, "h", bankPlugins(t)...)
	h := p.host()
	h.ready()
	appendAs(t, s, "before-", seed, 200)
	settled(t, s, "assemblyscript", "rust", "journal")
	dump := must(t, server.Command("pg_dump", "--dbname="+storeURL))
	appendAs(t, s, "lost-", seed+1, 300)
	settled(t, s, "assemblyscript", "rust", "journal")

	name := nameOf(t, storeURL)
	execute(t, server.URL(), "DROP DATABASE "+name+" WITH (FORCE)", "CREATE DATABASE "+name+" TEMPLATE template0")
	restoreInto(t, server, storeURL, dump)
	if code := h.wait(); code != exitFailed || !strings.Contains(h.stderr.String(), "the log went back") {
		t.Errorf("the running host ended with code %d", code)
	}
	other := pgtest.Private(t, pgtest.Options{})
	otherURL := privateDatabase(t, other)
	restoreInto(t, other, otherURL, dump)
	for i, url := range []string{storeURL, otherURL} {
		p := newProject(t, url, "h", bankPlugins(t)...)
		s := openStore(t, url)
		if head := headOf(t, s); head != 200 {
			t.Fatalf("the restored log ends at %d", head)
		}
		h := p.host()
		h.ready()
		appendAs(t, s, fmt.Sprintf("after-%d-", i), seed+2, 500)
		checkBank(t, s)
		h.stop()
	}
}

// TestRestoredWithoutItsSequence is a restore that left the sequence of positions behind: positions would be used again.
func TestRestoredWithoutItsSequence(t *testing.T) {
	t.Parallel()
	storeURL := newDatabase(t, "postgres")
	s := openStore(t, storeURL)
	for range 5 {
		appendOne(t, s, "a")
	}
	execute(t, storeURL, "SELECT setval(pg_get_serial_sequence('eshost.events', 'position'), 1, false)")
	p := newProject(t, storeURL, "h", plugin{"balances", balancesModule(t, "rust"), ""})
	p.refuses(exitFailed, "there is an event at position 5", "stands at 0", "set it above the highest position")
	execute(t, storeURL, "SELECT setval(pg_get_serial_sequence('eshost.events', 'position'), 5)")
	h := p.host()
	h.ready()
	settled(t, s, "balances")
	h.stop()
}

func restoreInto(t *testing.T, server *pgtest.Server, url, dump string) {
	t.Helper()
	cmd := server.Command("psql", "--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1", "--dbname="+url)
	cmd.Stdin = strings.NewReader(dump)
	must(t, cmd)
}

func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(cmd.Path), err, errs.String())
	}
	return out.String()
}

func nameOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return pgx.Identifier{strings.TrimPrefix(u.Path, "/")}.Sanitize()
}

// setBackTo takes the events after a position away and has their positions handed out again.
func setBackTo(t *testing.T, storeURL string, to int) {
	t.Helper()
	gone := fmt.Sprintf("events WHERE position > %d", to)
	if strings.HasPrefix(storeURL, "postgres") {
		execute(t, storeURL, "DELETE FROM eshost."+gone, fmt.Sprintf("SELECT setval(pg_get_serial_sequence('eshost.events', 'position'), %d, false)", to+1))
		return
	}
	executeSQLite(t, storeURL, "DELETE FROM "+gone, fmt.Sprintf("UPDATE sqlite_sequence SET seq = %d WHERE name = 'events'", to))
}

// appendAs appends events of a source's own at once.
func appendAs(t *testing.T, s store.Store, prefix string, seed uint64, n int) {
	t.Helper()
	src := newSource(prefix, seed)
	var req store.AppendRequest
	for range n {
		req.Streams = append(req.Streams, src.next())
	}
	if err := s.Append(t.Context(), []store.AppendRequest{req})[0].Err; err != nil {
		t.Fatal(err)
	}
}
