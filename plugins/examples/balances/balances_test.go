// Package balances holds the example in all its languages to the same documents.
package balances

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/abi"
	"eshost/abi/abitest"
	"eshost/host/event"
)

var languages = []string{"assemblyscript", "rust", "go"}

// wasm reads a module: the committed one, or for Go, whose module is too large to commit, one built now.
func wasm(t testing.TB, language string) []byte {
	t.Helper()
	if language == "go" {
		b, err := goModule()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return read(t, filepath.Join(language, "balances.wasm"))
}

var goModule = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "eshost-balances")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := build(dir, "go"); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "balances", "go", "balances.wasm"))
})

func build(dir, language string) error {
	out, err := exec.Command("../build.sh", "-o", dir, "balances/"+language).CombinedOutput()
	if err != nil {
		return &buildError{language, out, err}
	}
	return nil
}

type buildError struct {
	language string
	out      []byte
	err      error
}

func (e *buildError) Error() string {
	return "build.sh " + e.language + ": " + e.err.Error() + "\n" + string(e.out)
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lines reads a file of testdata into one T a line.
func lines[T any](t testing.TB, file string) []T {
	t.Helper()
	var all []T
	for line := range bytes.Lines(read(t, filepath.Join("testdata", file))) {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%s: %v: %s", file, err, line)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		t.Fatalf("%s is empty", file)
	}
	return all
}

type eventLine struct {
	Stream, Type string
	Data         json.RawMessage
}

// events are those of events.ndjson as a store gives them.
func events(t testing.TB) []event.Event {
	var all []event.Event
	for i, line := range lines[eventLine](t, "events.ndjson") {
		all = append(all, newEvent(i+1, line.Stream, line.Type, line.Data))
	}
	return all
}

func newEvent(position int, stream, eventType string, data []byte) event.Event {
	return event.Event{
		Position: event.Position(position), Version: 1, ID: "test", Stream: stream, Type: eventType, Time: time.Unix(1_700_000_000, 0),
		Data: data, Metadata: []byte("{}"), ContentType: "application/json",
	}
}

func TestEventsMakeTheExpectedDocuments(t *testing.T) {
	type document struct {
		Key      string
		Document json.RawMessage
	}
	want := map[abitest.Key]string{}
	for _, d := range lines[document](t, "documents.ndjson") {
		want[abitest.Key{Collection: "balances", Key: d.Key}] = string(d.Document)
	}
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			m := abitest.Load(t, wasm(t, language))
			for _, e := range events(t) {
				if err := m.Deliver(&e, 1); err != nil {
					t.Fatalf("%s of %s: %v", e.Type, e.Stream, err)
				}
			}
			for key, document := range want {
				if m.Documents[key] != document {
					t.Errorf("%s is\n%s\nwant\n%s", key.Key, m.Documents[key], document)
				}
			}
			if len(m.Documents) != len(want) {
				t.Errorf("there are %d documents, want %d", len(m.Documents), len(want))
			}
			if len(m.Logs) != 0 || len(m.Emitted) != 0 || m.Output.Len() != 0 {
				t.Errorf("there is more than documents: %q %v %q", m.Logs, m.Emitted, m.Output.String())
			}
		})
	}
}

type single struct {
	Name, Type, Data, Before, After, Reject, Retry string

	DataBase64 []byte `json:"data_base64"`
	Config     map[string]string
}

// failure is how the event must end, as abitest says it.
func (c single) failure() string {
	switch {
	case c.Reject != "":
		return "reject: " + c.Reject
	case c.Retry != "":
		return "retry: " + c.Retry
	}
	return ""
}

func TestSingleEventsEndAsExpected(t *testing.T) {
	cases := lines[single](t, "cases.ndjson")
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			m := abitest.Load(t, wasm(t, language))
			for i, c := range cases {
				holdTo(t, m, i+1, c)
			}
		})
	}
}

func holdTo(t *testing.T, m *abitest.Module, position int, c single) {
	key := abitest.Key{Collection: "balances", Key: "acc"}
	want := map[abitest.Key]string{}
	m.Config, m.Documents = c.Config, map[abitest.Key]string{}
	if c.Before != "" {
		m.Documents[key], want[key] = c.Before, c.Before
	}
	if c.After != "" {
		want[key] = c.After
	}
	e := newEvent(position, key.Key, c.Type, append([]byte(c.Data), c.DataBase64...))
	failure := ""
	if err := m.Deliver(&e, 1); err != nil {
		failure = err.Error()
	}
	if failure != c.failure() {
		t.Errorf("%s: failed with %q, want %q", c.Name, failure, c.failure())
	}
	if len(m.Documents) != len(want) || m.Documents[key] != want[key] {
		t.Errorf("%s: the document is\n%s\nwant\n%s", c.Name, m.Documents[key], want[key])
	}
}

func TestModulesImportOnlyWhatTheyUse(t *testing.T) {
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			for _, name := range abitest.Load(t, wasm(t, language)).Imports() {
				switch module, function, _ := strings.Cut(name, "."); function {
				case abi.FuncStateGet, abi.FuncStateSet, abi.FuncFail, abi.FuncConfigGet, abi.FuncResultRead:
				default:
					if module == abi.Module {
						t.Errorf("%s is imported, so the plugin would need a grant it has no use for", name)
					}
				}
			}
		})
	}
}

func TestModulesDescribeThemselves(t *testing.T) {
	for _, language := range []string{"assemblyscript", "rust"} { // Go's linker has no place for a section
		t.Run(language, func(t *testing.T) {
			var manifest struct {
				Name, Version       string
				Events, Collections []string
			}
			section := abitest.Load(t, wasm(t, language)).Manifest()
			if err := json.Unmarshal(section, &manifest); err != nil {
				t.Fatalf("manifest %q: %v", section, err)
			}
			if manifest.Name != "balances" || manifest.Version != "1.0.0" || !slices.Equal(manifest.Collections, []string{"balances"}) ||
				!slices.Equal(manifest.Events, []string{"AccountOpened", "Deposited", "Withdrawn"}) {
				t.Errorf("manifest is %s", section)
			}
		})
	}
}

// TestRustRebuildsFromSource builds the committed module anew. The same compiler must make the same bytes; another one
// makes other bytes, which must do the same.
func TestRustRebuildsFromSource(t *testing.T) {
	dir := t.TempDir()
	if err := build(dir, "rust"); err != nil {
		t.Fatal(err)
	}
	const module, toolchain = "rust/balances.wasm", "rust/balances.wasm.toolchain"
	built := read(t, filepath.Join(dir, "balances", module))
	compiler, pinned := read(t, filepath.Join(dir, "balances", toolchain)), read(t, toolchain)
	if bytes.Equal(compiler, pinned) {
		if !bytes.Equal(built, read(t, module)) {
			t.Errorf("%s differs from what %s makes of the source: run plugins/examples/build.sh rust and commit the module", module, compiler)
		}
		return
	}
	t.Logf("the committed module was built by %s, this one by %s: comparing what they do", bytes.TrimSpace(pinned), bytes.TrimSpace(compiler))
	m := abitest.Load(t, built)
	for i, c := range lines[single](t, "cases.ndjson") {
		holdTo(t, m, i+1, c)
	}
}
