package delivery

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"eshost/host/event"
)

// countedModule counts its open instances.
type countedModule struct {
	handler
	open *atomic.Int64
}

func (m countedModule) NewInstance(context.Context) (Instance, error) {
	m.open.Add(1)
	return m, nil
}

func (m countedModule) Close(context.Context) error {
	m.open.Add(-1)
	return nil
}

// TestIdlePluginKeepsLittle holds an idle plugin to no instance and a small cache, and what comes after to the same
// result as without a rest.
func TestIdlePluginKeepsLittle(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const streams = 2000
		var open, rested atomic.Int64
		all := make([]string, streams)
		for i := range all {
			all[i] = fmt.Sprintf("s%04d", i)
		}
		c := make(chan *cache, 1)
		handle := func(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
			select {
			case c <- fx.(*sandboxed).Effects.(*lane).cache:
			default:
			}
			return noting(ctx, e, attempt, fx)
		}
		w.append(all...)
		w.start(countedModule{handle, &open}, Options{Lanes: 4, LaneWork: 1, Idle: 5 * time.Second, Rested: func() { rested.Add(1) }})
		w.reaches(streams)
		if open.Load() == 0 || rested.Load() > 0 {
			t.Fatalf("%d instances when it has just worked, after %d rests", open.Load(), rested.Load())
		}
		cache := <-c
		cached := func() int {
			cache.mu.Lock()
			defer cache.mu.Unlock()
			return cache.bytes
		}
		if cached() <= restBytes {
			t.Fatalf("the cache has %d bytes, too few to show anything", cached())
		}
		rest(time.Hour)
		if open.Load() != 0 || rested.Load() != 1 || cached() > restBytes {
			t.Errorf("an hour later: %d instances, %d rests, %d bytes of cache", open.Load(), rested.Load(), cached())
		}
		w.append(all[0], all[streams-1], all[0])
		w.reaches(streams + 3)
		if got := w.document("notes", all[0]); got != " 1 2001 2003" {
			t.Errorf("after the rest a document is %q", got)
		}
		if rest(time.Hour); open.Load() != 0 || rested.Load() != 2 {
			t.Errorf("an hour later: %d instances, %d rests", open.Load(), rested.Load())
		}
	})
}
