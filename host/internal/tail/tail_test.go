package tail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

func TestPollPausesDoubleWhenIdleAndShrinkWhenBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		running(t, l, Options{MinPoll: 2 * time.Millisecond, MaxPoll: 100 * time.Millisecond})
		time.Sleep(2*time.Second + time.Microsecond)
		synctest.Wait()
		var pauses []time.Duration
		for i, p := range l.polls[1:] {
			pauses = append(pauses, p.Sub(l.polls[i]))
		}
		want := "[2ms 4ms 8ms 16ms 32ms 64ms 100ms 100ms"
		if got := fmt.Sprint(pauses); len(got) < len(want) || got[:len(want)] != want {
			t.Errorf("idle pauses are %v, want %s …", got, want)
		}
		before := l.pollCount()
		for range 100 { // something new at every poll
			l.append("A")
			time.Sleep(2 * time.Millisecond)
		}
		// The first may come 100 ms late, since nobody called Wake.
		if polls := l.pollCount() - before; polls < 48 || polls > 101 {
			t.Errorf("%d polls in 200 busy ms", polls)
		}
	})
}

func TestIdleStatementsDoNotGrowWithReaders(t *testing.T) {
	counts := make(map[int]int)
	for _, readers := range []int{1, 10, 1000} {
		synctest.Test(t, func(t *testing.T) {
			l := &fakeLog{}
			l.append("A", "B")
			tail := running(t, l, Options{})
			ctx, cancel := context.WithCancel(t.Context())
			for i := range readers {
				r := tail.NewReader(event.Filter{Types: []string{fmt.Sprint("none", i)}})
				go func() {
					defer r.Close()
					for after := event.Position(0); ; {
						b, err := r.Next(ctx, after, 10, 0)
						if err != nil {
							return
						}
						after = b.UpTo
					}
				}()
			}
			time.Sleep(time.Second) // they find their places
			before := l.pollCount() + len(l.reads)
			time.Sleep(time.Minute)
			counts[readers] = l.pollCount() + len(l.reads) - before
			cancel()
		})
	}
	if counts[1] == 0 || counts[1] != counts[10] || counts[1] != counts[1000] {
		t.Errorf("statements in an idle minute, by number of readers: %v", counts)
	}
}

func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		tail := running(t, l, Options{MinPoll: 2 * time.Millisecond, MaxPoll: time.Hour})
		time.Sleep(3 * time.Hour)

		began := time.Now()
		tail.Wake()
		synctest.Wait()
		if last := l.polls[len(l.polls)-1]; !last.Equal(began) {
			t.Errorf("woken at %v, polled at %v", began, last)
		}
		// Wake-ups come faster than polls may: nobody floods the database, and none is forgotten.
		before := l.pollCount()
		for range 1000 {
			tail.Wake()
			time.Sleep(10 * time.Microsecond)
		}
		l.append("A")
		tail.Wake()
		time.Sleep(2 * time.Millisecond)
		synctest.Wait() // the poll is due at this very moment
		if polls := l.pollCount() - before; polls < 5 || polls > 7 {
			t.Errorf("%d polls in 12 ms of wake-ups", polls)
		}
		if s := tail.Status(); s.Watermark != 1 {
			t.Errorf("the last wake-up was lost: %+v", s)
		}
	})
}

// TestSetMaxPoll has somebody else look for the tail, and stop doing so.
func TestSetMaxPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		tail := running(t, l, Options{MinPoll: 2 * time.Millisecond, MaxPoll: 100 * time.Millisecond})
		polls := func(in time.Duration) int {
			before := l.pollCount()
			time.Sleep(in)
			synctest.Wait()
			return l.pollCount() - before
		}
		time.Sleep(time.Minute)
		if n := polls(time.Minute); n < 599 || n > 601 {
			t.Errorf("%d polls a minute", n)
		}
		tail.SetMaxPoll(10 * time.Second)
		time.Sleep(time.Minute)
		if n := polls(time.Minute); n < 5 || n > 7 {
			t.Errorf("%d polls a minute while somebody else looks", n)
		}
		l.append("A")
		tail.Wake()
		if time.Sleep(time.Millisecond); tail.Status().Watermark != 1 {
			t.Error("a wake-up is not heard")
		}
		time.Sleep(time.Hour)
		l.append("A")
		tail.SetMaxPoll(0)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if tail.Status().Watermark != 2 {
			t.Error("the pause that had begun goes on")
		}
		if n := polls(time.Minute); n < 599 || n > 610 {
			t.Errorf("%d polls a minute afterwards", n)
		}
		tail.SetMaxPoll(time.Nanosecond)
		time.Sleep(time.Minute)
		if n := polls(time.Second); n < 499 || n > 501 {
			t.Errorf("%d polls a second without a pause, the shortest is 2 ms", n)
		}
	})
}

// TestBell hears of what somebody rings for: at once where there is nothing new in the log, and not while polls fail.
func TestBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{bell: 7}
		var started atomic.Pointer[Tail]
		var rung atomic.Int64
		tail := running(t, l, Options{MaxPoll: 100 * time.Millisecond, OnBell: func() {
			rung.Add(1)
			if tail := started.Load(); tail != nil {
				_ = tail.Status() // its lock is free
			}
		}})
		started.Store(tail)
		heard := func(what string, want int64) {
			t.Helper()
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if got := rung.Swap(0); got != want {
				t.Errorf("%s: heard %d times, want %d", what, got, want)
			}
		}
		heard("at first", 1)
		heard("nothing", 0)
		l.set(func() { l.bell = 8 })
		heard("rung", 1)
		l.set(func() { l.bell = 10 })
		l.append("A")
		heard("rung twice, with an event", 1)
		l.append("A")
		heard("an event", 0)
		l.set(func() { l.bell, l.err = 11, errAway })
		time.Sleep(time.Minute)
		heard("rung while polls fail", 0)
		l.set(func() { l.err = nil })
		time.Sleep(time.Minute)
		heard("polls work again", 1)
		l.set(func() { l.bell = 3 }) // a failover has lost some
		heard("gone back", 1)
		if got := tail.Status().Bell; got != 3 {
			t.Errorf("the status has %d", got)
		}
	})
}

func TestMinPollIsAPauseHoweverLongAPollTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{takes: 50 * time.Millisecond}
		tail := running(t, l, Options{MinPoll: 10 * time.Millisecond})
		for range 6000 {
			tail.Wake()
			time.Sleep(time.Millisecond)
		}
		if polls := l.pollCount(); polls < 95 || polls > 101 {
			t.Errorf("%d polls of 50 ms in 6 s, with pauses of 10 ms between them", polls)
		}
	})
}

func TestBackoffAndRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		l.append("A")
		tail := running(t, l, Options{MaxBackoff: time.Second})
		r := tail.NewReader(event.Filter{})
		defer r.Close()
		time.Sleep(time.Second)
		l.set(func() { l.err = errAway })
		before := l.pollCount()
		for range 10_000 {
			tail.Wake() // changes nothing while the store fails
			time.Sleep(time.Millisecond)
		}
		if polls := l.pollCount() - before; polls < 11 || polls > 16 {
			t.Errorf("%d polls in 10 s of failures", polls)
		}
		if s := tail.Status(); !errors.Is(s.Err, errAway) || s.Watermark != 1 {
			t.Errorf("while failing the status is %+v", s)
		}
		l.set(func() { l.err = nil })
		for before = l.pollCount(); l.pollCount() == before; {
			time.Sleep(time.Millisecond)
		}
		before = l.pollCount()
		time.Sleep(20 * time.Millisecond)
		if polls := l.pollCount() - before; polls < 2 {
			t.Errorf("%d polls in the 20 ms after recovery: it still backs off", polls)
		}
		l.set(func() { l.err = errAway })
		time.Sleep(10 * time.Second)
		l.append("B")
		l.set(func() { l.err = nil })
		began := time.Now()
		b, err := r.Next(t.Context(), 1, 10, 0)
		if err != nil || positions(b) != "2 up to 2" || time.Since(began) > time.Second {
			t.Errorf("after recovery: %s, %v, %v", positions(b), err, time.Since(began))
		}
		if s := tail.Status(); s.Err != nil {
			t.Errorf("after recovery the status has %v", s.Err)
		}
	})
}

// TestPollThatHangs has a store that does not answer: the tail says so, and looks again.
func TestPollThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		l.append("A")
		tail := running(t, l, Options{PollTimeout: 10 * time.Second})
		time.Sleep(time.Second)
		synctest.Wait()
		polled := tail.Status().Polled
		if time.Since(polled) > 100*time.Millisecond {
			t.Errorf("the last poll was at %v", polled)
		}
		l.set(func() { l.takes = time.Hour })
		time.Sleep(15 * time.Second)
		if s := tail.Status(); !errors.Is(s.Err, context.DeadlineExceeded) || !strings.Contains(s.Err.Error(), "no answer within 10s") || time.Since(s.Polled) < 14*time.Second {
			t.Errorf("the status is %+v", s)
		}
		l.set(func() { l.takes = 0 })
		l.append("B")
		time.Sleep(30 * time.Second)
		if s := tail.Status(); s.Err != nil || s.Watermark != 2 {
			t.Errorf("once it answers the status is %+v", s)
		}
	})
}

func TestLogWentBack(t *testing.T) {
	for name, back := range map[string]func(l *fakeLog){
		"says the store":      func(l *fakeLog) { l.err = fmt.Errorf("poll: %w", store.ErrLogWentBack) },
		"shows the watermark": func(l *fakeLog) { l.watermark = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &fakeLog{t: t}
				l.append("A", "B")
				tail := New(l, Options{})
				done := make(chan error)
				go func() { done <- tail.Run(t.Context(), 0) }()
				time.Sleep(time.Second)
				l.set(func() { back(l) })
				if err := <-done; !errors.Is(err, store.ErrLogWentBack) {
					t.Errorf("Run returned %v", err)
				}
				if s := tail.Status(); !errors.Is(s.Err, store.ErrLogWentBack) || s.Watermark != 2 {
					t.Errorf("the status is %+v", s)
				}
			})
		})
	}
}

func TestHeldWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		l.append("A")
		tail := running(t, l, Options{})
		time.Sleep(time.Second)
		if s := tail.Status(); !s.HeldSince.IsZero() || s.Head != 1 {
			t.Errorf("nothing is held: %+v", s)
		}
		l.set(func() { l.head, l.holders = 5, []store.Holder{{PID: 42}} })
		time.Sleep(time.Second)
		held := tail.Status()
		if d := time.Since(held.HeldSince); d < 900*time.Millisecond || d > time.Second || held.Holders[0].PID != 42 {
			t.Errorf("held for a second: %+v", held)
		}
		time.Sleep(time.Second)
		if s := tail.Status(); !s.HeldSince.Equal(held.HeldSince) {
			t.Errorf("still held, but since %v and not %v", s.HeldSince, held.HeldSince)
		}
		l.set(func() { l.watermark = 3 })
		time.Sleep(time.Second)
		if s := tail.Status(); time.Since(s.HeldSince) > time.Second {
			t.Errorf("it has moved since %v", s.HeldSince)
		}
		l.set(func() { l.watermark, l.holders = 5, nil })
		time.Sleep(time.Second)
		if s := tail.Status(); !s.HeldSince.IsZero() || len(s.Holders) != 0 || s.Watermark != 5 {
			t.Errorf("no longer held: %+v", s)
		}
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{err: errAway}
		tail := running(t, l, Options{})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tail.Wait(short, func(Status) bool { return true }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the first poll Wait returned %v", err)
		}
		l.set(func() { l.err = nil })
		if _, err := tail.Wait(t.Context(), func(Status) bool { return true }); err != nil {
			t.Errorf("Wait: %v", err)
		}
		go func() {
			time.Sleep(time.Minute)
			l.append("A", "B", "C")
		}()
		began := time.Now()
		s, err := tail.Wait(t.Context(), func(s Status) bool { return s.Watermark >= 3 })
		if err != nil || s.Watermark != 3 || time.Since(began) < time.Minute {
			t.Errorf("Wait for 3: %+v, %v after %v", s, err, time.Since(began))
		}
	})
}
