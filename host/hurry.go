package host

import (
	"sync"

	"eshost/host/internal/tail"
)

// waits knows the readers of each plugin's live generation, so that who waits for one that wants none of the new events
// need not wait for its turn to say so.
type waits struct {
	mu      sync.Mutex
	readers map[string]map[*tail.Reader]struct{}
}

// add makes a reader known until remove is called.
func (w *waits) add(plugin string, r *tail.Reader) (remove func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.readers == nil {
		w.readers = make(map[string]map[*tail.Reader]struct{})
	}
	if w.readers[plugin] == nil {
		w.readers[plugin] = make(map[*tail.Reader]struct{})
	}
	w.readers[plugin][r] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.readers[plugin], r); len(w.readers[plugin]) == 0 {
			delete(w.readers, plugin)
		}
	}
}

func (w *waits) hurry(plugin string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.readers[plugin] {
		r.Hurry()
	}
}
