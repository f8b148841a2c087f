// Package torture tries to break eshost: a seed draws what happens to three real hosts, to their database and
// to the links between them while several writers append; then a checker reads what is left behind and proves
// that nothing was lost, applied twice, applied out of order or by who had no right to, and that the read
// models are those that one instance would have made, one event at a time.
//
// The checker is told nothing by the hosts. Each document of the plugins ledger and book lists the positions it was
// made of, triggers in the database record every change of a lease or a checkpoint with the session that made it,
// a reader of Redis keeps what it sees there all through the run, and the writers know what they were told.
package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"eshost/test/buildtest"
)

const root = "../.." // of the repository

func TestMain(m *testing.M) { os.Exit(built.Main(m.Run)) }

var built buildtest.Files

// eshost is the real binary, under the race detector if the tests are.
func eshost(t *testing.T) string {
	t.Helper()
	return built.Path(t, "eshost", func(out string) error { return goBuild(out) })
}

// goBuild builds the command with further flags.
func goBuild(out string, flags ...string) error {
	how, env := "-trimpath", append(os.Environ(), "CGO_ENABLED=0")
	if raceDetector {
		how, env = "-race", os.Environ() // with the paths that the tests are built with: nearly all has been compiled then
	}
	args := append([]string{"build", how, "-o", out}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/eshost")...)
	cmd.Dir, cmd.Env = root, env
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, said)
	}
	return nil
}

// guest is a module of test/guests. The documents of ledger and book list the positions of the events they are made of.
func guest(t *testing.T, name string) string {
	t.Helper()
	return built.Path(t, name+".wasm", func(out string) error {
		cmd := exec.Command(filepath.Join(root, "sdk", "rust", "build.sh"), filepath.Join(root, "test", "guests", name), out)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, said)
		}
		return nil
	})
}

// setting reads a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s must be a number, is %q", name, text)
	}
	return n
}

// duration reads a time from the environment.
func duration(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s must be a time such as 30s, is %q", name, text)
	}
	return d
}
