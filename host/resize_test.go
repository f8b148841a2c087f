package host

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/store"
)

// TestAttempts has partitions that never meet: they run for longer and longer, and another wish is tried at once.
func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a attempts
		five := store.Declared{Plugin: "p", Partitions: 5}
		for i, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute} {
			if a.inVain(five, errors.New("apart")); time.Until(a.again) != want {
				t.Errorf("after %d attempts they run for %s, not %s", i+1, time.Until(a.again), want)
			}
		}
		for range 100 {
			a.inVain(five, errors.New("apart"))
		}
		if time.Until(a.again) != longestRest {
			t.Errorf("in the end they run for %s", time.Until(a.again))
		}
		if a.inVain(store.Declared{Plugin: "p", Partitions: 6}, errors.New("apart")); a.failed != 1 || time.Until(a.again) != 10*time.Second {
			t.Errorf("with another wish it is %+v", a)
		}
	})
}
