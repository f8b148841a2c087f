// Package test holds the whole of eshost to its promises: the real binary, real PostgreSQL and SQLite,
// real modules; killed, stopped, disconnected, and run in every way that must not show in the result.
package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"eshost/test/buildtest"
	"eshost/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(built.Main(func() int { return pgtest.Main(m) })) }

var built buildtest.Files

// eshost is the real binary, built as users get it.
func eshost(t *testing.T) string {
	t.Helper()
	return built.Path(t, "eshost", func(out string) error {
		return goBuild(root, []string{"CGO_ENABLED=0"}, "-o", out, "./cmd/eshost")
	})
}

// goGuest is a module of test/guests, or of the examples, written in Go.
func goGuest(t *testing.T, name, folder string) string {
	t.Helper()
	return built.Path(t, name+".wasm", func(out string) error {
		env := []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS="}
		return goBuild(folder, env, "-buildmode=c-shared", "-buildvcs=false", "-ldflags=-w", "-o", out, ".")
	})
}

func goBuild(folder string, env []string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-trimpath"}, args...)...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// cacheDir is where all hosts of the tests keep compiled modules.
func cacheDir() string { return filepath.Join(built.Dir(), "cache") }

const (
	root     = ".." // of the repository
	balances = root + "/plugins/examples/balances"
)

// balancesModule is the example in one of its languages.
func balancesModule(t *testing.T, language string) string {
	t.Helper()
	if language == "go" {
		return goGuest(t, "balances", filepath.Join(balances, "go"))
	}
	path, err := filepath.Abs(filepath.Join(balances, language, "balances.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// journalModule is test/guests/journal: it rejects an event that is not exactly its stream's next one.
func journalModule(t *testing.T) string {
	t.Helper()
	return goGuest(t, "journal", filepath.Join("guests", "journal"))
}

// mixedModule is test/guests/mixed: it does everything a plugin can do, and fails in every way one can fail.
func mixedModule(t *testing.T) string {
	t.Helper()
	return built.Path(t, "mixed.wasm", func(out string) error {
		cmd := exec.Command(filepath.Join(root, "sdk", "rust", "build.sh"), filepath.Join("guests", "mixed"), out)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, said)
		}
		return nil
	})
}
