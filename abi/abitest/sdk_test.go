package abitest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"eshost/abi/abitest"
	"eshost/host/event"
)

// probes says how the probe is built in each language, in its folder of testdata/probe, and where its source is.
var probes = []struct {
	language string
	build    func(out string) *exec.Cmd
	source   string
}{
	{"go", func(out string) *exec.Cmd {
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", out, ".")
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		return cmd
	}, "main.go"},
	{"rust", func(out string) *exec.Cmd { return exec.Command("../../../../../sdk/rust/build.sh", ".", out) }, "src/lib.rs"},
	{"assemblyscript", func(out string) *exec.Cmd {
		return exec.Command("node", "../../../../../sdk/assemblyscript/test/build.js", "probe.ts", out)
	}, "probe.ts"},
}

// TestSDKs proves each host function through each SDK. Where a toolchain is missing its error says so; scripts/setup
// installs them.
func TestSDKs(t *testing.T) {
	t.Parallel()
	// As a program: the race detector makes an interpreter twenty times slower.
	kit := filepath.Join(t.TempDir(), "abitest")
	if out, err := exec.Command("go", "build", "-o", kit, "./cmd/abitest").CombinedOutput(); err != nil {
		t.Fatalf("build the kit: %v\n%s", err, out)
	}
	for _, p := range probes {
		t.Run(p.language, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join("testdata", "probe", p.language)
			wasm := filepath.Join(t.TempDir(), "probe.wasm")
			cmd := p.build(wasm)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
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
			report, err := exec.Command(kit, "--probe", "--time", "5m", wasm).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, report)
			}
			if !bytes.Contains(report, []byte("passed   probe: emit refused\n")) || !bytes.Contains(report, []byte(" 0 failed, ")) {
				t.Errorf("the kit printed\n%s", report)
			}
			crashes(t, abitest.Load(t, module), filepath.Base(p.source), source)
		})
	}
}

// crashes asks for the file and the line of a crash, which no rule of the ABI's demands.
func crashes(t *testing.T, m *abitest.Module, file string, source []byte) {
	line := 1 + bytes.Count(source[:bytes.Index(source, []byte("panics here"))], []byte("\n"))
	for eventType, want := range map[string]string{"panic": fmt.Sprintf("%s:%d", file, line), "bounds": "out of"} {
		e := event.Event{Position: 1, Version: 1, ID: "1", Type: eventType, Stream: "s", Data: []byte("told to by the test"), Metadata: []byte("{}")}
		err := m.Deliver(&e, 1)
		var failure *abitest.Failure
		if !errors.As(err, &failure) || failure.Trap == nil {
			t.Fatalf("%s ended with %v, want a trap", eventType, err)
		}
		if text := failure.Text + m.Output.String(); !strings.Contains(text, want) {
			t.Errorf("%s said %q, without %q", eventType, text, want)
		}
	}
}
