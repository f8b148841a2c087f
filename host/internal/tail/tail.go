package tail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// Log is what the tail needs of a store.
type Log interface {
	Read(ctx context.Context, o store.ReadOptions) (event.Batch, error)
	Tail(floor event.Position) store.Tail
}

// Options bound the tail. The zero value means the defaults.
type Options struct {
	// MinPoll is the shortest pause between two polls. Defaults to 2ms.
	MinPoll time.Duration
	// MaxPoll is the longest pause between two polls when nothing happens. Defaults to 100ms.
	MaxPoll time.Duration
	// PollTimeout is how long one poll may take: something may hold a lock on the log, or the network may
	// swallow the answer. Defaults to 10s.
	PollTimeout time.Duration
	// MaxBackoff is the longest pause after failed polls. Defaults to 5s.
	MaxBackoff time.Duration
	// RingEvents is how many recent events are kept at most. Defaults to 16384.
	RingEvents int
	// RingBytes is how much memory recent events take at most. Defaults to 32 MiB.
	RingBytes int
	// Quiet is how often a reader whose filter wants none of the new events hears of the new
	// watermark. Defaults to 1s.
	Quiet time.Duration
	// QuietRate is how many such steps all readers together take in a second: each costs a commit. Above that each
	// reader waits longer than Quiet for its next one. Defaults to 100.
	QuietRate int
	// CatchUpReads is how many readers may read from the store at once. Defaults to 4.
	CatchUpReads int
	// OnBell, if set, is called after the first poll, and after each that finds the store's bell rung since the one
	// before. It must not block.
	OnBell func()
	// Logger defaults to a silent one.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.MinPoll, 2*time.Millisecond)
	def(&o.MaxPoll, 100*time.Millisecond)
	o.MaxPoll = max(o.MaxPoll, o.MinPoll)
	def(&o.PollTimeout, 10*time.Second)
	def(&o.MaxBackoff, 5*time.Second)
	def(&o.Quiet, time.Second)
	if o.RingEvents <= 0 {
		o.RingEvents = 16384
	}
	if o.RingBytes <= 0 {
		o.RingBytes = 32 << 20
	}
	if o.QuietRate <= 0 {
		o.QuietRate = 100
	}
	if o.CatchUpReads <= 0 {
		o.CatchUpReads = 4
	}
	if o.OnBell == nil {
		o.OnBell = func() {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Tail follows the log's end.
type Tail struct {
	log     Log
	o       Options
	wake    chan struct{}
	maxPoll atomic.Int64  // a time.Duration
	paced   chan struct{} // maxPoll has become shorter
	catchUp chan struct{} // turns of plugins' readers to read from the store
	viewers chan struct{} // and of viewers

	mu      sync.Mutex
	ring    ring
	status  Status
	started bool
	readers map[*Reader]struct{}
	polled  chan struct{} // closed and replaced by every poll that succeeds
	quiet   time.Time     // before it no other reader may take a quiet step
}

// Status is what the last poll saw.
type Status struct {
	Watermark event.Position
	Head      event.Position
	// Bell is the store's counter of what hosts should look at.
	Bell int64
	// HeldSince is since when the watermark has stood still below the head. Zero when it is at the head.
	HeldSince time.Time
	Holders   []store.Holder
	// Err is why the last poll failed, nil if it did not.
	Err   error
	Polls uint64
	// Polled is when the last poll succeeded. Zero before the first.
	Polled time.Time
}

// New returns a tail. Nothing is read before Run.
func New(log Log, o Options) *Tail {
	o = o.withDefaults()
	t := &Tail{
		log:     log,
		o:       o,
		wake:    make(chan struct{}, 1),
		paced:   make(chan struct{}, 1),
		catchUp: make(chan struct{}, o.CatchUpReads),
		viewers: make(chan struct{}, 1),
		ring:    ring{maxEvents: o.RingEvents, maxBytes: o.RingBytes},
		readers: make(map[*Reader]struct{}),
		polled:  make(chan struct{}),
	}
	t.maxPoll.Store(int64(o.MaxPoll))
	return t
}

// SetMaxPoll puts another pause in the place of Options.MaxPoll, which d = 0 brings back: who is sure to hear of what
// happens needs not look often. It may be called at any time; a pause that is longer than the new one ends early.
func (t *Tail) SetMaxPoll(d time.Duration) {
	if d <= 0 {
		d = t.o.MaxPoll
	}
	d = max(d, t.o.MinPoll)
	if t.maxPoll.Swap(int64(d)) > int64(d) {
		select {
		case t.paced <- struct{}{}:
		default:
		}
	}
}

// Wake makes Run look again at once. It never blocks.
func (t *Tail) Wake() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Status returns what the last poll saw.
func (t *Tail) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status
}

// Behind returns how many final events that a filter wants come after a position. It is exact where all of them are in the
// ring; what is older counts as one wanted event a position, so that it is never too low.
func (t *Tail) Behind(after event.Position, f event.Filter) int64 {
	t.mu.Lock()
	start, spans := t.ring.start, t.ring.after(after)
	t.mu.Unlock()
	events := max(0, int64(start-after))
	for _, s := range spans {
		for i := sort.Search(len(s.events), func(i int) bool { return s.events[i].Position > after }); i < len(s.events); i++ {
			if f.Match(&s.events[i]) {
				events++
			}
		}
	}
	return events
}

// Wait waits until a poll has succeeded and its status is as wanted.
func (t *Tail) Wait(ctx context.Context, wanted func(Status) bool) (Status, error) {
	for {
		t.mu.Lock()
		s, started, polled := t.status, t.started, t.polled
		t.mu.Unlock()
		if started && wanted(s) {
			return s, nil
		}
		select {
		case <-polled:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// Run polls until ctx ends, which is no error, or until the log goes back (store.ErrLogWentBack).
// Every event at or below floor must be final.
func (t *Tail) Run(ctx context.Context, floor event.Position) error {
	src := t.log.Tail(floor)
	defer src.Close()
	pause, failures := t.o.MinPoll, 0
	for {
		progress, err := t.runOnce(ctx, src)
		polled := time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrLogWentBack):
			return err
		case err != nil:
			failures++
			pause = backoff(t.o, failures)
			t.logFailure(err, failures, pause)
		default:
			if failures > 0 {
				t.o.Logger.Info("reading the log again", "failed_polls", failures)
				failures = 0
				pause = t.o.MinPoll
			}
			pause = min(2*pause, time.Duration(t.maxPoll.Load()))
			if progress {
				pause = t.o.MinPoll
			}
		}
		if !t.sleep(ctx, pause, polled, failures > 0) {
			return nil
		}
	}
}

// sleep waits for the pause to be over or for a wake-up, but at least MinPoll since the last poll, so
// that busy writers cannot make the tail flood the database. While the store fails a wake-up changes
// nothing. It reports whether to go on.
func (t *Tail) sleep(ctx context.Context, pause time.Duration, polled time.Time, failing bool) bool {
	wake, paced := t.wake, t.paced
	if failing {
		wake, paced = nil, nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-wake:
			wake, paced = nil, nil
			timer.Reset(t.o.MinPoll - time.Since(polled))
		case <-paced:
			pause = min(pause, time.Duration(t.maxPoll.Load()))
			timer.Reset(pause - time.Since(polled))
		}
	}
}

func backoff(o Options, failures int) time.Duration {
	d := 50 * time.Millisecond << min(failures, 16)
	return min(d, o.MaxBackoff)
}

func (t *Tail) logFailure(err error, failures int, pause time.Duration) {
	level := slog.LevelDebug
	if failures == 1 || failures%20 == 0 {
		level = slog.LevelWarn
	}
	t.o.Logger.Log(context.Background(), level, "cannot read the log's end, trying again",
		"error", err, "failed_polls", failures, "pause", pause)
}

// runOnce polls once and tells everybody. It reports whether the watermark moved.
func (t *Tail) runOnce(ctx context.Context, src store.Tail) (bool, error) {
	s, err := t.poll(ctx, src)
	progress, rung, err := t.take(s, err)
	if rung {
		t.o.OnBell()
	}
	return progress, err
}

func (t *Tail) poll(ctx context.Context, src store.Tail) (store.TailState, error) {
	pctx, cancel := context.WithTimeout(ctx, t.o.PollTimeout)
	defer cancel()
	s, err := src.Poll(pctx, t.o.RingEvents)
	if err != nil && pctx.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer within %s; something may hold a lock on the events, or the connection is dead: %w", t.o.PollTimeout, err)
	}
	return s, err
}

// take makes what a poll has found known. It reports whether the watermark moved and whether the bell was rung.
func (t *Tail) take(s store.TailState, err error) (progress, rung bool, _ error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.status.Watermark
	if err == nil && s.Watermark < before {
		err = fmt.Errorf("%w: the watermark was at %d and is at %d", store.ErrLogWentBack, before, s.Watermark)
	}
	t.status.Polls++
	t.status.Err = err
	if err != nil {
		return false, false, err
	}
	rung = !t.started || s.Bell != t.status.Bell
	t.status.Polled = time.Now()
	close(t.polled)
	t.polled = make(chan struct{})
	t.status.Watermark, t.status.Head, t.status.Bell, t.status.Holders = s.Watermark, s.Head, s.Bell, s.Holders
	switch {
	case s.Watermark >= s.Head:
		t.status.HeldSince = time.Time{}
	case t.status.HeldSince.IsZero() || s.Watermark > before:
		t.status.HeldSince = time.Now()
	}
	if t.started && s.Watermark == before {
		return false, rung, nil
	}
	if t.started && s.Complete {
		t.ring.add(s.Events, s.Watermark)
		t.notify(types(s.Events))
	} else {
		t.ring.restart(s.Watermark)
		t.notify(nil)
	}
	t.started = true
	return true, rung, nil
}

// notify wakes the readers that may want events of some types, or all of them if nil. The lock is held.
func (t *Tail) notify(types []string) {
	for r := range t.readers {
		r.notice(types)
	}
}

// types lists the events' types, each once, never nil: there may be many readers to ask for each event.
func types(events []event.Event) []string {
	out := make([]string, 0, 8)
	seen := make(map[string]struct{})
	for i := range events {
		t := events[i].Type
		if len(out) > 0 && out[len(out)-1] == t {
			continue
		}
		if _, again := seen[t]; !again {
			seen[t] = struct{}{}
			out = append(out, t)
		}
	}
	return out
}
