package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"eshost/host/store"
	"eshost/host/store/sqlite"
)

// asNobody runs f on a thread that may not do what root may, if this is root.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		err := syscall.Setfsuid(65534)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skipf("this root cannot become another user: %v", err)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	for _, exists := range []bool{false, true} {
		dir := t.TempDir()
		file := filepath.Join(dir, "es.db")
		if exists {
			if err := open(t, file, sqlite.Options{}).Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, 0o444); err != nil {
				t.Fatal(err)
			}
		}
		for d, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o555} {
			if err := os.Chmod(d, mode); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { os.Chmod(dir, 0o755) })
		asNobody(t, func() {
			s, err := sqlite.Open(t.Context(), file, sqlite.Options{})
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), file) {
				t.Errorf("the file exists: %v; got %v", exists, err)
			}
			if exists && !strings.Contains(err.Error(), "must be writable") || !exists && !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("the file exists: %v; the error does not say why: %v", exists, err)
			}
		})
	}
}
