// Package counter holds the plugin in C to the ABI, and runs it in the sandbox.
package counter

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eshost/abi/abitest"
	"eshost/host"
	"eshost/host/config"
	"eshost/host/event"
)

// build compiles the plugin from its source. Where a toolchain is missing build.sh says which, and how to get it.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("../build.sh", "-o", dir, "c").CombinedOutput(); err != nil {
		t.Fatalf("build.sh c: %v\n%s", err, out)
	}
	return filepath.Join(dir, "counter", "c", "counter.wasm")
}

func TestPassesTheKit(t *testing.T) {
	t.Parallel()
	wasm, err := os.ReadFile(build(t))
	if err != nil {
		t.Fatal(err)
	}
	abitest.Test(t, wasm, abitest.Options{Time: time.Minute})
}

// TestInTheSandbox also throws instances away between events.
func TestInTheSandbox(t *testing.T) {
	t.Parallel()
	plugin := config.NewPlugin("counter", build(t))
	plugin.OrderBy, plugin.Allow = "all", []string{"state"}
	want := map[string]int{"Opened": 3, "Closed": 12, "Größe": 120, strings.Repeat("t", 512): 1}
	var events []event.Event
	for eventType, n := range want {
		for i := range n {
			events = append(events, event.Event{
				Position: event.Position(len(events) + 1), Version: 1, ID: fmt.Sprint(len(events)), Stream: fmt.Sprint("s-", i), Type: eventType,
				Time: time.Unix(1_700_000_000, 0), Data: []byte("{}"), Metadata: []byte("{}"), ContentType: "application/json",
			})
		}
	}
	report, err := host.TryModule(t.Context(), plugin, events, host.TrialOptions{Chaos: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range report.Outcomes {
		if o.Failure != nil {
			t.Fatalf("%s: %v", o.Event.Type, o.Failure)
		}
	}
	if len(report.Documents) != len(want) {
		t.Errorf("there are %d documents, want %d", len(report.Documents), len(want))
	}
	for _, d := range report.Documents {
		if got := string(d.Data); d.Collection != "counts" || got != fmt.Sprint(want[d.Key]) {
			t.Errorf("%s/%s is %s, want %d", d.Collection, d.Key, got, want[d.Key])
		}
	}
	if d := report.Chaos.Difference; d != nil {
		t.Errorf("thrown away instances show: %+v", d)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	wasm, err := os.ReadFile(build(t))
	if err != nil {
		t.Fatal(err)
	}
	m := abitest.Load(t, wasm)
	for _, c := range []struct{ eventType, stored, want string }{
		{"", "", "reject: the event's type cannot be a document's key"},
		{strings.Repeat("t", 1025), "", "reject: the event's type cannot be a document's key"},
		{"Opened", "-1", "retry: the stored document is not a count"},
		{"Opened", "10000000000000000000", "retry: the stored document is not a count"},
		{"Opened", `"` + strings.Repeat("x", 1000) + `"`, "retry: the stored document is not a count"},
	} {
		m.Documents = map[abitest.Key]string{{Collection: "counts", Key: "Opened"}: c.stored}
		if err := m.Deliver(&event.Event{Position: 1, ID: "1", Stream: "s", Type: c.eventType}, 1); err == nil || err.Error() != c.want {
			t.Errorf("%.20q with %.20s: %v, want %s", c.eventType, c.stored, err, c.want)
		}
	}
	m.Documents = map[abitest.Key]string{{Collection: "counts", Key: "Opened"}: "9999999999999999999"}
	if err := m.Deliver(&event.Event{Position: 1, ID: "1", Stream: "s", Type: "Opened"}, 1); err != nil {
		t.Fatal(err)
	}
	if got := m.Documents[abitest.Key{Collection: "counts", Key: "Opened"}]; got != "10000000000000000000" {
		t.Errorf("one more is %s", got)
	}
}
