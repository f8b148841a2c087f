package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"eshost/host/event"
)

// TestGreedyModule writes as much as one event may, again and again: what delivery keeps in memory
// stays bounded, whatever the number of lanes, and the outcome is the same.
func TestGreedyModule(t *testing.T) {
	const document, perEvent, events, most = 10_000, 10, 200, 1 << 20
	for _, lanes := range []int{1, 4} {
		t.Run(fmt.Sprint("lanes=", lanes), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				h := handler(func(_ context.Context, e *event.Event, _ int, fx Effects) error {
					time.Sleep(time.Microsecond)
					for i := range perEvent {
						if err := fx.Set([]byte("c"), fmt.Appendf(nil, "%d.%d", e.Position, i), make([]byte, document)); err != nil {
							return err
						}
					}
					return nil
				})
				for i := range events {
					w.append(fmt.Sprint("s", i))
				}
				w.start(h, Options{Lanes: lanes, LaneWork: 1, MaxBatchBytes: most, CacheBytes: most})
				w.reaches(events)
				if n := len(w.store.docs); n != events*perEvent {
					t.Errorf("%d documents", n)
				}
				for _, c := range w.commits() {
					size := 0
					for _, d := range c.Documents {
						size += len(d.Data)
					}
					if size > most+document*perEvent {
						t.Errorf("one commit writes %d bytes", size)
					}
				}
				if n := len(w.commits()); n > 3*events*perEvent*document/most {
					t.Errorf("%d commits", n)
				}
			})
		})
	}
}

// TestGreedyReader reads much in lanes, where reads must be remembered.
func TestGreedyReader(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 50 {
			id := fmt.Sprint("big", i)
			w.store.docs["c\x00"+id] = event.DocumentWrite{Collection: "c", Key: id, Data: make([]byte, 100_000)}
		}
		h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			time.Sleep(time.Microsecond)
			for i := range 50 {
				if _, ok, err := fx.Get(ctx, []byte("c"), fmt.Append(nil, "big", i)); err != nil || !ok {
					return fmt.Errorf("%d: %v %w", i, ok, err)
				}
			}
			return notes(ctx, e, fx)
		})
		for i := range 40 {
			w.append(fmt.Sprint("s", i))
		}
		r, _ := w.start(h, Options{Lanes: 4, LaneWork: 1, MaxBatchBytes: 1 << 20, CacheBytes: 1 << 20, MaxBatch: 20})
		w.reaches(40)
		if st := r.Status(); st.State != Running || st.Failed > 0 {
			t.Errorf("the status is %+v", st)
		}
	})
}

// TestLanesFitTheirBounds reads more than lanes may keep: the batches become small enough for lanes, and
// events are not handled twice for ever.
func TestLanesFitTheirBounds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const events = 3000
		var calls atomic.Int64
		for i := range events {
			id := fmt.Sprint("s", i)
			w.store.docs["c\x00"+id] = event.DocumentWrite{Collection: "c", Key: id, Data: make([]byte, 10_000)}
			w.append(id)
		}
		h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			calls.Add(1)
			time.Sleep(time.Millisecond)
			_, _, err := fx.Get(ctx, []byte("c"), []byte(e.Stream))
			return err
		})
		began := time.Now()
		w.start(h, Options{Lanes: 4, LaneWork: 1, MaxBatchBytes: 1 << 20, CacheBytes: 4 << 20})
		w.reaches(events)
		if n := calls.Load(); n > events*5/4 {
			t.Errorf("%d events were handled %d times", events, n)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("%d events of 1 ms took %v in 4 lanes", events, d)
		}
	})
}

// TestSlowHandlers commits once in a while, however long handlers take: from the first batch on, and in lanes.
func TestSlowHandlers(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		for _, each := range []time.Duration{10 * time.Millisecond, 250 * time.Millisecond, 3 * time.Second} {
			t.Run(fmt.Sprint(lanes, " lanes, ", each, " each"), func(t *testing.T) {
				inWorld(t, func(t *testing.T, w *world) {
					h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
						time.Sleep(each)
						return notes(ctx, e, fx)
					})
					for i := range 1000 {
						w.append(fmt.Sprint("s", i%50))
					}
					w.start(h, Options{Lanes: lanes})
					began := time.Now()
					last := began
					w.reaches(1000)
					for i, c := range w.commits() {
						if d := c.began.Sub(last); d > 2*slowBatch+each {
							t.Errorf("commit %d comes %v after the one before", i, d)
						}
						last = c.began
					}
					if took := last.Sub(began); took > 1100*each || lanes > 1 && each < time.Second && took > 600*each {
						t.Errorf("1000 events took %v", took)
					}
				})
			})
		}
	}
}

// TestHandlersThatBecomeSlow has large batches in lanes when each event begins to take its time.
func TestHandlersThatBecomeSlow(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const quick, slow = 10_000, 400
		h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			if e.Position > quick {
				time.Sleep(250 * time.Millisecond)
			}
			time.Sleep(10 * time.Microsecond)
			return notes(ctx, e, fx)
		})
		for i := range quick + slow {
			w.append(fmt.Sprint("s", i%50))
		}
		w.start(h, Options{Lanes: 4})
		w.reaches(quick + slow)
		last := w.commits()[0].began
		for i, c := range w.commits() {
			if d := c.began.Sub(last); d > 6*slowBatch {
				t.Errorf("commit %d comes %v after the one before", i, d)
			}
			last = c.began
		}
		if d := last.Sub(w.commits()[0].began); d > slow*250*time.Millisecond/2 {
			t.Errorf("%d slow events took %v in 4 lanes", slow, d)
		}
	})
}

func TestBatchLimit(t *testing.T) {
	const large, quick = 1 << 30, time.Millisecond
	for _, c := range []struct {
		name  string
		o     Options
		learn func(l *batchLimit)
		want  int
	}{
		{"first", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(*batchLimit) {}, 256},
		{"first, small", Options{MaxBatch: 7, MaxBatchBytes: large}, func(*batchLimit) {}, 7},
		{"behind", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.learn(256, quick, 1) }, 1024},
		{"far behind", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) {
			for range 10 {
				l.learn(l.get(), quick, 1)
			}
		}, 20_000},
		{"live again", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) {
			l.set(20_000)
			for range 20 {
				l.learn(1, quick, 1)
			}
		}, 256},
		{"only steps", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.set(5000); l.learn(0, quick, 0) }, 5000},
		{"slow", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.learn(256, 64*time.Second, 1) }, 4},
		{"hopelessly slow", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.learn(1, time.Minute, 1) }, 1},
		{"no longer slow", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.set(4); l.learn(4, quick, 1) }, 16},
		{"cut for being slow", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.learn(4, slowBatch, 1) }, 4},
		{"nearly slow", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.learn(256, slowBatch/2, 1) }, 512},
		{"one at a time, but no longer slow", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.set(1); l.learn(1, slowBatch/3, 1) }, 3},
		{"large effects", Options{MaxBatch: 20_000, MaxBatchBytes: 16 << 20}, func(l *batchLimit) { l.learn(256, quick, 256<<20) }, 8},
		{"slow commits", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.set(8000); l.committed(2 * slowBatch) }, 4000},
		{"slow small commits", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.set(100); l.committed(2 * slowBatch) }, 100},
		{"narrowed", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.narrow(5); l.learn(5, quick, 1) }, 5},
		{"wide again", Options{MaxBatch: 20_000, MaxBatchBytes: large}, func(l *batchLimit) { l.narrow(5); l.narrow(0); l.learn(5, quick, 1) }, 20},
	} {
		var l batchLimit
		l.init(&c.o)
		c.learn(&l)
		if got := l.get(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestManyWritesOfOneEvent finds its own writes without looking through all of them.
func TestManyWritesOfOneEvent(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const n = 10_000
		h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			for round := range 3 {
				for i := range n {
					key := fmt.Append(nil, "k", i)
					old, ok, err := fx.Get(ctx, []byte("c"), key)
					if err != nil || ok != (round > 0) || ok && string(old) != fmt.Sprint(round-1, i) {
						return failing(event.FailReject)
					}
					if i%2 == round%2 && round == 2 {
						err = fx.Delete([]byte("c"), key)
					} else {
						err = fx.Set([]byte("c"), key, fmt.Append(nil, round, i))
					}
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		w.append("a")
		w.start(h, Options{})
		w.reaches(1)
		if len(w.store.docs) != n/2 || len(w.store.sequences) > 0 || len(w.commits()[0].Documents) != n {
			t.Errorf("%d documents, sequences %v", len(w.store.docs), w.store.sequences)
		}
		if got := w.document("c", "k9999"); got != "2 9999" {
			t.Errorf("the last document is %q", got)
		}
	})
}

// TestMadeUpCollections does not let a guest fill the host's memory with names.
func TestMadeUpCollections(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			_, _, err := fx.Get(ctx, fmt.Append(nil, "c", e.Position), []byte("k"))
			return err
		})
		w.append(slices.Repeat([]string{"a"}, 1000)...)
		r := NewRunner(w.store, nil, h, Options{Plugin: "p", HostID: "me", Lanes: 1})
		s, err := r.open(t.Context(), t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []event.Position{0, 500} {
			if _, err := s.handle(t.Context(), event.Batch{Events: w.log.between(at, at+500, event.Filter{}), UpTo: at + 500}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(s.lanes.habit); n > maxHabits {
			t.Errorf("%d collections are remembered", n)
		}
		if err := s.settle(); err != nil {
			t.Fatal(err)
		}
		s.close(t.Context())
	})
}
