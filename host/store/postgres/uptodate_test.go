package postgres

import (
	"errors"
	"testing"

	"eshost/host/store"
)

// TestNeedsNothing holds who may not migrate to this version's schema and no other.
func TestNeedsNothing(t *testing.T) {
	t.Parallel()
	for applied, want := range map[int]error{0: store.ErrNoSchema, 1: store.ErrOldSchema, 2: store.ErrOldSchema, 3: nil, 4: store.ErrSchema} {
		if err := needsNothing("eshost", applied, 3); !errors.Is(err, want) {
			t.Errorf("version %d: got %v, want %v", applied, err, want)
		}
	}
}
