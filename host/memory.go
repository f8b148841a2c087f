package host

import (
	"context"
	"runtime/debug"
	"time"
)

// idleMemory gives back to the system what plugins that have come to rest have let go of. An idle process would collect
// its garbage every two minutes, and a host with many plugins has much of it.
type idleMemory struct {
	rested chan struct{} // of one place
}

const (
	// restTogether is how long plugins that come to rest one after another are waited for.
	restTogether = time.Second
	// giveBackEvery is the least time between two collections: busy plugins pay for them too.
	giveBackEvery = 10 * time.Second
)

func newIdleMemory() idleMemory { return idleMemory{make(chan struct{}, 1)} }

// tell says that a plugin has come to rest.
func (m idleMemory) tell() { signal(m.rested) }

// giveBack works until ctx ends.
func (m idleMemory) giveBack(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.rested:
		}
		if !sleep(ctx, restTogether) {
			return
		}
		debug.FreeOSMemory()
		if !sleep(ctx, giveBackEvery) {
			return
		}
	}
}
