package tail

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/event"
)

func TestReaderTakesFromTheRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		tail := running(t, l, Options{})
		r := tail.NewReader(event.Filter{Types: []string{"A"}})
		defer r.Close()
		time.Sleep(time.Second)
		l.append("A", "B", "", "A", "A", "B")
		tail.Wake()
		for _, step := range []struct {
			after           event.Position
			limit, maxBytes int
			want            string
		}{
			{0, 10, 0, "1 4 5 up to 6"},
			{0, 2, 0, "1 4 up to 4"},
			{0, 3, 0, "1 4 5 up to 5"},
			{0, 10, 1, "1 up to 1"},
			{1, 10, 2 * 195, "4 5 up to 5"},
			{3, 10, 0, "4 5 up to 6"},
			{4, 10, 0, "5 up to 6"},
		} {
			b, err := r.Next(t.Context(), step.after, step.limit, step.maxBytes)
			if err != nil || positions(b) != step.want {
				t.Errorf("after %d, limit %d, %d bytes: %s, %v, want %s", step.after, step.limit, step.maxBytes, positions(b), err, step.want)
			}
		}
		if len(l.reads) > 0 {
			t.Errorf("the ring had it all, but the store was asked: %+v", l.reads)
		}
	})
}

// TestBehind counts what a reader has yet to see: exactly in the ring, and never too low before it.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		l.append("B", "B", "B")
		tail := running(t, l, Options{})
		time.Sleep(time.Second) // the ring begins after position 3
		l.append("A", "B", "", "A", "A", "B")
		tail.Wake()
		time.Sleep(time.Second)
		for _, c := range []struct {
			after event.Position
			types []string
			want  int64
		}{
			{9, nil, 0},
			{3, nil, 5}, // position 6 is a hole
			{3, []string{"A"}, 3},
			{4, []string{"A"}, 2},
			{8, []string{"A"}, 0},
			{8, nil, 1},
			{1, []string{"A"}, 3 + 2},
			{0, nil, 5 + 3},
		} {
			if got := tail.Behind(c.after, event.Filter{Types: c.types}); got != c.want {
				t.Errorf("after %d of types %v there are %d, want %d", c.after, c.types, got, c.want)
			}
		}
		if len(l.reads) > 0 {
			t.Errorf("the store was asked: %+v", l.reads)
		}
	})
}

func TestReaderBehindTheRingReadsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		l.append("A", "B", "A")
		tail := running(t, l, Options{RingEvents: 3})
		r := tail.NewReader(event.Filter{Types: []string{"A"}})
		defer r.Close()
		next := func(after event.Position, want string) {
			t.Helper()
			b, err := r.Next(t.Context(), after, 10, 0)
			if err != nil || positions(b) != want {
				t.Errorf("after %d: %s, %v, want %s", after, positions(b), err, want)
			}
		}
		next(0, "1 3 up to 3") // from before the first poll
		l.append("A", "A")
		tail.Wake()
		next(3, "4 5 up to 5")
		reads := len(l.reads)
		l.append("A", "A", "A", "A") // more than the ring holds
		tail.Wake()
		next(5, "6 7 8 9 up to 9")
		if len(l.reads) != reads+1 {
			t.Errorf("%d reads", len(l.reads)-reads)
		}
		l.append("A", "A")
		tail.Wake()
		time.Sleep(time.Second)
		l.append("A", "A") // pushes the two before out
		tail.Wake()
		time.Sleep(time.Second)
		next(9, "10 11 12 13 up to 13")
		next(11, "12 13 up to 13")
		if len(l.reads) != reads+2 {
			t.Errorf("%d reads, the ring has had positions 12 and 13", len(l.reads)-reads)
		}
	})
}

func TestRingIsBounded(t *testing.T) {
	events := func(from, n, size int) []event.Event {
		out := make([]event.Event, n)
		for i := range out {
			out[i] = event.Event{Position: event.Position(from + i), Data: make([]byte, size)}
		}
		return out
	}
	r := ring{maxEvents: 100, maxBytes: 1 << 20}
	at := 0
	for range 50 {
		r.add(events(at+1, 7, 10), event.Position(at+7))
		at += 7
		r.add(nil, event.Position(at+1))
		at++
		if r.events > 100 || len(r.spans) > 15 {
			t.Fatalf("the ring holds %d events in %d spans", r.events, len(r.spans))
		}
	}
	if want := event.Position(at - 14*8); r.start != want || r.events != 98 {
		t.Errorf("the ring begins at %d with %d events, want %d", r.start, r.events, want)
	}
	r.add(events(at+1, 1, 2<<20), event.Position(at+1)) // larger than all
	if r.events != 0 || r.bytes != 0 || r.start != event.Position(at+1) {
		t.Errorf("after an event that is too large the ring begins at %d with %d events, %d bytes", r.start, r.events, r.bytes)
	}
	for range 100_000 { // a log of holes
		at++
		r.add(nil, event.Position(at+1))
	}
	if len(r.spans) > 1 {
		t.Errorf("%d spans hold nothing", len(r.spans))
	}
}

// TestEveryReaderIsWoken has readers that each want another type, and look at the ring just when
// something is added to it: none may miss its wake-up and hear of its event by a quiet step.
func TestEveryReaderIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers = 300
		l := &fakeLog{}
		tail := running(t, l, Options{MinPoll: time.Millisecond, Quiet: time.Hour})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var mu sync.Mutex
		appended, heard := time.Time{}, 0
		for i := range readers {
			r := tail.NewReader(event.Filter{Types: []string{fmt.Sprint("type", i)}})
			wg.Go(func() {
				defer r.Close()
				for after := event.Position(0); ; {
					b, err := r.Next(ctx, after, 10, 0)
					if err != nil {
						return
					}
					after = b.UpTo
					mu.Lock()
					if heard += len(b.Events); len(b.Events) > 0 && time.Since(appended) > 2*time.Millisecond {
						t.Errorf("reader %d heard of its event after %v", i, time.Since(appended))
					}
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Second)
		for i := range 10 * readers {
			mu.Lock()
			appended = time.Now()
			mu.Unlock()
			l.append(fmt.Sprint("type", i*7919%readers))
			tail.Wake()
			time.Sleep(3 * time.Millisecond)
		}
		stop()
		wg.Wait()
		if heard != 10*readers {
			t.Errorf("%d of %d events were heard of", heard, 10*readers)
		}
	})
}

// TestQuietSteps has readers whose events never come, or rarely: they move on once in a while.
func TestQuietSteps(t *testing.T) {
	byType := func(e *event.Event) string {
		if e.Type == "wanted" {
			return "account-8" // is in partition 1 of 2
		}
		return "account-7" // is in partition 0
	}
	t.Run("other types", func(t *testing.T) { quietSteps(t, event.Filter{Types: []string{"wanted"}}) })
	t.Run("other partition", func(t *testing.T) {
		quietSteps(t, event.Filter{Partition: event.Partition{Index: 1, Of: 2, Key: byType}})
	})
}

// quietSteps has a filter that wants events of the type wanted and no others.
func quietSteps(t *testing.T, f event.Filter) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		tail := running(t, l, Options{Quiet: time.Second})
		r := tail.NewReader(f)
		defer r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			for range 59_000 {
				l.append("unwanted")
				tail.Wake()
				time.Sleep(time.Millisecond)
			}
		}()
		steps, last := 0, event.Position(0)
		for {
			b, err := r.Next(ctx, last, 10, 0)
			if err != nil {
				break
			}
			if len(b.Events) > 0 || b.UpTo <= last {
				t.Errorf("step %s after %d", positions(b), last)
			}
			last = b.UpTo
			steps++
		}
		if steps < 55 || steps > 61 || last != 59_000 {
			t.Errorf("%d steps in a minute, the last to %d", steps, last)
		}
		// What is wanted does not wait for a step.
		began := time.Now()
		l.append("unwanted", "wanted")
		tail.Wake()
		if b, err := r.Next(t.Context(), last, 10, 0); err != nil || positions(b) != "59002 up to 59002" || time.Since(began) > 10*time.Millisecond {
			t.Errorf("%s, %v after %v", positions(b), err, time.Since(began))
		}
	})
}

// TestQuietStepsTakeTurns holds many readers that want nothing to a number of steps that does not grow with them, and
// to taking them in turn.
func TestQuietStepsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers, rate = 200, 20
		l := &fakeLog{}
		tail := running(t, l, Options{Quiet: time.Second, QuietRate: rate, RingEvents: 5000})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		steps := make([]int, readers)
		lasts := make([]event.Position, readers)
		all := make([]*Reader, readers)
		var wg sync.WaitGroup
		for i := range readers {
			r := tail.NewReader(event.Filter{Types: []string{"wanted"}})
			all[i] = r
			wg.Go(func() {
				defer r.Close()
				for {
					b, err := r.Next(ctx, lasts[i], 10, 0)
					if err != nil {
						return
					}
					lasts[i] = b.UpTo
					steps[i]++
				}
			})
		}
		synctest.Wait() // the ring begins with the first event
		for range 40_000 {
			l.append("unwanted")
			tail.Wake()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(readers / rate * time.Second)
		synctest.Wait()
		total := 0
		for i, n := range steps {
			if total += n; n < 3 || n > 6 {
				t.Errorf("reader %d took %d steps in 50s", i, n)
			}
			if lasts[i] != 40_000 {
				t.Errorf("reader %d has come to %d when nothing was appended any more", i, lasts[i])
			}
		}
		if total > 51*rate {
			t.Errorf("%d steps in 50s, more than %d a second", total, rate)
		}
		if n := len(l.reads); n > 0 {
			t.Errorf("%d reads of the store; all of it was in the ring when it was looked at", n)
		}
		// Who is waited for need not wait for its turn.
		l.append("unwanted")
		tail.Wake()
		time.Sleep(10 * time.Millisecond)
		all[readers-1].Hurry()
		synctest.Wait()
		if last := lasts[readers-1]; last != 40_001 {
			t.Errorf("the reader that was hurried is at %d", last)
		}
		stop()
		wg.Wait()
	})
}

func TestReaderErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{readErr: errAway}
		l.append("A")
		tail := running(t, l, Options{})
		r := tail.NewReader(event.Filter{})
		defer r.Close()
		if _, err := r.Next(t.Context(), 0, 10, 0); !errors.Is(err, errAway) {
			t.Errorf("a failed read: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if _, err := r.Next(ctx, 1, 10, 0); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("stopped while waiting: %v after %v", err, time.Since(began))
		}
	})
}

func TestCatchUpReadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{readTakes: time.Second}
		l.append("A")
		tail := running(t, l, Options{CatchUpReads: 3})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				r := tail.NewReader(event.Filter{})
				defer r.Close()
				if b, err := r.Next(t.Context(), 0, 10, 0); err != nil || len(b.Events) != 1 {
					t.Errorf("%s, %v", positions(b), err)
				}
			})
		}
		wg.Wait()
		if l.most != 3 {
			t.Errorf("%d reads at once", l.most)
		}
	})
}

// TestWindow is a filter that wants nothing of a long log: the reads are bounded, and it gets there.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{head: 50_000_000, watermark: 50_000_000}
		tail := running(t, l, Options{})
		r := tail.NewReader(event.Filter{Types: []string{"none"}})
		defer r.Close()
		after := event.Position(0)
		for after < l.head {
			b, err := r.Next(t.Context(), after, 10, 0)
			if err != nil || b.UpTo <= after {
				t.Fatalf("%s, %v", positions(b), err)
			}
			after = b.UpTo
		}
		first, last := l.reads[0], l.reads[len(l.reads)-2]
		if first.UpTo-first.After != firstWindow || last.UpTo-last.After != maxWindow || len(l.reads) > 15 {
			t.Errorf("%d reads, the first of %d, the last of %d", len(l.reads), first.UpTo-first.After, last.UpTo-last.After)
		}
		l.set(func() { l.readTakes, l.head, l.watermark, l.incomplete = time.Second, 150_000_000, 150_000_000, true })
		tail.Wake()
		for range 12 {
			b, err := r.Next(t.Context(), after, 10, 0)
			if err != nil {
				t.Fatal(err)
			}
			after = b.UpTo
		}
		if last = l.reads[len(l.reads)-1]; last.UpTo-last.After != minWindow {
			t.Errorf("slow reads look through %d positions", last.UpTo-last.After)
		}
	})
}

var seedFlag = flag.Uint64("seed", 0, "run only this seed of the random test")

// TestRandom follows a log that grows at random with readers at random places: each gets every event
// it wants once, in order, and nothing beyond the watermark.
func TestRandom(t *testing.T) {
	if *seedFlag != 0 {
		runSeed(t, *seedFlag)
		return
	}
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed=%d", seed+1), func(t *testing.T) { t.Parallel(); runSeed(t, seed+1) })
	}
}

func runSeed(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 0))
		l := &fakeLog{}
		for range r.IntN(50) {
			l.append(randomType(r))
		}
		o := Options{MinPoll: time.Millisecond, RingEvents: 1 + r.IntN(30), RingBytes: 1 << (8 + r.IntN(10)), Quiet: time.Second}
		tail := running(t, l, o)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 1 + r.IntN(20) {
			r := rand.New(rand.NewPCG(seed, uint64(i+1)))
			wg.Go(func() { follow(ctx, t, l, tail, r) })
		}
		for range 200 {
			time.Sleep(time.Duration(r.Int64N(int64(20 * time.Millisecond))))
			for range 1 + r.IntN(4) {
				l.hold(randomType(r))
			}
			final := r.IntN(3) > 0
			l.set(func() {
				l.err = nil
				if r.IntN(20) == 0 {
					l.err = errAway
				}
				l.incomplete = r.IntN(10) == 0
				if final {
					l.watermark = l.head
				}
			})
			if final {
				tail.Wake()
			}
		}
		l.set(func() { l.err, l.incomplete, l.watermark = nil, false, l.head })
		time.Sleep(10 * time.Second)
		stop()
		wg.Wait()
		if t.Failed() {
			t.Logf("again: go test -run TestRandom ./host/internal/tail -args -seed=%d", seed)
		}
	})
}

func randomType(r *rand.Rand) string { return strings.Split("A,A,A,B,B,C,", ",")[r.IntN(7)] }

func follow(ctx context.Context, t *testing.T, l *fakeLog, tail *Tail, r *rand.Rand) {
	filters := []event.Filter{{}, {Types: []string{"A"}}, {Types: []string{"B", "C"}}, {Types: []string{"C"}},
		{Partition: part(r.IntN(3), 3)}, {Types: []string{"A"}, Partition: part(r.IntN(2), 2)}, {Partition: part(r.IntN(50), 50)}}
	f := filters[r.IntN(len(filters))]
	reader := tail.NewReader(f)
	defer reader.Close()
	after := event.Position(0)
	var got []event.Event
	check := func(upTo event.Position) {
		l.mu.Lock()
		defer l.mu.Unlock()
		want := l.between(0, upTo, f)
		for i := range min(len(got), len(want)) {
			if got[i].Position != want[i].Position {
				t.Errorf("event %d is at position %d, want %d", i, got[i].Position, want[i].Position)
				return
			}
		}
		if len(got) != len(want) {
			t.Errorf("up to %d the reader has got %d events, want %d", upTo, len(got), len(want))
		}
	}
	for {
		b, err := reader.Next(ctx, after, 1+r.IntN(20), r.IntN(2)*r.IntN(2000))
		if ctx.Err() != nil {
			check(l.head) // it had the time to get there
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		if mark := tail.Status().Watermark; b.UpTo <= after || b.UpTo > mark {
			t.Errorf("after %d a batch up to %d, the watermark is at %d", after, b.UpTo, mark)
		}
		got = append(got, b.Events...)
		after = b.UpTo
		check(after)
		if r.IntN(10) == 0 {
			time.Sleep(time.Duration(r.Int64N(int64(300 * time.Millisecond))))
		}
	}
}
