package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"eshost/host/event"
)

// script is a module whose handler does a bit of everything. What it does depends on its seed, its
// version, the event, the attempt and the documents it reads, and on nothing else.
type script struct {
	seed    uint64
	version int
	// steps is the most calls an event makes, keys how many documents the events share, and shared
	// how often an event goes to one of those instead of its own stream's.
	steps, keys int
	shared      float64
	// fails is how often an event is one that fails at some attempt; scans and emits how often a step is one.
	fails, scans, emits float64
	refused             float64 // of the emitted events: how many no store would keep
	// peeks is how often a step only looks at another stream's document, and failingPeeks how often it
	// does in an event that fails.
	peeks, failingPeeks float64
	// order, if set, keeps events to documents of their ordering key's segment, but for strays of the steps.
	order  Order
	strays float64
}

// effects is what a script needs of the host; the model implements it too.
type effects interface {
	Get(ctx context.Context, collection, key []byte) (value []byte, ok bool, err error)
	Set(collection, key, value []byte) error
	Delete(collection, key []byte) error
	Scan(ctx context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error)
	Emit(e event.Emitted) error
}

// dice are random numbers that belong to one thing: the same name always rolls the same.
func dice(seed uint64, names ...any) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, c := range []byte(fmt.Sprint(names...)) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// borrowed is memory that the guest takes back after the call.
func borrowed[T any](s string, call func(b []byte) T) T {
	b := []byte(s)
	defer func() {
		for i := range b {
			b[i] = '!'
		}
	}()
	return call(b)
}

func (s *script) handle(ctx context.Context, e *event.Event, attempt int, fx effects) error {
	r := dice(s.seed, "handle", s.version, e.ID, string(e.Data))
	run := &scriptRun{script: s, ctx: ctx, e: e, fx: fx, r: r, sum: r.Uint64()}
	doomed := r.Float64() < s.fails
	if run.peek = s.peeks; doomed {
		run.peek = s.failingPeeks
	}
	patience, mood := r.IntN(7), uint64(r.IntN(3)) // how many attempts fail, and whether documents decide
	steps := 1 + r.IntN(s.steps)
	failAt := r.IntN(steps + 1)
	for i := range steps {
		if doomed && i == failAt {
			if err := run.fail(attempt, patience, mood); err != nil {
				return err
			}
		}
		if err := run.step(i); err != nil {
			return err
		}
	}
	if doomed && failAt == steps {
		return run.fail(attempt, patience, mood)
	}
	return nil
}

type scriptRun struct {
	*script
	ctx  context.Context
	e    *event.Event
	fx   effects
	r    *rand.Rand
	sum  uint64 // of all that has been read
	peek float64
}

func (s *scriptRun) fail(attempt, patience int, mood uint64) error {
	if attempt > patience || mood == 1 && s.sum%2 == 0 {
		return nil
	}
	kinds := []event.FailureKind{event.FailRetry, event.FailTrap, event.FailBudget, event.FailProtocol, event.FailReject}
	kind := kinds[s.sum%uint64(len(kinds))]
	if mood == 2 {
		kind = event.FailRetry
	}
	return &event.Failure{Kind: kind, Message: fmt.Sprintf("attempt %d saw %x", attempt, s.sum), Stack: "handle"}
}

// Names that are prefixes of each other: the edges of prefix scans.
var collections = []string{"a", "ab", "b"}

func (s *scriptRun) name() (collection, key string) {
	collection = collections[s.r.IntN(len(collections))]
	key = s.own()
	if s.r.Float64() < s.shared {
		key = s.below() + fmt.Sprintf("k%d", (s.r.Uint64()^s.sum)%uint64(s.keys))
	}
	return collection, key
}

// own is the key of the document that is the event's own.
func (s *scriptRun) own() string {
	if s.order == nil {
		return s.e.Stream
	}
	key := s.order(s.e)
	if s.r.IntN(2) == 0 {
		return event.Segment(key)
	}
	return key
}

// below is what the keys begin with that the event shares with others.
func (s *scriptRun) below() string {
	if s.order == nil {
		return ""
	}
	return event.Segment(s.order(s.e)) + "/"
}

func (s *scriptRun) mix(parts ...any) {
	for _, c := range []byte(fmt.Sprint(parts...)) {
		s.sum = (s.sum ^ uint64(c)) * 1099511628211
	}
}

func (s *scriptRun) step(i int) error {
	collection, key := s.name()
	if s.strays > 0 && s.r.Float64() < s.strays {
		return s.stray(collection)
	}
	if s.r.Float64() < s.peek {
		return s.look(collection, s.below()+fmt.Sprintf("s%d", s.r.IntN(20)))
	}
	switch what := s.r.Float64(); {
	case what < s.scans:
		return s.scan(collection)
	case what < s.scans+s.emits:
		return s.emit(i)
	case what < s.scans+s.emits+0.1:
		return borrowed(collection, func(c []byte) error {
			return borrowed(key, func(k []byte) error { return s.fx.Delete(c, k) })
		})
	}
	if err := s.look(collection, key); err != nil {
		return err
	}
	if s.r.IntN(4) == 0 {
		return nil // only looks
	}
	text := fmt.Sprintf(`{"by":%q,"step":%d,"sum":"%x"}`, s.e.ID, i, s.sum)
	return borrowed(collection, func(c []byte) error {
		return borrowed(key, func(k []byte) error {
			return borrowed(text, func(v []byte) error { return s.fx.Set(c, k, v) })
		})
	})
}

func (s *scriptRun) look(collection, key string) error {
	var value []byte
	var ok bool
	err := borrowed(collection, func(c []byte) error {
		return borrowed(key, func(k []byte) (err error) { value, ok, err = s.fx.Get(s.ctx, c, k); return err })
	})
	s.mix(collection, key, ok, string(value))
	return err
}

func (s *scriptRun) scan(collection string) error {
	prefix := s.below() + [...]string{"", "", "k", "k1", "s"}[s.r.IntN(5)]
	after := [...]string{"", "", "k1", "k3", "s2"}[s.r.IntN(5)]
	if after != "" {
		after = s.below() + after
	}
	limit := 1 + s.r.IntN(4)
	if s.r.IntN(3) == 0 {
		limit = 1000
	}
	var docs []event.Document
	err := borrowed(collection+prefix+after, func(b []byte) (err error) {
		n, m := len(collection), len(collection)+len(prefix)
		docs, err = s.fx.Scan(s.ctx, b[:n:n], b[n:m:m], b[m:], limit)
		return err
	})
	if err != nil {
		return err
	}
	s.mix(len(docs))
	for _, d := range docs {
		s.mix(d.Collection, d.Key, string(d.Data))
	}
	return nil
}

// stray reaches for what is another segment's. Some handlers make as if nothing had happened.
func (s *scriptRun) stray(collection string) error {
	c, k := []byte(collection), []byte("elsewhere")
	var err error
	switch s.r.IntN(5) {
	case 0:
		_, _, err = s.fx.Get(s.ctx, c, k)
	case 1:
		err = s.fx.Set(c, k, []byte("1"))
	case 2:
		err = s.fx.Delete(c, []byte(s.below()[1:]))
	case 3:
		_, err = s.fx.Scan(s.ctx, c, nil, nil, 10)
	case 4:
		_, err = s.fx.Scan(s.ctx, c, []byte(strings.TrimSuffix(s.below(), "/")), nil, 10)
	}
	if s.r.IntN(2) == 0 {
		return nil
	}
	return err
}

func (s *scriptRun) emit(i int) error {
	if s.e.Type == "Echo" {
		return nil // or it would never end
	}
	e := event.Emitted{Stream: fmt.Sprintf("echo%d", s.r.IntN(3)), Type: "Echo", Data: fmt.Appendf(nil, `{"of":%q,"step":%d,"sum":"%x"}`, s.e.ID, i, s.sum)}
	if s.r.Float64() < s.refused {
		e.Stream = "typed"
	}
	return s.fx.Emit(e)
}

// scriptModule runs scripts for a Runner.
type scriptModule struct {
	t  testing.TB
	s  *script
	at string // tells the lives of one seed apart
	// slow is how long one event takes at most.
	slow time.Duration
	// spends is how often an instance is spent after an event, starts how often one cannot be started.
	spends, startFails float64

	open   atomic.Int64
	starts atomic.Int64
	calls  atomic.Int64
}

func (m *scriptModule) Digest() string { return digestOf(m.s.version) }

func digestOf(version int) string { return fmt.Sprintf("version-%d", version) }

var errNoStart = &event.Failure{Kind: event.FailReject, Message: "eshost_init returned 1"}

func (m *scriptModule) NewInstance(ctx context.Context) (Instance, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if dice(m.s.seed, "start", m.at, m.starts.Add(1)).Float64() < m.startFails {
		return nil, errNoStart
	}
	m.open.Add(1)
	return &scriptInstance{m: m}, nil
}

type scriptInstance struct {
	m      *scriptModule
	busy   sync.Mutex
	spent  bool
	closed bool
}

func (in *scriptInstance) Handle(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
	if !in.busy.TryLock() {
		in.m.t.Error("an instance runs two events at once")
		return ErrTwice
	}
	defer in.busy.Unlock()
	if in.spent || in.closed {
		in.m.t.Error("a spent or closed instance is used")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r := dice(in.m.s.seed, "instance", in.m.at, e.ID, attempt, in.m.calls.Add(1))
	if in.m.slow > 0 {
		pause(ctx, time.Duration(r.Int64N(int64(in.m.slow))))
	}
	err := in.m.s.handle(ctx, e, attempt, &sandboxed{Effects: fx, e: e})
	var failure *event.Failure
	isFailure := errors.As(err, &failure)
	if err != nil && !isFailure && r.IntN(2) == 0 {
		// A sandbox that blames the guest for trouble of the host's own.
		err = &event.Failure{Kind: event.FailTrap, Message: "not the event's fault: " + err.Error()}
	}
	in.spent = err != nil && (!isFailure || failure.Kind != event.FailRetry && failure.Kind != event.FailReject) || r.Float64() < in.m.spends
	return err
}

// ErrTwice is what a second concurrent call gets.
var ErrTwice = errors.New("used twice at once")

func (in *scriptInstance) Spent() bool { return in.spent }

func (in *scriptInstance) Close(context.Context) error {
	if in.closed {
		in.m.t.Error("an instance is closed twice")
	}
	in.closed = true
	in.m.open.Add(-1)
	return nil
}
