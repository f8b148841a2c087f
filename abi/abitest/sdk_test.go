package abitest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"eshost/abi"
	"eshost/abi/abitest"
	"eshost/host/event"
)

// probes says how the probe is built in each language, in its folder of testdata/probe, and where its source is.
var probes = []struct {
	language string
	needs    string // a program without which there is nothing to test
	build    func(out string) *exec.Cmd
	source   string
}{
	{"go", "go", func(out string) *exec.Cmd {
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", out, ".")
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		return cmd
	}, "main.go"},
	{"rust", "cargo", func(out string) *exec.Cmd { return exec.Command("../../../../../sdk/rust/build.sh", ".", out) }, "src/lib.rs"},
}

func TestSDKs(t *testing.T) {
	for _, p := range probes {
		t.Run(p.language, func(t *testing.T) {
			if _, err := exec.LookPath(p.needs); err != nil {
				t.Skipf("%s is not installed: %v", p.needs, err)
			}
			dir := filepath.Join("testdata", "probe", p.language)
			wasm := filepath.Join(t.TempDir(), "probe.wasm")
			cmd := p.build(wasm)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				var exit *exec.ExitError
				if errors.As(err, &exit) && exit.ExitCode() == 3 {
					t.Skipf("%s", out)
				}
				t.Fatalf("%v: %v\n%s", cmd, err, out)
			}
			module, err := os.ReadFile(wasm)
			if err != nil {
				t.Fatal(err)
			}
			source, err := os.ReadFile(filepath.Join(dir, p.source))
			if err != nil {
				t.Fatal(err)
			}
			probe(t, abitest.Load(t, module), p.source, source)
		})
	}
}

func probe(t *testing.T, m *abitest.Module, file string, source []byte) {
	t.Run("effects", func(t *testing.T) { probeEffects(t, m) })
	t.Run("large", func(t *testing.T) { probeLarge(t, m) })
	t.Run("event", func(t *testing.T) { probeEvent(t, m) })
	t.Run("failures", func(t *testing.T) { probeFailures(t, m) })
	t.Run("crashes", func(t *testing.T) { probeCrashes(t, m, file, source) })
}

func probeEvents(data string) event.Event {
	return event.Event{
		Position: 4711, Version: 3, ID: "id-1", Type: "event", Stream: "stream-é", StreamType: "kind", Time: time.UnixMicro(1_700_000_000_123_456),
		Data: []byte(data), Metadata: []byte(`{}`), ContentType: "text/plain",
	}
}

// ask delivers an event and returns the document that it left.
func ask(m *abitest.Module, eventType, data string) (string, error) {
	e := probeEvents(data)
	e.Type = eventType
	err := m.Deliver(&e, 2)
	return m.Documents[abitest.Key{Collection: "docs", Key: e.Stream}], err
}

func probeEffects(t *testing.T, m *abitest.Module) {
	source := func(key string) abitest.Key { return abitest.Key{Collection: "source", Key: key} }
	m.Documents = map[abitest.Key]string{source("a-1"): `"one"`, source("a-10"): "10", source("a-2"): "2", source("b-é"): "null"}
	m.Config = map[string]string{"currency": "EUR", "empty": ""}
	for _, c := range []struct{ eventType, data, want string }{
		{"set", `{"a":1}`, `{"a":1}`},
		{"delete", "", ""},
		{"delete", "", ""},
		{"get", "a-1", `"one"`},
		{"get", "b-é", `null`},
		{"get", "a-3", `"none"`},
		{"scan", ",,1000", `"a-1:5 a-10:2 a-2:1 b-é:4 "`},
		{"scan", "a-,a-1,1", `"a-10:2 "`},
		{"scan", "c,,10", `""`},
		{"config", "currency", `"EUR"`},
		{"config", "empty", `""`},
		{"config", "missing", `"none"`},
	} {
		if got, err := ask(m, c.eventType, c.data); got != c.want || err != nil {
			t.Errorf("%s %s left %s, %v, want %s", c.eventType, c.data, got, err, c.want)
		}
	}
	if _, err := ask(m, "log", "a line"); err != nil || !slices.Equal(m.Logs, []string{"0 a line", "1 a line", "2 a line", "3 a line"}) {
		t.Errorf("logged %q, %v", m.Logs, err)
	}
	want := event.Emitted{Stream: "out", StreamType: "kind", Type: "Emitted", Data: []byte("some data"), Metadata: []byte(`{"n":1}`), ContentType: "text/plain"}
	if _, err := ask(m, "emit", "some data"); err != nil || len(m.Emitted) != 1 || fmt.Sprint(m.Emitted[0]) != fmt.Sprint(want) {
		t.Errorf("emitted %v, %v", m.Emitted, err)
	}
}

// probeLarge takes data and answers through buffers that have to grow.
func probeLarge(t *testing.T, m *abitest.Module) {
	m.Documents = map[abitest.Key]string{}
	var list strings.Builder
	for i := range 1000 {
		key := fmt.Sprintf("key-%04d", i)
		m.Documents[abitest.Key{Collection: "source", Key: key}] = `"` + strings.Repeat("v", 1000) + `"`
		list.WriteString(key + ":1002 ")
	}
	if got, err := ask(m, "scan", ",,1000"); got != `"`+list.String()+`"` || err != nil {
		t.Errorf("scan of a megabyte: %d bytes, %v", len(got), err)
	}
	for _, size := range []int{100, 600, 5000, 100_000, 1 << 20} {
		document := `"` + strings.Repeat("x", size-2) + `"`
		m.Documents[abitest.Key{Collection: "source", Key: "large"}] = document
		if got, err := ask(m, "get", "large"); got != document || err != nil {
			t.Errorf("document of %d bytes: got %d, %v", size, len(got), err)
		}
		if got, err := ask(m, "set", document); got != document || err != nil {
			t.Errorf("event of %d bytes: got %d, %v", size, len(got), err)
		}
	}
}

func probeEvent(t *testing.T, m *abitest.Module) {
	const want = `["id-1","event","stream-é","kind","7","[]","text/plain",4711,3,1700000000123456,2]`
	e := probeEvents("7")
	e.Metadata = []byte("[]")
	if err := m.Deliver(&e, 2); err != nil {
		t.Fatal(err)
	}
	if got := m.Documents[abitest.Key{Collection: "docs", Key: e.Stream}]; got != want {
		t.Errorf("the event is %s, want %s", got, want)
	}
}

func probeFailures(t *testing.T, m *abitest.Module) {
	m.Documents = map[abitest.Key]string{}
	const invalid = "invalid: not JSON, not UTF-8, or a name that is empty or holds a zero byte"
	const tooLarge = "too large: a name, key, value or list is over its limit"
	for _, c := range []struct{ eventType, data, want string }{
		{"retry", "not yet", "retry: not yet"},
		{"reject", "nie — wirklich nie", "reject: nie — wirklich nie"},
		{"error", "some other trouble", "retry: some other trouble"},
		{"set", "no JSON", `retry: state_set "docs" "stream-é": ` + invalid},
		{"get", "", `retry: state_get "source" "": ` + invalid},
		{"get", strings.Repeat("k", abi.MaxKey+1), `retry: state_get "source" "` + strings.Repeat("k", 80) + `…": ` + tooLarge},
		{"scan", "a,,1001", `retry: state_scan "source" "a": ` + tooLarge},
	} {
		got, err := ask(m, c.eventType, c.data)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %.20s failed with %v, want %s", c.eventType, c.data, err, c.want)
		}
		if got != "" {
			t.Errorf("%s left %s", c.eventType, got)
		}
	}
}

// probeCrashes asks for the text, the file and the line of a crash, and that the plugin goes on in a new instance.
func probeCrashes(t *testing.T, m *abitest.Module, file string, source []byte) {
	m.Documents = map[abitest.Key]string{}
	line := 1 + bytes.Count(source[:bytes.Index(source, []byte("panics here"))], []byte("\n"))
	for eventType, wants := range map[string][]string{
		"panic":  {"told to by the test", fmt.Sprintf("%s:%d", file, line)},
		"bounds": {"out of", file + ":"},
	} {
		got, err := ask(m, eventType, "told to by the test")
		var failure *abitest.Failure
		if !errors.As(err, &failure) || failure.Trap == nil {
			t.Fatalf("%s ended with %v, want a trap", eventType, err)
		}
		text := failure.Text + m.Output.String()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s said %q, without %q", eventType, text, want)
			}
		}
		if got != "" {
			t.Errorf("%s left %s", eventType, got)
		}
		if got, err := ask(m, "set", "2"); got != "2" || err != nil {
			t.Errorf("after %s: %s, %v", eventType, got, err)
		}
		m.Documents = map[abitest.Key]string{}
	}
}
