package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"eshost/test/pgtest"
)

// TestHeldLog holds status and events to saying who keeps the log's end from being final.
func TestHeldLog(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	db := "--store=" + url
	mustRun(t, fmt.Sprintf(oneEvent, 1), "append", "-", db)

	conn, err := pgx.Connect(t.Context(), url+"&application_name=slow-writer")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO eshost.events (stream, version, type, data) VALUES ('b', 1, 'T', '2')`); err != nil {
		t.Fatal(err)
	}
	mustRun(t, fmt.Sprintf(oneEvent, 3), "append", "-", db)

	var report statusReport
	if err := json.Unmarshal([]byte(mustRun(t, "", "status", "--json", db)), &report); err != nil {
		t.Fatal(err)
	}
	pid := int32(conn.PgConn().PID())
	if l := report.Log; l.Head != 3 || l.Watermark >= 2 || len(l.HeldBy) == 0 || l.HeldBy[0].PID != pid || l.HeldBy[0].Application != "slow-writer" {
		t.Errorf("got %+v", l)
	}
	want := fmt.Sprintf(`held back by pid %d "slow-writer"`, pid)
	if out := mustRun(t, "", "status", db); !strings.Contains(out, want) {
		t.Errorf("status does not say %q: %s", want, out)
	}
	var out, stderr bytes.Buffer
	if code := Main(t.Context(), []string{"events", db}, nil, &out, &stderr); code != exitDone || !strings.Contains(stderr.String(), want) {
		t.Errorf("events does not say %q: %s", want, stderr.String())
	}

	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(mustRun(t, "", "events", "--json", db), `"position"`); got != 3 {
		t.Errorf("%d events after the commit", got)
	}
	if out := mustRun(t, "", "status", db); !strings.Contains(out, "watermark 3, head 3") {
		t.Errorf("got %s", out)
	}
}

// TestStoreRefusals holds every command to naming the database, without its password, and the way out.
func TestStoreRefusals(t *testing.T) {
	t.Parallel()
	newer := pgtest.Database(t)
	mustRun(t, "", "append", "-", "--store="+newer)
	conn, err := pgx.Connect(t.Context(), newer)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `INSERT INTO eshost.migrations (version, name) VALUES (9999, 'from the future')`); err != nil {
		t.Fatal(err)
	}
	readers := []string{"events", "status", "read a b", "wait a --position 1"}
	writers := append([]string{"append -"}, readers...)
	for name, test := range map[string]struct {
		url      string
		code     int
		commands []string
	}{
		"no server":     {"postgres://app:secret@127.0.0.1:1/bank", exitMissing, writers},
		"newer version": {newer, exitInput, writers},
		"no tables":     {pgtest.Database(t), exitMissing, readers},
	} {
		for _, command := range test.commands {
			var out, stderr bytes.Buffer
			code := Main(t.Context(), append(strings.Fields(command), "--store="+test.url), strings.NewReader(""), &out, &stderr)
			if code != test.code || out.Len() > 0 || strings.Contains(stderr.String(), "secret") ||
				!strings.Contains(stderr.String(), "eshost: store postgres://") || !strings.Contains(stderr.String(), "\nhint: ") {
				t.Errorf("%s, %s: exit code %d\n%s%s", name, command, code, out.String(), stderr.String())
			}
		}
	}
}
