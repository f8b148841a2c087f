package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"eshost/host/config"
	"eshost/host/event"
)

const (
	guests   = "testdata/faulty"
	examples = "../plugins/examples/balances"
	sandbox  = "internal/plugin/testdata"
)

// faulty builds testdata/faulty in a language, as its SDK builds plugins.
func faulty(t *testing.T, language string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "faulty.wasm")
	source, err := filepath.Abs(filepath.Join(guests, language))
	if err != nil {
		t.Fatal(err)
	}
	var cmd *exec.Cmd
	switch language {
	case "rust":
		cmd = exec.Command("../sdk/rust/build.sh", source, out)
	case "go":
		cmd = exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-w", "-o", out, ".")
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	case "assemblyscript":
		cmd = exec.Command("node", "node_modules/assemblyscript/bin/asc.js", "../../../../host/"+guests+"/assemblyscript/index.ts",
			"--config", "asconfig.json", "--outFile", out)
		cmd.Dir = filepath.Join(examples, language)
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s in %s (scripts/setup installs what that needs): %v\n%s", guests, language, err, said)
	}
	return out
}

// everything is a plugin that may do all it wants, in more time than a busy machine needs.
func everything(module string) config.Plugin {
	p := config.NewPlugin("tried", module)
	p.Allow = Grants()
	p.Limits.Time = time.Minute
	return p
}

func eventsOf(types ...string) []event.Event {
	out := make([]event.Event, len(types))
	for i, name := range types {
		name, stream, _ := strings.Cut(name, " ")
		out[i] = event.Event{Position: event.Position(i + 1), Stream: stream, Version: 1, ID: fmt.Sprint("e", i+1), Type: name, Data: []byte(`{"n":1}`),
			Metadata: []byte("{}"), ContentType: "application/json", Time: time.Unix(1_700_000_000, 0).UTC()}
	}
	return out
}

func try1(t *testing.T, conf config.Plugin, events []event.Event, o TrialOptions) *TrialReport {
	t.Helper()
	r, err := TryModule(t.Context(), conf, events, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTrialInEveryLanguage runs handlers that fail, and that count in memory, in each language.
func TestTrialInEveryLanguage(t *testing.T) {
	t.Parallel()
	for language, want := range map[string]struct {
		message string   // with file and line
		stack   []string // innermost first, among others
	}{
		"assemblyscript": {"faulty/assemblyscript/index.ts:18:3)", []string{"assemblyscript/index~", "handleEvent"}},
		"rust":           {"panic at src/lib.rs:27:5: nothing is there", []string{"core::panicking::panic_fmt", "faulty::broken", "faulty::handle", "handle"}},
		"go":             {"panic: nothing is there (main.go:34)", []string{"main.broken (main.go:34)", "main.handle (main.go:", "eshost/sdk/go.handle"}},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			conf := everything(faulty(t, language))
			// One run of all, since compiling a large module takes its time.
			r := try1(t, conf, eventsOf("Counted a", "Looked d", "Broken b", "Refused c", "Counted b", "Looked a"), TrialOptions{Chaos: true, Seed: 3})
			broken, refused := r.Outcomes[2].Failure, r.Outcomes[3].Failure
			if broken == nil || broken.Kind != event.FailTrap || !strings.Contains(broken.Message, "nothing is there") || !strings.Contains(broken.Message, want.message) {
				t.Fatalf("the failure is %v, want %s", broken, want.message)
			}
			rest := broken.Stack
			for _, name := range want.stack {
				_, after, found := strings.Cut(rest, name)
				if !found {
					t.Errorf("the stack is\n%s\nwithout %s in its place", broken.Stack, name)
				}
				rest = after
			}
			if refused == nil || refused.Kind != event.FailReject || refused.Message != "no such account" {
				t.Errorf("the refusal is %v", refused)
			}
			if o := r.Outcomes[4]; o.Behind != 3 || o.Attempts != 0 || r.Outcomes[2].Attempts != 5 {
				t.Errorf("the event behind is %+v", o)
			}
			// The trap took the count with it.
			if docs := fmt.Sprintf("%s", r.Documents); docs != `[{seen a {"count":0}} {seen d {"count":1}}]` {
				t.Errorf("the documents are %s", docs)
			}
			if first := r.Logs[0]; first.Position != 1 || first.Text != "handled a" || first.Level != 0 {
				t.Errorf("the log begins with %+v", first)
			}
			if r.PeakMemory < 64<<10 || r.Outcomes[0].Fuel < 100 {
				t.Errorf("%d bytes, %+v", r.PeakMemory, r.Outcomes[0])
			}
			if d := r.Chaos.Difference; d == nil || d.Event.Position != 2 || d.Collection != "seen" || d.Key != "d" || d.Steady != `{"count":1}` || d.Chaos != `{"count":0}` {
				t.Errorf("chaos found %+v", d)
			}
		})
	}
}

// TestTrialOfTheExample holds a pure module to the same result whatever the seed, down to the fuel.
func TestTrialOfTheExample(t *testing.T) {
	t.Parallel()
	var types []string
	for i := range 120 {
		types = append(types, fmt.Sprintf("%s acc-%d", []string{"AccountOpened", "Deposited", "Other"}[i%3], i%5))
	}
	conf := everything(examples + "/rust/balances.wasm")
	events := eventsOf(types...)
	for i := range events {
		events[i].Data = []byte(`{"owner":"Ada","amount":5}`)
	}
	first := try1(t, conf, events, TrialOptions{})
	for seed := range uint64(2) {
		r := try1(t, conf, events, TrialOptions{Chaos: true, Seed: seed})
		if r.Chaos.Difference != nil || r.Chaos.Thrown == 0 || r.Chaos.Turns == 0 {
			t.Errorf("seed %d: %+v", seed, r.Chaos)
		}
		if !reflect.DeepEqual(r.Result, first.Result) {
			t.Errorf("seed %d: the result is another one", seed)
		}
	}
	conf.Events = []string{"Deposited"}
	if r := try1(t, conf, events, TrialOptions{}); r.Skipped != 80 || len(r.Outcomes) != 40 {
		t.Errorf("%d skipped, %d left", r.Skipped, len(r.Outcomes))
	}
}

func TestTrialRefusesWhatAHostRefuses(t *testing.T) {
	t.Parallel()
	conf := everything(examples + "/rust/balances.wasm")
	conf.Allow = nil
	if _, err := TryModule(t.Context(), conf, eventsOf("T a"), TrialOptions{}); !errors.Is(err, ErrModule) {
		t.Errorf("got %v", err)
	}
	for name, want := range map[string]string{
		"init_fails.wasm": "the module does not start: ",
		"start_trap.wasm": "the module does not start: unreachable",
		"recursion.wasm":  "\n... maybe followed by omitted frames",
	} {
		_, err := TryModule(t.Context(), everything(filepath.Join(sandbox, "start", name)), eventsOf("T a"), TrialOptions{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || e.Hint() == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestTrialLimits: time is the plugin's, and a flood of log lines is cut at the same line every time.
func TestTrialLimits(t *testing.T) {
	t.Parallel()
	conf := everything(sandbox + "/behave.wasm")
	conf.Limits.Time, conf.Retry.Attempts = 5*time.Millisecond, 1
	events := eventsOf("T a")
	events[0].Data = []byte("l") // loops
	if f := try1(t, conf, events, TrialOptions{}).Outcomes[0].Failure; f == nil || f.Kind != event.FailBudget || !strings.Contains(f.Message, "5ms") {
		t.Errorf("got %v", f)
	}
	conf.Limits.Time = time.Minute
	events = eventsOf(slices.Repeat([]string{"T a"}, 12)...)
	for i := range events {
		events[i].Data = []byte("n") // logs a thousand lines
	}
	r := try1(t, conf, events, TrialOptions{Chaos: true})
	if len(r.Logs) != maxTrialLogs || r.LogsDropped != 12_000-maxTrialLogs || r.Logs[maxTrialLogs-1].Position != 10 {
		t.Errorf("%d lines, %d dropped", len(r.Logs), r.LogsDropped)
	}
}
