package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"eshost/abi/abitest"
)

const (
	balances = "../../../../plugins/examples/balances"
	bad      = "../../../../host/internal/plugin/testdata/bad/no_inbox.wasm"
)

// goodModule compiles a module that keeps to the ABI.
func goodModule(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "good.wasm")
	cmd := exec.Command("clang", "--target=wasm32", "-O1", "-ffreestanding", "-nostdlib", "-Wl,--no-entry", "-DWRONG=0", "-o", out, "../../testdata/wrong/wrong.c")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s\nscripts/setup installs clang and lld", cmd, err, text)
	}
	return out
}

func TestRun(t *testing.T) {
	t.Parallel()
	good := goodModule(t)
	broken := filepath.Join(t.TempDir(), "broken.ndjson")
	if err := os.WriteFile(broken, []byte(`{"stream":"a"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		args        []string
		code        int
		out, errors string // each a part
	}{
		{"good", []string{good}, 0, "passed   handle is exported\n", ""},
		{"good with events", []string{"--events", balances + "/testdata/events.ndjson", "--config", "currency=EUR", "--time", "5m", good}, 0, " 0 failed", ""},
		{"bad", []string{bad}, 1, "FAILED   eshost_inbox is exported\n         ABI.md:   | `eshost_inbox` | `(min i32) -> i32` |\n         expected: eshost_inbox (i32) -> i32\n         got:      no such export", ""},
		{"no module", []string{balances + "/README.md"}, 1, "FAILED   a core module", ""},
		{"no probe", []string{"--probe", good}, 1, "FAILED   probe: log", ""},
		{"no file", nil, 2, "", "usage: abitest"},
		{"two files", []string{good, bad}, 2, "", "usage: abitest"},
		{"missing", []string{"missing.wasm"}, 2, "", "missing.wasm: no such file"},
		{"unknown flag", []string{"--unknown", good}, 2, "", "-unknown"},
		{"bad setting", []string{"--config", "currency", good}, 2, "", "KEY=VALUE"},
		{"bad events", []string{"--events", broken, good}, 2, "", "event 1: it needs a stream and a type"},
		{"help", []string{"--help"}, 0, "", "-probe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			if code := run(t.Context(), c.args, &out, &errs); code != c.code {
				t.Errorf("ended with %d, want %d", code, c.code)
			}
			if !strings.Contains(out.String(), c.out) || c.out == "" && out.Len() > 0 {
				t.Errorf("printed %s\nwant %q in it", &out, c.out)
			}
			if !strings.Contains(errs.String(), c.errors) || c.errors == "" && errs.Len() > 0 {
				t.Errorf("complained %s\nwant %q in it", &errs, c.errors)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--json", bad}, &out, &errs); code != 1 {
		t.Errorf("ended with %d: %s", code, &errs)
	}
	var report abitest.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if report.Failed != 1 || report.Passed == 0 || len(report.Results) != report.Failed+report.Passed+report.Skipped {
		t.Errorf("%d passed, %d failed, %d skipped of %d", report.Passed, report.Failed, report.Skipped, len(report.Results))
	}
}
