package redis

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"eshost/host/event"
	"eshost/test/redistest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come. It is long, so that a busy machine fails nothing.
const patience = time.Minute

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still not after %s: %v", what, patience, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// testHost is a host as Redis sees it: what it has seen of a log, and how often it looks.
type testHost struct {
	t      *testing.T
	client *Client
	end    func()

	wakes   atomic.Int64
	maxPoll atomic.Int64 // time.Duration
	blind   atomic.Bool  // it does not reach the database

	mu   sync.Mutex
	seen End
	log  bytes.Buffer
}

// newHost runs a host that uses Redis until the test ends or stop is called.
func newHost(t *testing.T, id, url string, set ...func(*Options)) *testHost {
	t.Helper()
	h := &testHost{t: t}
	o := Options{
		URL: url, Scope: "db1", Host: id,
		PollMax: 100 * time.Millisecond, MaxBackoff: 100 * time.Millisecond,
		Wake:       func() { h.wakes.Add(1) },
		SetMaxPoll: func(d time.Duration) { h.maxPoll.Store(int64(d)) },
		Seen:       h.view,
		Logger:     slog.New(slog.NewTextHandler(h, nil)),
	}
	for _, f := range set {
		f(&o)
	}
	h.maxPoll.Store(int64(o.PollMax))
	var err error
	if h.client, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.client.Run(ctx) }()
	h.end = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(func() {
		h.end()
		if t.Failed() {
			t.Logf("%s: %+v\n%s", id, h.client.Status(), h.said())
		}
	})
	return h
}

// Write takes the host's log.
func (h *testHost) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(b)
}

func (h *testHost) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.String()
}

func (h *testHost) view() End {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.seen
	if !h.blind.Load() {
		e.Polled = time.Now()
	}
	return e
}

func (h *testHost) see(head event.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen.Head, h.seen.Watermark = head, head
}

// awaits a state.
func (h *testHost) await(state State, why string) {
	h.t.Helper()
	eventually(h.t, "the state "+string(state), func() error {
		if s := h.client.Status(); s.State != state || !strings.Contains(s.Reason, why) {
			return fmt.Errorf("it is %s: %q", s.State, s.Reason)
		}
		return nil
	})
}

// awaitRole waits until the host has a role and polls as often as it says.
func (h *testHost) awaitRole(role Role) {
	h.t.Helper()
	want := h.client.o.PollMax
	if role == IsWoken {
		want = h.client.o.RarePoll
	}
	eventually(h.t, "the role "+string(role), func() error {
		if s, pause := h.client.Status(), time.Duration(h.maxPoll.Load()); s.Role != role || pause != want {
			return fmt.Errorf("it %s, every %s", s.Role, pause)
		}
		return nil
	})
}

// awaitWake waits until something wakes the host that do does again and again: a message may be lost.
func (h *testHost) awaitWake(do func()) {
	h.t.Helper()
	before := h.wakes.Load()
	eventually(h.t, "the host is woken", func() error {
		do()
		if h.wakes.Load() == before {
			return fmt.Errorf("it is not")
		}
		return nil
	})
}

// awaitPair waits until one of two hosts polls for both, and returns it first.
func awaitPair(t *testing.T, a, b *testHost) (polls, woken *testHost) {
	t.Helper()
	eventually(t, "one polls for both", func() error {
		ra, rb := a.client.Status().Role, b.client.Status().Role
		switch {
		case ra == PollsForAll && rb == IsWoken:
			polls, woken = a, b
		case rb == PollsForAll && ra == IsWoken:
			polls, woken = b, a
		default:
			return fmt.Errorf("one %s, the other %s", ra, rb)
		}
		return nil
	})
	return polls, woken
}

func countLines(log, what string) int { return strings.Count(log, what) }

func newPair(t *testing.T) (*redistest.Server, *testHost, *testHost) {
	t.Helper()
	s := redistest.Start(t)
	a, b := newHost(t, "a", s.URL()), newHost(t, "b", s.URL())
	a.await(OK, "")
	b.await(OK, "")
	return s, a, b
}
