package plugin_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/internal/plugin"
)

// TestGuestsAreBuiltFromTheirSources keeps the committed modules honest where the tool is at hand.
func TestGuestsAreBuiltFromTheirSources(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Skip("wat2wasm (package wabt) is not installed")
	}
	for _, source := range glob(t, "testdata/*.wat", "testdata/*/*.wat") {
		out := filepath.Join(t.TempDir(), "out.wasm")
		if text, err := exec.Command(tool, "--debug-names", source, "-o", out).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", source, text)
		}
		built, _ := os.ReadFile(out)
		committed, err := os.ReadFile(strings.TrimSuffix(source, ".wat") + ".wasm")
		if err != nil || !bytes.Equal(built, committed) {
			t.Errorf("%s is not what its .wasm was built from; build it: wat2wasm --debug-names", source)
		}
	}
}

func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil || len(found) == 0 {
			t.Fatalf("nothing matches %s: %v", p, err)
		}
		all = append(all, found...)
	}
	return all
}

// expectation reads ";; key: value" lines from the head of a module's source.
func expectation(t *testing.T, source string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, ";; "); ok {
			key, value, _ := strings.Cut(strings.TrimSpace(rest), ":")
			want[key] = strings.TrimSpace(value)
		}
	}
	return want
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	for _, source := range glob(t, "testdata/bad/*.wat") {
		name := strings.TrimSuffix(filepath.Base(source), ".wat")
		t.Run(name, func(t *testing.T) {
			want := expectation(t, source)
			_, err := e.Load(t.Context(), guest(t, "bad/"+name), plugin.Spec{Name: "test", Grants: []string{"state"}})
			wantRefused(t, err, want["kind"], want["error"], want["hint"])
		})
	}
	if n := e.Compiled(); n != 0 {
		t.Errorf("%d refused modules are still held", n)
	}
}

func isKind(err error, text string) bool {
	for _, k := range []error{plugin.ErrNotModule, plugin.ErrComponent, plugin.ErrExport, plugin.ErrImport, plugin.ErrABIVersion,
		plugin.ErrGrant, plugin.ErrCompileTime, plugin.ErrManifest, plugin.ErrSpec} {
		if k.Error() == text {
			return errors.Is(err, k)
		}
	}
	return text == ""
}

func wantRefused(t *testing.T, err error, kind, text, hint string) {
	t.Helper()
	var refused *plugin.Error
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a plugin.Error", err)
	}
	if !isKind(err, kind) {
		t.Errorf("the error %q is no %q", err, kind)
	}
	if !strings.HasPrefix(err.Error(), `load plugin "test": `) || !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %q, want it to say %q", err, text)
	}
	if !strings.Contains(refused.Hint, hint) {
		t.Errorf("the hint is %q, want it to say %q", refused.Hint, hint)
	}
}

func TestLoadRefusesWhatIsNoModule(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	whole := guest(t, "behave")
	for name, test := range map[string]struct {
		wasm             string
		kind, text, hint string
	}{
		"empty":     {"", "not a WebAssembly module", "the file is empty", "build"},
		"text":      {" (module)", "not a WebAssembly module", "WebAssembly text", "wat2wasm"},
		"elf":       {"\x7fELF\x02\x01\x01", "not a WebAssembly module", `begins with "\x7fELF"`, ".wasm"},
		"short":     {"\x00asm\x01", "not a WebAssembly module", "ends after 5 bytes", "again"},
		"component": {"\x00asm\x0d\x00\x01\x00", "a WebAssembly component, not a module", "component", "wasm32-unknown-unknown"},
		"version":   {"\x00asm\x02\x00\x00\x00", "not a WebAssembly module", "binary version 02000000", ""},
		"nothing":   {"\x00asm\x01\x00\x00\x00", "export does not fit", "does not export", "SDK"},
		"truncated": {string(whole[:len(whole)/2]), "", "", ""},
		"one short": {string(whole[:len(whole)-1]), "", "", ""},
		"garbage":   {string(whole[:40]) + strings.Repeat("\xff", 100), "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.Load(t.Context(), []byte(test.wasm), plugin.Spec{Name: "test"})
			wantRefused(t, err, test.kind, test.text, test.hint)
		})
	}
}

func TestLoadRefusesImpossibleSettings(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	for name, spec := range map[string]plugin.Spec{
		"grant":  {Grants: []string{"state", "files"}},
		"memory": {Limits: plugin.Limits{Memory: 100}},
		"huge":   {Limits: plugin.Limits{Memory: 5 << 30}},
		"time":   {Limits: plugin.Limits{Time: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Name = "test"
			_, err := e.Load(t.Context(), guest(t, "empty"), spec)
			wantRefused(t, err, "bad plugin settings", "", "")
		})
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	for _, source := range glob(t, "testdata/start/*.wat") {
		name := strings.TrimSuffix(filepath.Base(source), ".wat")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := expectation(t, source)
			limit := time.Minute
			if strings.Contains(want["error"], "time limit") {
				limit = 30 * time.Millisecond
			}
			m := load(t, e, "start/"+name, plugin.Spec{Limits: plugin.Limits{InitTime: limit}})
			in, err := m.NewInstance(t.Context())
			if in != nil {
				t.Fatal("there is an instance")
			}
			failure(t, err, event.FailureKind(want["kind"]), want["error"])
			if !strings.HasPrefix(err.Error(), `start plugin "test": `) {
				t.Errorf("the error is %q", err)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	m := load(t, e, "forward", plugin.Spec{Limits: plugin.Limits{Memory: 8 << 20}})
	info := m.Info()
	if want := "config_get,eshost_v1.emit,eshost_v1.fail,eshost_v1.log,eshost_v1.result_read,eshost_v1.state_delete,eshost_v1.state_get,eshost_v1.state_scan,eshost_v1.state_set"; strings.Join(info.Imports, ",") != "eshost_v1."+want {
		t.Errorf("imports %q", info.Imports)
	}
	if strings.Join(info.Exports, ",") != "eshost_abi_v1,eshost_inbox,handle" {
		t.Errorf("exports %q", info.Exports)
	}
	if strings.Join(info.Grants, ",") != "emit,log,state" {
		t.Errorf("grants %q", info.Grants)
	}
	if info.MinMemory != 4<<20 || info.MaxMemory != 8<<20 || info.Manifest != nil || info.Size != len(guest(t, "forward")) {
		t.Errorf("got %+v", info)
	}
	if len(m.Digest()) != 64 || m.Digest() != info.Digest {
		t.Errorf("digest %q", m.Digest())
	}
}

func TestManifest(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	m, err := e.Load(t.Context(), withSection(guest(t, "empty"), "eshost.manifest",
		`{"name": "balances\u001b[31m", "version": "1.2", "events": ["Deposited"], "collections": ["accounts"], "later": true}`), plugin.Spec{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context())
	got := m.Info().Manifest
	if got == nil || got.Name != `balances\x1b[31m` || got.Version != "1.2" || got.Events[0] != "Deposited" || got.Collections[0] != "accounts" {
		t.Errorf("got %+v", got)
	}
	for name, section := range map[string]string{
		"text":  "name: balances",
		"type":  `{"events": 3}`,
		"large": `{"name": "` + strings.Repeat("x", 70_000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.Load(t.Context(), withSection(guest(t, "empty"), "eshost.manifest", section), plugin.Spec{Name: "test"})
			wantRefused(t, err, "bad manifest", "manifest", "")
		})
	}
}

// withSection appends a custom section.
func withSection(wasm []byte, name, content string) []byte {
	leb := func(n int) []byte { return []byte{byte(n) | 0x80, byte(n>>7) | 0x80, byte(n >> 14)} }
	body := append(leb(len(name)), name+content...)
	return append(append(append(bytes.Clone(wasm), 0), leb(len(body))...), body...)
}
