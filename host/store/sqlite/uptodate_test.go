package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"eshost/host/store"
)

// TestNoMigrate holds who may not migrate to this version's schema, and to leaving any other file as it is.
func TestNoMigrate(t *testing.T) {
	t.Parallel()
	s := &Store{}
	for current, want := range map[int]error{0: store.ErrNoSchema, 1: store.ErrOldSchema, 2: store.ErrOldSchema, 3: nil} {
		if err := s.upToDate(current, 3); !errors.Is(err, want) {
			t.Errorf("version %d: got %v, want %v", current, err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), file, Options{NoMigrate: true}); !errors.Is(err, store.ErrNoSchema) {
		t.Errorf("an empty file: got %v", err)
	}
	if data, err := os.ReadFile(file); err != nil || len(data) > 0 {
		t.Errorf("the empty file has %d bytes now (%v)", len(data), err)
	}
}
