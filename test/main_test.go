// Package test holds the whole of eshost to its promises: the real binary, real PostgreSQL and SQLite,
// real modules; killed, stopped, disconnected, and run in every way that must not show in the result.
package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"eshost/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "eshost-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for what the tests build:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	built.dir = dir
	return pgtest.Main(m)
}

// built is what the tests of this process build once and share. It is the package's one variable: tests
// of a process have no other common place.
var built struct {
	dir  string
	mu   sync.Mutex
	made map[string]func() (string, error)
}

// build returns the path of a file that is made once a process, however many tests want it.
func build(t *testing.T, name string, make func(out string) error) string {
	t.Helper()
	built.mu.Lock()
	once, ok := built.made[name]
	if !ok {
		once = sync.OnceValues(func() (string, error) {
			path := filepath.Join(built.dir, name)
			if err := make(path); err != nil {
				return "", fmt.Errorf("build %s: %w", name, err)
			}
			return path, nil
		})
		if built.made == nil {
			built.made = map[string]func() (string, error){}
		}
		built.made[name] = once
	}
	built.mu.Unlock()
	path, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// eshost is the real binary, built as users get it.
func eshost(t *testing.T) string {
	t.Helper()
	return build(t, "eshost", func(out string) error {
		return goBuild(root, []string{"CGO_ENABLED=0"}, "-o", out, "./cmd/eshost")
	})
}

// goGuest is a module of test/guests, or of the examples, written in Go.
func goGuest(t *testing.T, name, folder string) string {
	t.Helper()
	return build(t, name+".wasm", func(out string) error {
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
func cacheDir() string { return filepath.Join(built.dir, "cache") }

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
	return build(t, "mixed.wasm", func(out string) error {
		cmd := exec.Command(filepath.Join(root, "sdk", "rust", "build.sh"), filepath.Join("guests", "mixed"), out)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, said)
		}
		return nil
	})
}
