package sandbox

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"eshost/host/event"
	"eshost/host/store"
)

// expectation is the head of a module's source: what must become of its event.
//
//	;; case: a name for the table
//	;; outcome: fails (the default), handled, or chain (fails once it has handled what it emitted)
//	;; kind: the kind of failure
//	;; says: a part of its text
//	;; log: a part of the host's log
//	;; document: collection/key = value, for each document there is afterwards
//	;; toml: a line of its section in hosts.toml
//	;; events: how many there are, by default 1
//	;; data: how many bytes they have, by default 2
//	;; keeps: how many MiB its instance may keep
type expectation struct {
	group               int
	name, outcome, kind string
	says, log           string
	documents           map[string]string
	toml                []string
	events, data        int
	keeps               int64 // MiB
	attempts            int
	secret              []byte // the event's data, if not nil
}

func expect(t *testing.T, path string) expectation {
	t.Helper()
	want := expectation{outcome: "fails", events: 1, data: 2, documents: map[string]string{}, attempts: 2}
	number, _, _ := strings.Cut(filepath.Base(path), "_")
	want.group, _ = strconv.Atoi(number)
	for line := range strings.Lines(string(read(t, path))) {
		head, ok := strings.CutPrefix(strings.TrimSpace(line), ";; ")
		if !ok {
			break
		}
		key, value, _ := strings.Cut(head, ": ")
		switch key {
		case "case":
			want.name = value
		case "outcome":
			want.outcome = value
		case "kind":
			want.kind = value
		case "says":
			want.says = value
		case "log":
			want.log = value
		case "document":
			name, content, _ := strings.Cut(value, " = ")
			want.documents[name] = content
		case "toml":
			want.toml = append(want.toml, value)
		case "events":
			want.events, _ = strconv.Atoi(value)
		case "keeps":
			if _, err := fmt.Sscanf(value, "%d MiB", &want.keeps); err != nil {
				t.Fatalf("%s: keeps: %v", path, err)
			}
		case "data":
			want.data, _ = strconv.Atoi(value)
		default:
			t.Fatalf("%s: unknown key %q", path, key)
		}
	}
	if want.group == 0 || want.name == "" {
		t.Fatalf("%s has no group or no case", path)
	}
	return want
}

// section is the plugin's part of hosts.toml. Two attempts show that a new instance takes the place of a spent one.
func (e *expectation) section() string {
	lines := append([]string{`events = ["Bad"]`, fmt.Sprintf("retry.attempts = %d", e.attempts), `retry.backoff = "1ms..1ms"`, "lanes = 1"}, e.toml...)
	if !strings.Contains(strings.Join(lines, "\n"), "limits.time") {
		lines = append(lines, `limits.time = "100ms"`)
	}
	return strings.Join(lines, "\n")
}

// TestGuestsAreBuiltFromTheirSources keeps the committed modules honest where the tool is at hand.
func TestGuestsAreBuiltFromTheirSources(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Skip("wat2wasm (package wabt) is not installed")
	}
	for _, source := range sources(t) {
		out := filepath.Join(t.TempDir(), "out.wasm")
		if text, err := exec.Command(tool, "--debug-names", source, "-o", out).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", source, text)
		}
		if !bytes.Equal(read(t, out), read(t, strings.TrimSuffix(source, ".wat")+".wasm")) {
			t.Errorf("%s is not what its .wasm was built from; build it: wat2wasm --debug-names", source)
		}
	}
}

func sources(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/*.wat")
	if err != nil || len(all) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	return all
}

// handling runs a module that loads and starts through the host and holds what becomes of its events to what is wanted.
// prepare, if not nil, runs before.
func handling(t *testing.T, r *report, want expectation, wasm []byte, prepare func(*world)) {
	w := newWorld(t, module{"bad", wasm, want.section()})
	w.until("the plugin starts", func() bool { state, _ := w.state("bad"); return state == "running" })
	if prepare != nil {
		prepare(w)
	}
	w.measured(t, r, want.group, want.name, want.keeps<<20, func() string {
		data := want.secret
		if data == nil {
			data = bytes.Repeat([]byte("x"), want.data)
		}
		events := make([]store.NewEvent, want.events)
		for i := range events {
			events[i] = store.NewEvent{Type: "Bad", Data: append(data, bytes.Repeat([]byte("x"), 8000*i)...), ContentType: "text/plain"}
		}
		last := w.append("bad", events...)
		w.reached("bad", last)
		switch want.outcome {
		case "handled":
			return w.handledWell(want)
		case "chain":
			return w.endsItsChain(want)
		}
		return w.fails(want)
	})
}

func (w *world) handledWell(want expectation) string {
	w.t.Helper()
	if p := w.stored("bad"); p.Parked+p.Retrying > 0 {
		w.t.Fatalf("its event failed: %+v", p.FirstFailure)
	}
	w.wantDocuments(want.documents)
	w.wantLog(want.log)
	return "handled"
}

// fails holds a plugin to a failed event: after the last attempt its sequence is parked, nothing of it is applied, and a
// later event of its stream waits behind it.
//
// Invariant 3: an event that fails leaves no effect. Invariant 4: it holds back its own key.
func (w *world) fails(want expectation) string {
	w.t.Helper()
	failed := w.parked(want, 1)
	behind := w.append("bad", store.NewEvent{Type: "Bad", Data: []byte("{}")})
	w.reached("bad", behind)
	if again := w.parked(want, 2); again.Position != failed.Position {
		w.t.Errorf("the sequence is at %d now, was at %d", again.Position, failed.Position)
	}
	w.wantDocuments(want.documents)
	if spans, err := w.host.Store().Read(w.t.Context(), store.ReadOptions{UpTo: behind, Limit: 10, Filter: event.Filter{Types: []string{"Flooded"}}}); err != nil || len(spans.Events) > 0 {
		w.t.Errorf("events that a failing handler emitted: %+v, %v", spans.Events, err)
	}
	w.wantLog(want.log)
	return string(failed.Kind) + ": " + failed.Error
}

// parked waits for the one sequence of a stream to be parked with that many events waiting.
func (w *world) parked(want expectation, waiting int) store.Sequence {
	w.t.Helper()
	gen := w.stored("bad").ID
	var last store.Sequence
	w.until(fmt.Sprintf("%d events are parked", waiting), func() bool {
		all, err := w.host.Store().Sequences(w.t.Context(), gen)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range all {
			last = s
			if s.State == store.Parked && s.Waiting == waiting {
				return true
			}
		}
		return false
	})
	if string(last.Kind) != want.kind || !strings.Contains(last.Error, want.says) {
		w.t.Errorf("it failed with %s: %q, want %s: %q", last.Kind, last.Error, want.kind, want.says)
	}
	if final := last.Kind == event.FailReject || last.Kind == event.FailLoop; !final && last.Attempts != want.attempts {
		w.t.Errorf("%d attempts were made, want %d", last.Attempts, want.attempts)
	}
	return last
}

// endsItsChain holds a plugin that feeds itself to an end.
func (w *world) endsItsChain(want expectation) string {
	w.t.Helper()
	var failed store.Sequence
	w.until("the chain ends", func() bool {
		all, err := w.host.Store().Sequences(w.t.Context(), w.stored("bad").ID)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(all) > 0 {
			failed = all[0]
		}
		return len(all) > 0
	})
	if string(failed.Kind) != want.kind || !strings.Contains(failed.Error, want.says) {
		w.t.Errorf("it failed with %s: %q, want %s: %q", failed.Kind, failed.Error, want.kind, want.says)
	}
	return string(failed.Kind) + ": " + failed.Error
}

func (w *world) wantDocuments(want map[string]string) {
	w.t.Helper()
	got := w.documentsOf("bad")
	for name, content := range want {
		if got[name] != content {
			w.t.Errorf("document %s is %.100q, want %q", name, got[name], content)
		}
	}
	if len(got) != len(want) {
		w.t.Errorf("there are %d documents, want %d", len(got), len(want))
	}
}

// wantLog holds the host's log to a line, and to being a log: no line longer than it may be, nothing that does not print.
func (w *world) wantLog(text string) {
	w.t.Helper()
	log := w.log.String()
	if !strings.Contains(log, text) {
		w.t.Errorf("the log does not say %q", text)
	}
	for line := range strings.Lines(log) {
		if len(line) > 8<<10 || strings.Contains(line, "\x1b") || !utf8.ValidString(line) {
			w.t.Errorf("a line of the log: %.200q…", line)
		}
		if strings.HasPrefix(line, "level=ERROR") {
			w.t.Errorf("a forged line: %q", line)
		}
	}
}
