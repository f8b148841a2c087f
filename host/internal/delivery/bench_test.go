package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"
	"unsafe"

	"eshost/host/event"
)

// BenchmarkBatch measures what delivery costs an event in a batch of 20,000: from the fetched batch to
// a commit that is ready to be sent, and the cache's part of it.
func BenchmarkBatch(b *testing.B) {
	collection, value := []byte("balances"), []byte(`{"balance":12345,"count":678}`)
	handlers := map[string]handler{
		"noop": func(context.Context, *event.Event, int, Effects) error { return nil },
		"get+set": func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			key := unsafe.Slice(unsafe.StringData(e.Stream), len(e.Stream)) // a view, as of a guest's memory
			if _, _, err := fx.Get(ctx, collection, key); err != nil {
				return err
			}
			return fx.Set(collection, key, value)
		},
	}
	for _, name := range []string{"noop", "get+set"} {
		for _, lanes := range []int{1, 2} {
			for _, streams := range []int{100, 10_000} {
				b.Run(fmt.Sprintf("%s/lanes=%d/streams=%d", name, lanes, streams), func(b *testing.B) {
					benchBatch(b, handlers[name], lanes, streams)
				})
			}
		}
	}
}

func benchBatch(b *testing.B, m handler, lanes, streams int) {
	const n = 20_000
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{Position: event.Position(i + 1), Stream: fmt.Sprintf("account-%d", i*7919%streams), ID: fmt.Sprint(i), Type: "Deposited"}
	}
	r := NewRunner(nil, nil, m, Options{Plugin: "bench", Lanes: lanes, LaneWork: 1, CacheBytes: 1 << 30})
	s := &session{r: r, o: &r.o, cache: newCache(nil, 1, r.o.CacheBytes), seqs: newSequences(nil, &r.o, "bench", time.Now())}
	s.cache.complete = true
	s.lanes = newLanes(s.o, m, s.cache)
	s.lanes.perEvent = 1000
	b.ReportAllocs()
	done := 0
	for b.Loop() {
		if err := s.take(b.Context(), event.Batch{Events: events, UpTo: n}); err != nil {
			b.Fatal(err)
		}
		out, err := s.lanes.run(b.Context(), s.tasks, bounds{bytes: 1 << 30, room: n})
		if err != nil || out.done != n {
			b.Fatal(err, out.done)
		}
		s.cache.begin(out.documents, out.ids)
		s.cache.settled()
		s.drop()
		done += n
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/event")
}

// BenchmarkByMetadata is what order_by = "metadata.tenant" costs an event.
func BenchmarkByMetadata(b *testing.B) {
	order := ByMetadata("tenant")
	e := &event.Event{Stream: "s", Metadata: []byte(`{"user":"u-1234","correlation_id":"4b3f0c1e-7a51-4a0f-9a55-6f8a3f2d9f10","tenant":"acme","source":"web"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if order(e) != "acme" {
			b.Fatal(order(e))
		}
	}
}
