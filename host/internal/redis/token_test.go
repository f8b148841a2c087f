package redis

import (
	"fmt"
	"testing"
	"time"
)

func TestOnePollsForAll(t *testing.T) {
	t.Parallel()
	s, a, b := newPair(t)
	polls, woken := awaitPair(t, a, b)
	third := newHost(t, "c", s.URL())
	third.awaitRole(IsWoken)

	// It stops: another one takes over at once, by being told.
	polls.end()
	if got := time.Duration(polls.maxPoll.Load()); got != polls.client.o.PollMax {
		t.Errorf("a host that has stopped using Redis polls every %s", got)
	}
	_, last := awaitPair(t, woken, third)
	// It does not reach the database any more.
	polls, _ = awaitPair(t, woken, third)
	polls.blind.Store(true)
	last.awaitRole(PollsForAll)
	polls.awaitRole(IsWoken)
}

// TestTheTokenIsLost takes the token away in every way.
func TestTheTokenIsLost(t *testing.T) {
	t.Parallel()
	s, a, b := newPair(t)
	awaitPair(t, a, b)
	for range 5 {
		s.Do("FLUSHALL")
		awaitPair(t, a, b)
	}
	s.Do("SCRIPT FLUSH")
	awaitPair(t, a, b)
	s.Do("SET " + a.client.token() + " nobody PX 1500") // as a host that hangs
	a.awaitRole(PollsForItself)
	b.awaitRole(PollsForItself)
	awaitPair(t, a, b)
	for _, h := range []*testHost{a, b} {
		if n := countLines(h.said(), "msg="); n != 1 {
			t.Errorf("%d lines were logged, want that Redis is used:\n%s", n, h.said())
		}
	}
}

// TestThePollingHostDies: whoever relied on it polls as usual within three beats, whatever Redis still holds.
func TestThePollingHostDies(t *testing.T) {
	t.Parallel()
	s, a, b := newPair(t)
	polls, woken := awaitPair(t, a, b)
	s.Do("CLIENT PAUSE 60000 WRITE") // which holds back publishing, but no pings: as silent as a host that has died
	defer s.Do("CLIENT UNPAUSE")
	woken.awaitRole(PollsForItself)
	polls.await(Failing, "does not answer")
	polls.awaitRole(PollsForItself)
}

// TestASlowerPollerIsNotReliedOn: a host that looks more often than the polling one goes on doing so.
func TestASlowerPollerIsNotReliedOn(t *testing.T) {
	t.Parallel()
	s, a, b := newPair(t)
	awaitPair(t, a, b)
	quick := newHost(t, "quick", s.URL(), func(o *Options) { o.PollMax = 20 * time.Millisecond })
	quick.await(OK, "")
	eventuallyReceives(t, quick, 5)
	quick.awaitRole(PollsForItself)
}

func eventuallyReceives(t *testing.T, h *testHost, n uint64) {
	t.Helper()
	eventually(t, "messages are heard", func() error {
		if got := h.client.Status().Received; got < n {
			return fmt.Errorf("only %d", got)
		}
		return nil
	})
}
