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
	"testing"

	"eshost/test/buildtest"
)

const root = "../.."

func TestMain(m *testing.M) { os.Exit(files.Main(m.Run)) }

var files buildtest.Files

// eshost is the real binary.
func eshost(t *testing.T) string {
	t.Helper()
	return files.Path(t, "eshost", func(out string) error {
		cmd := exec.Command("go", "build", "-o", out, "./cmd/eshost")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, text)
		}
		return nil
	})
}
