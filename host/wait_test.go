package host

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/config"
	"eshost/host/store"
)

// silent is a store that answers nothing, and counts how often each question was given up.
type silent struct {
	store.Store
	mu    sync.Mutex
	asked map[string]int
}

func (s *silent) hang(ctx context.Context, question string) error {
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[question]++
	return ctx.Err()
}

func (s *silent) Hosts(ctx context.Context) ([]store.Host, error) { return nil, s.hang(ctx, "hosts") }

func (s *silent) PendingRequests(ctx context.Context) ([]store.Request, error) {
	return nil, s.hang(ctx, "requests")
}

func (s *silent) NotLive(ctx context.Context) ([]store.GenerationStatus, error) {
	return nil, s.hang(ctx, "generations")
}

// TestLoopsDoNotHang: the loops ask a store again that has not answered, soon enough for what their host owns.
func TestLoopsDoNotHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &silent{asked: make(map[string]int)}
		conf := config.Config{Host: config.Host{LeaseTTL: 10 * time.Second}}
		h := &Host{store: s, conf: conf}
		ctx, cancel := context.WithCancel(t.Context())
		var loops sync.WaitGroup
		for _, loop := range []func(context.Context){h.watchLeases, h.watchRequests, h.watchGenerations} {
			loops.Go(func() { loop(ctx) })
		}
		time.Sleep(time.Minute)
		cancel()
		loops.Wait()
		for _, question := range []string{"hosts", "requests", "generations"} {
			if n := s.asked[question]; n < 6 {
				t.Errorf("in a minute of leases of %s the %s were asked for %d times", conf.Host.LeaseTTL, question, n)
			}
		}
	})
}
