package host

import (
	"context"
	"sync"
	"time"

	"eshost/host/event"
	"eshost/host/internal/tail"
)

// ages remembers when the log's end was where, so that it can be said how old a read model is.
type ages struct {
	mu    sync.Mutex
	began time.Time // of the first look
	seen  []end     // oldest first
}

// end is the log's head as it was at a time.
type end struct {
	head event.Position
	at   time.Time
}

const (
	// mostAges bounds the memory: when it is reached, every second one of the older half is forgotten.
	mostAges = 4096
	// ageStep is the least time between two that are kept.
	ageStep = 50 * time.Millisecond
)

// run looks at each poll of the tail until ctx ends.
func (a *ages) run(ctx context.Context, t *tail.Tail) {
	var last time.Time
	for {
		s, err := t.Wait(ctx, func(s tail.Status) bool { return s.Polled.Sub(last) >= ageStep })
		if err != nil {
			return
		}
		last = s.Polled
		a.add(s.Head, s.Polled)
	}
}

func (a *ages) add(head event.Position, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began.IsZero() {
		a.began = at
	}
	if n := len(a.seen); n > 0 && a.seen[n-1].head == head {
		a.seen[n-1].at = at
		return
	}
	if a.seen = append(a.seen, end{head, at}); len(a.seen) < mostAges {
		return
	}
	kept := a.seen[:0]
	for i, e := range a.seen {
		if i >= mostAges/2 || i%2 == 0 {
			kept = append(kept, e)
		}
	}
	a.seen = kept
}

// of returns how long ago, at most, a checkpoint was the log's head. For one that was passed before the
// host began to look it is the time since then.
func (a *ages) of(checkpoint event.Position, now tail.Status) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.began
	if checkpoint >= now.Head && !now.Polled.IsZero() {
		at = now.Polled
	} else {
		for i := len(a.seen) - 1; i >= 0; i-- {
			if a.seen[i].head <= checkpoint {
				at = a.seen[i].at
				break
			}
		}
	}
	if at.IsZero() {
		return 0
	}
	return max(0, time.Since(at))
}
