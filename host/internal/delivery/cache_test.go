package delivery

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"eshost/host/event"
)

// TestCacheAgainstAMap does random things to a cache: it always answers what the database will have
// once the batch in flight is committed, keeps what is in flight, and stays within its size.
func TestCacheAgainstAMap(t *testing.T) {
	for seed := range uint64(40) {
		inWorld(t, func(t *testing.T, w *world) {
			r := rand.New(rand.NewPCG(seed, 0))
			c := newCache(w.store, 1, 200+r.IntN(5000))
			want := make(map[string]string)
			c.complete = r.IntN(2) == 0
			if !c.complete {
				for i := range 50 {
					id := fmt.Sprint("c\x00k", i)
					w.store.docs[id] = event.DocumentWrite{Collection: "c", Key: id[2:], Data: fmt.Append(nil, "old", i)}
					want[id] = fmt.Sprint("old", i)
				}
			}
			inFlight := make(map[string]event.DocumentWrite)
			land := func() { // in the database first, as a commit does
				for id, d := range inFlight {
					if d.Data == nil {
						delete(w.store.docs, id)
					} else {
						w.store.docs[id] = d
					}
				}
			}
			for range 500 {
				id := fmt.Sprint("c\x00k", r.IntN(100))
				switch r.IntN(7) {
				case 0:
					land()
					c.settled()
					inFlight = make(map[string]event.DocumentWrite)
					for range r.IntN(20) {
						id := fmt.Sprint("c\x00k", r.IntN(100))
						inFlight[id] = event.DocumentWrite{Collection: "c", Key: id[2:], Data: fmt.Append(nil, r.IntN(1000))}
						if r.IntN(3) == 0 {
							inFlight[id] = event.DocumentWrite{Collection: "c", Key: id[2:]}
						}
					}
					ids := slices.Sorted(maps.Keys(inFlight))
					var writes []event.DocumentWrite
					for _, id := range ids {
						writes = append(writes, inFlight[id])
						if delete(want, id); inFlight[id].Data != nil {
							want[id] = string(inFlight[id].Data)
						}
					}
					c.begin(writes, ids)
				case 6:
					c.rest(r.IntN(2 * c.maxBytes))
				case 1:
					land() // while lanes read
				case 2:
					ids := []string{id, fmt.Sprint("c\x00k", 100+r.IntN(100))}
					if r.IntN(2) == 0 {
						ids = c.missing(ids)
					}
					if _, err := c.load(t.Context(), ids); err != nil {
						t.Fatal(err)
					}
				}
				k, err := c.get(t.Context(), []byte(id))
				if value, ok := want[id]; err != nil || k.exists != ok || string(k.value) != value {
					t.Fatalf("seed %d: %q is %q (%v, %v), want %q (%v)", seed, id, k.value, k.exists, err, value, ok)
				}
				if k, _, known := c.pending(id); known != (inFlight[id].Key != "") || known && string(k) != string(inFlight[id].Data) {
					t.Fatalf("seed %d: in flight %q is %q (%v)", seed, id, k, known)
				}
				checkCache(t, c)
			}
		})
	}
}

// checkCache recounts what the cache keeps count of.
func checkCache(t *testing.T, c *cache) {
	t.Helper()
	bytes, free, ring := 0, 0, 0
	for _, e := range c.entries {
		bytes += e.size()
		if !e.pinned {
			free++
		}
	}
	if c.newest != nil {
		for e := c.newest; ring == 0 || e != c.newest; e = e.next {
			if ring++; e.pinned || e.next.prev != e || ring > len(c.entries) {
				t.Fatalf("the ring is broken at %q", e.id)
			}
		}
	}
	if bytes != c.bytes || ring != free || len(c.inFlight) != len(c.entries)-free {
		t.Fatalf("%d bytes counted as %d; %d entries not in flight, %d in the ring; %d in flight", bytes, c.bytes, free, ring, len(c.inFlight))
	}
	if c.bytes > c.maxBytes && free > 1 && len(c.inFlight) == 0 {
		t.Fatalf("%d bytes in %d entries, %d are allowed", c.bytes, free, c.maxBytes)
	}
}

// TestCacheKeepsWhatIsUsed forgets what was used least recently.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const entry = cachedOverhead + 4
		c := newCache(w.store, 1, 10*entry)
		get := func(i int) int {
			before := w.store.calls["Documents"]
			if _, err := c.get(t.Context(), fmt.Appendf(nil, "c\x00%02d", i)); err != nil {
				t.Fatal(err)
			}
			return w.store.calls["Documents"] - before
		}
		for i := range 10 {
			get(i)
		}
		get(0) // used again
		get(10)
		if get(0) != 0 || get(2) != 0 || get(1) != 1 {
			t.Error("it forgot something that was used, or kept what was not")
		}
	})
}

// TestReadAhead reads the documents of a batch's streams in few statements, and not more than fit.
func TestReadAhead(t *testing.T) {
	for _, c := range []struct {
		cache, most int
	}{{64 << 20, 20}, {100_000, 1 << 30}} {
		inWorld(t, func(t *testing.T, w *world) {
			var streams []string
			for i := range 2000 {
				id := fmt.Sprint("s", i)
				streams = append(streams, id)
				w.store.docs["notes\x00"+id] = event.DocumentWrite{Collection: "notes", Key: id, Data: []byte("before")}
			}
			for range 3 {
				w.append(streams...)
			}
			w.start(handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
				time.Sleep(time.Microsecond)
				return notes(ctx, e, fx)
			}), Options{CacheBytes: c.cache, LaneWork: 1, MaxBatch: 4000})
			w.reaches(6000)
			if got := w.document("notes", "s7"); got != "before 8 2008 4008" {
				t.Errorf("the notes are %q", got)
			}
			// The first batch teaches it what to read ahead.
			if n := w.store.calls["Documents"] - firstBatch; n > c.most {
				t.Errorf("%d statements to read %d documents", n, len(streams))
			}
		})
	}
}
