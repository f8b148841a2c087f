// Package sandbox runs what no author would write on purpose: modules that are broken, greedy, hostile or in love with
// loops, each through the real host, beside a healthy plugin that handles a stream of events meanwhile.
//
// A misbehaving module is a .wat file in testdata, built into the .wasm beside it, or is made by the test where size is the
// point. The head of a file says what must become of it. One table at the end of `go test -v ./test/sandbox` has
// every case: how it failed, and the longest pause of the healthy plugin beside it.
package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const root = "../.."

// shared is what the tests of this process make once: a folder, and the real binary in it.
var shared struct {
	dir    string
	binary func() (string, error)
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "eshost-sandbox-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the tests:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.dir = dir
	shared.binary = sync.OnceValues(func() (string, error) {
		out := filepath.Join(dir, "eshost")
		cmd := exec.Command("go", "build", "-o", out, "./cmd/eshost")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build the binary: %w\n%s", err, text)
		}
		return out, nil
	})
	return m.Run()
}
