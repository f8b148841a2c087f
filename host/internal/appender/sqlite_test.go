package appender_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/internal/appender"
	"eshost/host/store"
	"eshost/host/store/sqlite"
)

// TestOnSQLite: many callers, some of whom lose patience and try again with the same id. Each event is
// stored once, each caller's events in its own order.
func TestOnSQLite(t *testing.T) {
	t.Parallel()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "es.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var highest atomic.Int64
	a := appender.New(s, appender.Options{QueueBytes: 20_000, GroupRequests: 20, OnAppend: func(p event.Position) {
		for old := highest.Load(); int64(p) > old && !highest.CompareAndSwap(old, int64(p)); old = highest.Load() {
		}
	}})
	done := make(chan error, 1)
	go func() { done <- a.Run(t.Context()) }()

	const callers, each = 32, 40
	var unknown, conflicts atomic.Int64
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(c)))
			for i := range each {
				id := fmt.Sprintf("%d-%d", c, i)
				req := store.AppendRequest{Streams: []store.StreamAppend{
					{Stream: fmt.Sprintf("own-%d", c), Expected: store.Expected(i), Events: []store.NewEvent{{ID: id, Type: "T"}}},
					{Stream: fmt.Sprintf("shared-%d", r.IntN(4)), Expected: store.AnyVersion, Events: []store.NewEvent{{ID: id + "'", Type: "T"}}},
				}}
				if i%10 == 9 { // a request that must be refused, in the same groups
					bad := store.AppendRequest{Streams: []store.StreamAppend{{Stream: "shared-0", Expected: 1 << 40, Events: []store.NewEvent{{Type: "T"}}}}}
					if _, err := a.Append(t.Context(), bad); !errors.Is(err, store.ErrVersionConflict) {
						t.Errorf("a late request got %v", err)
					}
					conflicts.Add(1)
				}
				for try := 0; ; try++ {
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if try < 3 && r.IntN(3) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(2000))*time.Microsecond)
					}
					recorded, err := a.Append(ctx, req)
					cancel()
					if errors.Is(err, appender.ErrOutcomeUnknown) {
						unknown.Add(1)
					}
					if errors.Is(err, context.DeadlineExceeded) {
						continue
					}
					if err != nil || recorded[0].ID != id || recorded[0].Version != int64(i+1) || recorded[1].ID != id+"'" {
						t.Errorf("%s was answered %+v (%v)", id, recorded, err)
						return
					}
					break
				}
			}
		})
	}
	wg.Wait()
	a.Close()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}

	b, err := s.Read(t.Context(), store.ReadOptions{UpTo: 1 << 40, Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Events) != 2*callers*each {
		t.Errorf("%d events are stored, want %d", len(b.Events), 2*callers*each)
	}
	versions := map[string]int64{}
	for _, e := range b.Events {
		if versions[e.Stream]++; e.Version != versions[e.Stream] {
			t.Errorf("event %s of %s has version %d, want %d", e.ID, e.Stream, e.Version, versions[e.Stream])
		}
		var c, i int
		if n, _ := fmt.Sscanf(e.Stream, "own-%d", &c); n == 1 {
			if fmt.Sscanf(e.ID, "%d-%d", &c, &i); int64(i+1) != e.Version {
				t.Errorf("event %s is version %d of its caller's stream", e.ID, e.Version)
			}
		}
	}
	if last := b.Events[len(b.Events)-1].Position; event.Position(highest.Load()) != last {
		t.Errorf("the hook last said %d, the log ends at %d", highest.Load(), last)
	}
	t.Logf("%d outcomes were unknown, %d requests refused", unknown.Load(), conflicts.Load())
}

// BenchmarkAppend is 64 callers with one event each, through the appender and without it.
func BenchmarkAppend(b *testing.B) {
	for _, grouped := range []bool{false, true} {
		b.Run(fmt.Sprintf("grouped %v", grouped), func(b *testing.B) {
			s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "es.db"), sqlite.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			a := appender.New(s, appender.Options{})
			go a.Run(b.Context())
			defer a.Close()
			var next atomic.Int64
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := next.Add(1)
					req := store.AppendRequest{Streams: []store.StreamAppend{{Stream: fmt.Sprint("account-", n*7919%10_000), Expected: store.AnyVersion,
						Events: []store.NewEvent{{Type: "Deposited", Data: fmt.Appendf(nil, `{"amount":%d,"currency":"EUR","reference":"transfer %08d"}`, n, n)}}}}}
					var err error
					if grouped {
						_, err = a.Append(b.Context(), req)
					} else {
						err = s.Append(b.Context(), []store.AppendRequest{req})[0].Err
					}
					if err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
