package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/postgres"
	"eshost/test/pgtest"
)

// benchStore is a store on a server that waits for the disk, as in production.
func benchStore(b *testing.B) *postgres.Store {
	server := pgtest.Private(b, pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "256MB"}})
	url, err := server.Database(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	s, err := postgres.Open(b.Context(), url, postgres.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// deposits are n requests for one bank event of about 130 bytes each.
func deposits(n int) []store.AppendRequest {
	reqs := make([]store.AppendRequest, n)
	for i := range reqs {
		reqs[i] = store.AppendRequest{Streams: []store.StreamAppend{{
			Stream: fmt.Sprintf("account-%05d", rand.IntN(10_000)), StreamType: "account", Expected: store.AnyVersion,
			Events: []store.NewEvent{{Type: "Deposited", Data: fmt.Appendf(nil,
				`{"account":"account-%05d","amount":%d,"currency":"EUR","reference":"invoice %d","note":"thank you for your payment"}`,
				rand.IntN(10_000), rand.IntN(100_000), rand.IntN(1_000_000))}},
		}}}
	}
	return reqs
}

func BenchmarkAppend(b *testing.B) {
	s := benchStore(b)
	for _, group := range []int{1, 8, 64, 1000} {
		b.Run(fmt.Sprint(group), func(b *testing.B) {
			n := 0
			for b.Loop() {
				for _, r := range s.Append(b.Context(), deposits(group)) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
				n += group
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	s := benchStore(b)
	const total = 50_000
	for range total / 5000 {
		s.Append(b.Context(), deposits(5000))
	}
	for _, c := range []struct {
		name string
		o    store.ReadOptions
	}{
		{"all", store.ReadOptions{Limit: 5000}},
		{"bounded", store.ReadOptions{Limit: 5000, MaxBytes: 64 << 20}},
		{"types", store.ReadOptions{Limit: 5000, Filter: event.Filter{Types: []string{"Opened", "Deposited", "Withdrawn"}}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for o := c.o; o.After < total; {
					o.UpTo = total
					batch, err := s.Read(b.Context(), o)
					if err != nil {
						b.Fatal(err)
					}
					n += len(batch.Events)
					o.After = batch.UpTo
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	s := benchStore(b)
	if err := s.RegisterHost(b.Context(), store.Host{ID: "h"}, 1<<40); err != nil {
		b.Fatal(err)
	}
	for _, documents := range []int{0, 100, 5000, 10_000} {
		b.Run(fmt.Sprint(documents), func(b *testing.B) {
			g, err := s.EnsurePlugin(b.Context(), b.Name(), 0, 1, "stream")
			if err != nil {
				b.Fatal(err)
			}
			lease, err := s.Acquire(b.Context(), g.ID, "h")
			if err != nil {
				b.Fatal(err)
			}
			writes := make([]event.DocumentWrite, documents)
			n, at := 0, lease.Position
			for b.Loop() {
				for i, k := range rand.Perm(max(10_000, documents))[:documents] {
					writes[i] = event.DocumentWrite{Collection: "accounts", Key: fmt.Sprintf("account-%05d", k), Position: at + 1,
						Data: fmt.Appendf(nil, `{"balance":%d,"count":%d,"currency":"EUR"}`, rand.IntN(1_000_000), i)}
				}
				c := store.Commit{Generation: g.ID, Owner: "h", Epoch: lease.Epoch, Expected: at, Position: at + 1, Digest: "d", Documents: writes}
				if err := s.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
				n, at = n+documents, at+1
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "documents/s")
		})
	}
}

func BenchmarkPollIdle(b *testing.B) {
	s := benchStore(b)
	s.Append(b.Context(), deposits(100))
	tail := s.Tail(0)
	defer tail.Close()
	for b.Loop() {
		if _, err := tail.Poll(b.Context(), 1000); err != nil {
			b.Fatal(err)
		}
	}
}
