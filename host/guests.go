package host

import (
	"sync"
	"sync/atomic"
)

// guests are a plugin's open instances, and what they and those before them have used. The zero value has none.
type guests struct {
	mu      sync.Mutex
	open    map[*instance]struct{}
	started uint64
	fuel    uint64 // burned by those that are closed
}

// used is what an instance has used so far. Only the goroutine that has the instance writes to it, so lanes do not slow
// one another down; whoever asks for the metrics reads it.
type used struct {
	fuel   atomic.Uint64
	memory atomic.Int64 // bytes
}

// guestUse is the sum over a plugin's instances.
type guestUse struct {
	open, memory  int64
	started, fuel uint64
}

func (g *guests) opened(i *instance) {
	i.note()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = make(map[*instance]struct{})
	}
	g.open[i] = struct{}{}
	g.started++
}

func (g *guests) closed(i *instance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.open[i]; ok {
		delete(g.open, i)
		g.fuel += i.used.fuel.Load()
	}
}

func (g *guests) sum() guestUse {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := guestUse{open: int64(len(g.open)), started: g.started, fuel: g.fuel}
	for i := range g.open {
		u.fuel += i.used.fuel.Load()
		u.memory += i.used.memory.Load()
	}
	return u
}

// note takes down what the last event has used.
func (i *instance) note() {
	i.used.fuel.Store(i.used.fuel.Load() + uint64(max(0, i.FuelUsed())))
	if size := int64(i.MemorySize()); size != i.used.memory.Load() {
		i.used.memory.Store(size)
	}
}
