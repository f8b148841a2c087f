// Package buildtest builds what the tests of one process share, once each.
package buildtest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Files are built when a test asks for them and removed when all tests have run. A test package has one variable of
// this type: the tests of a process have no other common place.
type Files struct {
	dir  string
	mu   sync.Mutex
	made map[string]func() (string, error)
}

// Main runs the tests between making and removing the folder of the files, and returns their exit code.
func (f *Files) Main(run func() int) int {
	dir, err := os.MkdirTemp("", "eshost-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for what the tests build:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	f.dir = dir
	return run()
}

// Dir is the folder of the files, for what else the tests share.
func (f *Files) Dir() string { return f.dir }

// Path returns the path of a file that is made once, however many tests want it.
func (f *Files) Path(t testing.TB, name string, make func(out string) error) string {
	t.Helper()
	f.mu.Lock()
	once, ok := f.made[name]
	if !ok {
		once = sync.OnceValues(func() (string, error) {
			path := filepath.Join(f.dir, name)
			if err := make(path); err != nil {
				return "", fmt.Errorf("build %s: %w", name, err)
			}
			return path, nil
		})
		if f.made == nil {
			f.made = map[string]func() (string, error){}
		}
		f.made[name] = once
	}
	f.mu.Unlock()
	path, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
