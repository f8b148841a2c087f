package test

import (
	"strings"
	"testing"
)

// TestNewerTablesUnderARunningHost is a rolling upgrade: a newer eshost has migrated the database. The older host that runs
// goes on; one that is started, and every command, refuses and says what to do.
func TestNewerTablesUnderARunningHost(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		s := openStore(t, storeURL)
		p := newProject(t, storeURL, "h", bankPlugins(t)...)
		stopFeed := feed(t, s, newSource("", newSeed(t)))
		h := p.host()
		h.ready()
		if strings.HasPrefix(storeURL, "postgres") {
			execute(t, storeURL, "ALTER TABLE eshost.generations ADD COLUMN of_the_future text NOT NULL DEFAULT 'x'",
				"CREATE TABLE eshost.futures (id bigint)", "INSERT INTO eshost.migrations (version, name) VALUES (99, 'future')")
		} else {
			executeSQLite(t, storeURL, "ALTER TABLE generations ADD COLUMN of_the_future TEXT NOT NULL DEFAULT 'x'",
				"CREATE TABLE futures (id INTEGER)", "INSERT INTO migrations (version, name, applied_at) VALUES (99, 'future', 0)")
		}
		appendBank(t, s, 1, 500)
		stopFeed()
		m := checkBank(t, s)
		for _, args := range [][]string{{"run"}, {"status"}, {"recover"}} {
			code, _, errs := p.run("", args...)
			if code != 2 || !strings.Contains(errs, "99") || !strings.Contains(errs, "\nhint: ") || !strings.Contains(errs, "a newer eshost") {
				t.Errorf("%v: exit code %d\n%s", args, code, errs)
			}
		}
		h.stop()
		t.Logf("%d events", m.events)
	})
}
