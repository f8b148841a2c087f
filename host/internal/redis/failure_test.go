package redis

import (
	"net"
	"strings"
	"testing"
	"time"

	"eshost/test/redistest"
)

func TestRedisGoesAndComesBack(t *testing.T) {
	t.Parallel()
	s, a, b := newPair(t)
	awaitPair(t, a, b)

	both := func(f func(h *testHost)) { f(a); f(b) }
	s.Kill()
	both(func(h *testHost) { h.await(Failing, ""); h.awaitRole(PollsForItself) })
	both(func(h *testHost) { h.await(Failing, "refuses connections") })
	s.Start()
	both(func(h *testHost) { h.await(OK, "") })
	awaitPair(t, a, b)
	polls, woken := awaitPair(t, a, b)
	woken.awaitWake(func() { polls.client.Look() })

	s.Do("CLIENT KILL TYPE pubsub")
	both(func(h *testHost) { h.await(OK, "") })
	awaitPair(t, a, b)
	s.Do("CLIENT KILL TYPE normal")
	both(func(h *testHost) { h.await(OK, "") })
	awaitPair(t, a, b)

	s.Pause()
	both(func(h *testHost) { h.awaitRole(PollsForItself) })
	both(func(h *testHost) { h.await(Failing, "accepts connections and does not answer") })
	lines := countLines(a.said(), "msg=")
	time.Sleep(3 * time.Second) // many tries
	if n := countLines(a.said(), "msg="); n != lines {
		t.Errorf("%d lines while nothing changed:\n%s", n-lines, a.said())
	}
	s.Resume()
	both(func(h *testHost) { h.await(OK, "") })
	awaitPair(t, a, b)
}

// TestALinkIsCut: packets vanish, and no connection breaks.
func TestALinkIsCut(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.NewProxy(t, s.Addr())
	a, b := newHost(t, "a", "redis://"+proxy.Addr()), newHost(t, "b", s.URL())
	awaitPair(t, a, b)

	proxy.Cut()
	a.awaitRole(PollsForItself)
	a.await(Failing, "does not answer")
	b.awaitRole(PollsForAll)
	proxy.Mend()
	a.awaitRole(IsWoken)

	// Packets arrive late, but for what polling would do soon enough.
	proxy.Delay(10 * time.Millisecond)
	a.awaitWake(func() { b.client.Look() })
	a.await(OK, "")
	proxy.Delay(150 * time.Millisecond) // there and back: more than poll_max
	a.await(Slow, "longer than 100ms")
	a.awaitRole(PollsForItself)
	a.awaitWake(func() { b.client.Look() }) // woken all the same
	proxy.Delay(0)
	a.await(OK, "")
	a.awaitRole(IsWoken)
	proxy.Delay(2 * time.Second) // more than redis.timeout
	a.await(Failing, "does not answer within 1s")
	a.awaitRole(PollsForItself)
	proxy.Delay(0)
	a.await(OK, "")
	proxy.Reset()
	a.awaitRole(IsWoken)
}

// TestASlowHostDoesNotPollForOthers: what it says would come too late.
func TestASlowHostDoesNotPollForOthers(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.NewProxy(t, s.Addr())
	a := newHost(t, "a", "redis://"+proxy.Addr())
	a.awaitRole(PollsForAll)
	b := newHost(t, "b", s.URL())
	b.awaitRole(IsWoken)
	proxy.Delay(150 * time.Millisecond)
	a.await(Slow, "")
	b.awaitRole(PollsForAll)
	a.awaitRole(PollsForItself)
}

// TestASlowStart finds a slow link at once.
func TestASlowStart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.NewProxy(t, s.Addr())
	proxy.Delay(150 * time.Millisecond)
	a := newHost(t, "a", "redis://"+proxy.Addr())
	a.await(Slow, "")
	a.awaitRole(PollsForItself)
}

// TestTheSubscriptionAloneDies: commands are answered, and nothing is heard any more.
func TestTheSubscriptionAloneDies(t *testing.T) {
	t.Parallel()
	d := &deafening{listeners: make(map[net.Conn]string)}
	a := newHost(t, "a", "redis://"+fakeServer(t, d.serve))
	a.await(OK, "")
	time.Sleep(3 * time.Second) // nobody says anything for long, which is no failure
	a.await(OK, "")
	d.set(true)
	a.await(Failing, "") // first that nothing is heard, then that nothing is delivered
	a.await(Failing, "does not deliver")
	if !strings.Contains(a.said(), "keeps silent to the connection that listens") {
		t.Errorf("it was found in another way:\n%s", a.said())
	}
	d.set(false)
	a.await(OK, "")
	if n := countLines(a.said(), "Redis is used again"); n != 1 {
		t.Errorf("it was used again %d times:\n%s", n, a.said())
	}
}
