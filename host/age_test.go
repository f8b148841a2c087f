package host

import (
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/internal/tail"
)

func TestAges(t *testing.T) {
	t.Parallel()
	var a ages
	now := time.Now()
	if got := a.of(5, tail.Status{}); got != 0 {
		t.Errorf("before the first look: %s", got)
	}
	const looks = 20_000
	at := func(head int) time.Time { return now.Add(time.Duration(head-looks) * time.Second) }
	for head := 10; head <= looks; head++ {
		a.add(event.Position(head), at(head))
		a.add(event.Position(head), at(head).Add(500*time.Millisecond))
	}
	if len(a.seen) > mostAges {
		t.Errorf("%d are kept", len(a.seen))
	}
	last := tail.Status{Head: looks, Polled: now.Add(time.Second / 2)}
	for checkpoint, most := range map[event.Position]time.Duration{looks: 0, looks + 5: 0, looks - 1: time.Second, looks - 1000: 1000 * time.Second} {
		// At most: never less than it is.
		if got := a.of(checkpoint, last); got < most-time.Second || got > most+time.Minute {
			t.Errorf("at %d: %s, want about %s", checkpoint, got, most)
		}
	}
	if got, since := a.of(3, last), time.Since(at(10)); got < since-time.Minute || got > since+time.Minute {
		t.Errorf("before anything that was seen: %s, want %s", got, since)
	}
	old := a.of(5_000, last)
	if want := time.Duration(looks-5_000) * time.Second; old < want-time.Second {
		t.Errorf("long ago: %s, want at least %s", old, want)
	}
}
