package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/sqlite"
)

// Each benchmark reports how many events, documents, … a second it moved.

func benchStore(b *testing.B) *sqlite.Store {
	b.Helper()
	s, err := sqlite.Open(b.Context(), b.TempDir()+"/es.db", sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// bankEvents makes events of about 130 bytes of data in many streams.
func bankEvents(n int) []store.AppendRequest {
	r := rand.New(rand.NewPCG(1, 2))
	reqs := make([]store.AppendRequest, n)
	for i := range reqs {
		account := fmt.Sprintf("account-%d", r.IntN(10_000))
		data := fmt.Sprintf(`{"account":%q,"amount":%d,"currency":"EUR","reference":"transfer %08d","channel":"branch","teller":"t-%04d"}`, account, r.IntN(10_000), i, r.IntN(10_000))
		reqs[i] = store.AppendRequest{Streams: []store.StreamAppend{{Stream: account, StreamType: "account", Expected: store.AnyVersion,
			Events: []store.NewEvent{{ID: fmt.Sprintf("%032x", i), Type: []string{"AccountOpened", "Deposited", "Withdrawn"}[i%3], Data: []byte(data)}}}}}
	}
	return reqs
}

func fillBank(b *testing.B, s *sqlite.Store, n int) {
	b.Helper()
	for reqs := bankEvents(n); len(reqs) > 0; {
		k := min(len(reqs), 1000)
		for _, r := range s.Append(b.Context(), reqs[:k]) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		reqs = reqs[k:]
	}
}

func BenchmarkRead(b *testing.B) {
	s := benchStore(b)
	const n = 100_000
	fillBank(b, s, n)
	for name, filter := range map[string]event.Filter{"all": {}, "a third": {Types: []string{"Deposited"}}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for after := event.Position(0); after < n; {
					batch, err := s.Read(b.Context(), store.ReadOptions{After: after, UpTo: n, Limit: 5000, Filter: filter})
					if err != nil {
						b.Fatal(err)
					}
					after = batch.UpTo
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{5000, 10_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := benchStore(b)
			g, err := s.EnsurePlugin(b.Context(), "p", 0, 1, "stream")
			if err != nil {
				b.Fatal(err)
			}
			l, err := s.Acquire(b.Context(), g.ID, "h")
			if err != nil {
				b.Fatal(err)
			}
			position := event.Position(0)
			for b.Loop() {
				docs := make([]event.DocumentWrite, size)
				for i, k := range rand.Perm(10_000)[:size] {
					docs[i] = event.DocumentWrite{Collection: "balances", Key: fmt.Sprintf("account-%d", k),
						Data: fmt.Appendf(nil, `{"balance":%d,"currency":"EUR","count":%d}`, position*7, position), Position: position}
				}
				c := store.Commit{Generation: g.ID, Owner: "h", Epoch: l.Epoch, Expected: position, Position: position + 1, Digest: "d", Documents: docs}
				if err := s.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
				position++
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "documents/s")
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 64, 1000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := benchStore(b)
			reqs := bankEvents(1 << 20)
			for b.Loop() {
				for _, r := range s.Append(b.Context(), reqs[:size]) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
				reqs = reqs[size:]
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkDocuments(b *testing.B) {
	s := benchStore(b)
	g, err := s.EnsurePlugin(b.Context(), "p", 0, 1, "stream")
	if err != nil {
		b.Fatal(err)
	}
	var docs []event.DocumentWrite
	var keys []store.DocumentKey
	for i := range 10_000 {
		docs = append(docs, event.DocumentWrite{Collection: "c", Key: fmt.Sprintf("account-%d", i), Data: []byte(`{"balance":1,"currency":"EUR","count":2}`)})
		keys = append(keys, store.DocumentKey{Collection: "c", Key: docs[i].Key})
	}
	l, err := s.Acquire(b.Context(), g.ID, "h")
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Commit(b.Context(), store.Commit{Generation: g.ID, Owner: "h", Epoch: l.Epoch, Documents: docs}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if found, err := s.Documents(b.Context(), g.ID, keys); err != nil || len(found) != len(keys) {
			b.Fatal(len(found), err)
		}
	}
	b.ReportMetric(float64(len(keys)*b.N)/b.Elapsed().Seconds(), "documents/s")
}

func BenchmarkPollIdle(b *testing.B) {
	s := benchStore(b)
	fillBank(b, s, 10_000)
	tail := s.Tail(0)
	defer tail.Close()
	for b.Loop() {
		if _, err := tail.Poll(b.Context(), 1000); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadBesideWriter is how fast a reader is while the WAL grows under it.
func BenchmarkReadBesideWriter(b *testing.B) {
	s := benchStore(b)
	const n = 100_000
	fillBank(b, s, n)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			s.Append(b.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{{Stream: "s", Expected: store.AnyVersion, Events: []store.NewEvent{{Type: "T"}}}}}})
		}
	})
	for b.Loop() {
		for after := event.Position(0); after < n; {
			batch, err := s.Read(b.Context(), store.ReadOptions{After: after, UpTo: n, Limit: 5000})
			if err != nil {
				b.Fatal(err)
			}
			after = batch.UpTo
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
	close(stop)
	wg.Wait()
}
