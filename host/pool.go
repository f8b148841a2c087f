package host

import (
	"sync"
	"sync/atomic"
)

// pool is a plugin's open instances, and what they and those before them have used. The zero value is empty.
type pool struct {
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

// poolUse is the sum over a plugin's instances.
type poolUse struct {
	open, memory  int64
	started, fuel uint64
}

func (p *pool) opened(i *instance) {
	i.note()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[*instance]struct{})
	}
	p.open[i] = struct{}{}
	p.started++
}

func (p *pool) closed(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.open[i]; ok {
		delete(p.open, i)
		p.fuel += i.used.fuel.Load()
	}
}

func (p *pool) sum() poolUse {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := poolUse{open: int64(len(p.open)), started: p.started, fuel: p.fuel}
	for i := range p.open {
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
