package abitest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eshost/abi/abitest"
)

// wrong lists what testdata/wrong/wrong.c can do wrong, in its order, each with the check that must find it.
var wrong = []struct{ what, check, got string }{
	{"nothing", "", ""},
	{"an inbox of fixed size", "the inbox lies in memory", "in a memory of"},
	{"an inbox outside the memory", "the inbox lies in memory", "in a memory of"},
	{"an inbox that handle does not follow", "the inbox grows", "status 9"},
	{"status 7", "handle returns 0, 1 or 2", "7"},
	{"a trap without a text", "a crash says why", "unreachable"},
	{"a trap at another type", "an event of another type", "unreachable"},
	{"a trap at empty data", "empty data", "unreachable"},
	{"a trap at large data", "data of 1 MiB", "unreachable"},
	{"a trap at a time before 1970", "empty and long names, extreme numbers", "unreachable"},
	{"seven slots only", "unknown slots are ignored", "status 1"},
	{"slots one after the other", "slots are found wherever they lie", ""},
	{"state in memory", "nothing lasts in linear memory", `to 1`},
	{"trust in the rest of the inbox", "the inbox serves many events", "status 1"},
	{"an address outside the memory", "addresses lie in memory", "pointer 2147483647 and length 10"},
	{"a trap at a large answer", "large answers are read", "unreachable"},
	{"a trap at a refused call", "refused calls are borne", "unreachable"},
	{"an endless loop", "handle returns 0, 1 or 2", "still running"},
	{"an endless recursion", "a crash says why", "stack overflow"},
	{"an endless start", "an instance starts", "still running"},
	{"a start that fails", "an instance starts", "the setting url is missing"},
	{"a recursion that is only long", "handle returns 0, 1 or 2", "still running"},
}

func TestKitFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"clang", "wasm-ld"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v: scripts/setup installs it, or apt-get install clang lld", err)
		}
	}
	for i, w := range wrong {
		t.Run(w.what, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "wrong.wasm")
			cmd := exec.Command("clang", "--target=wasm32", "-O1", "-ffreestanding", "-nostdlib", "-Wl,--no-entry", "-Wl,--stack-first",
				fmt.Sprintf("-DWRONG=%d", i), "-o", out, "testdata/wrong/wrong.c")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd, err, text)
			}
			limit := 5 * time.Minute
			if strings.Contains(w.got, "still running") {
				limit = 300 * time.Millisecond
			}
			finds(t, out, limit, w.check, w.got)
		})
	}
}

// finds runs the kit and expects the named check to be the first that fails, or without a name that none does.
func finds(t *testing.T, path string, limit time.Duration, check, got string) {
	t.Helper()
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	report := abitest.Check(t.Context(), wasm, abitest.Options{Time: limit})
	if report.OK() != (check == "") || report.Passed+report.Failed+report.Skipped != len(report.Results) {
		t.Errorf("%d passed, %d failed, %d skipped of %d", report.Passed, report.Failed, report.Skipped, len(report.Results))
	}
	for _, r := range report.Results {
		if r.Check == check && (r.Outcome != abitest.Failed || !strings.Contains(r.Got, got) || r.Expected == "") {
			t.Errorf("%s: %s, expected %q, got %q, want it to fail with %q", r.Check, r.Outcome, r.Expected, r.Got, got)
		}
		if r.Outcome == abitest.Failed {
			if r.Check != check {
				t.Errorf("%s failed first: expected %s, got %s", r.Check, r.Expected, r.Got)
			}
			return
		}
	}
}

// TestKitRefusesWhatTheHostRefuses gives the kit the modules that the sandbox must not load.
func TestKitRefusesWhatTheHostRefuses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "host", "internal", "plugin", "testdata", "bad")
	for name, want := range map[string]struct{ check, got string }{
		"handle_type":      {"handle is exported", "handle ("},
		"inbox_type":       {"eshost_inbox is exported", "eshost_inbox ("},
		"initialize_type":  {"_initialize has its type", "_initialize ("},
		"init_type":        {"eshost_init has its type", "eshost_init ("},
		"marker_type":      {"eshost_abi_v1 is exported", "eshost_abi_v1 ("},
		"marker_v2":        {"eshost_abi_v1 is exported", "eshost_abi_v2"},
		"no_marker":        {"eshost_abi_v1 is exported", "no such export"},
		"no_handle":        {"handle is exported", "no such export"},
		"no_inbox":         {"eshost_inbox is exported", "no such export"},
		"no_memory":        {"memory is exported", "exports"},
		"imported_memory":  {"memory is the module's own", "imports"},
		"import_type":      {"imports are known", "("},
		"import_v2":        {"imports are known", "eshost_v2"},
		"unknown_function": {"imports are known", "eshost_v1."},
		"unknown_module":   {"imports are known", ""},
		"unknown_import":   {"imports are known", ""},
		"wasi_old":         {"imports are known", "wasi_unstable"},
		"wasm_bindgen":     {"imports are known", "__wbindgen"},
		"undefined_symbol": {"imports are known", "env."},
		"imported_global":  {"an instance starts", ""},
		"imported_table":   {"an instance starts", ""},
		"reserved":         {"no reserved names", "__eshost_"},
		"meter_import":     {"no reserved names", "eshost_meter"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finds(t, filepath.Join(dir, name+".wasm"), 5*time.Minute, want.check, want.got)
		})
	}
	t.Run("text", func(t *testing.T) {
		finds(t, filepath.Join(dir, "no_memory.wat"), 5*time.Minute, "a core module", "")
	})
}

// TestSentences finds each sentence that a check cites in abi/ABI.md, so that the text and the kit cannot part.
func TestSentences(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	words := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	page := words(string(text))
	for _, r := range abitest.Check(t.Context(), nil, abitest.Options{Probe: true}).Results {
		if !strings.Contains(page, words(r.Sentence)) {
			t.Errorf("%s cites what abi/ABI.md does not say: %s", r.Check, r.Sentence)
		}
	}
}
