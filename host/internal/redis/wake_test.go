package redis

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"eshost/host/event"
	"eshost/test/redistest"
)

func TestAnAppendWakesTheOthers(t *testing.T) {
	t.Parallel()
	_, a, b := newPair(t)
	polls, woken := awaitPair(t, a, b)
	woken.see(10)
	polls.see(10)
	before := woken.wakes.Load()
	woken.client.Appended(11)
	eventually(t, "the host that polls is woken", func() error {
		if polls.wakes.Load() == 0 {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	if woken.wakes.Load() != before {
		t.Error("a host was woken by what it said itself")
	}
	// What the polling host sees wakes the other one; what a woken one sees is not told.
	polls.see(12)
	woken.awaitWake(func() { polls.client.Polled(End{Head: 12, Watermark: 12}) })
	woken.see(12)
	told := woken.client.Status().Published
	woken.client.Polled(End{Head: 13})
	woken.awaitWake(func() { polls.client.Look() })
	if got := woken.client.Status().Published; got != told {
		t.Errorf("the woken host has published %d messages", got-told)
	}
	woken.awaitWake(func() { polls.client.Polled(End{Head: 12, Watermark: 12, Bell: 1}) })
}

func TestBeatsTellWhatWasMissed(t *testing.T) {
	t.Parallel()
	_, a, b := newPair(t)
	polls, woken := awaitPair(t, a, b)
	woken.awaitWake(func() { polls.see(7) })
}

func TestScopesAndPrefixesDoNotMix(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := newHost(t, "a", s.URL())
	others := []*testHost{
		newHost(t, "b", s.URL(), func(o *Options) { o.Scope = "db2" }),
		newHost(t, "c", s.URL(), func(o *Options) { o.Prefix = "other" }),
	}
	same := newHost(t, "d", s.URL())
	same.await(OK, "")
	a.await(OK, "")
	for _, o := range others {
		o.awaitRole(PollsForAll) // each has a token of its own
	}
	same.awaitWake(func() { a.client.Look() })
	for _, o := range others {
		if n := o.client.Status().Received; n != 0 {
			t.Errorf("%s has heard %d messages", o.client.o.Host, n)
		}
	}
}

func TestAppendsAreSaidTogether(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	proxy := redistest.NewProxy(t, s.Addr())
	a := newHost(t, "a", "redis://"+proxy.Addr())
	b := newHost(t, "b", s.URL())
	a.await(OK, "")
	b.await(OK, "")
	proxy.Delay(15 * time.Millisecond)
	before := a.client.Status().Published
	const appends = 10_000
	for i := range appends {
		a.client.Appended(1 + event.Position(i))
	}
	b.awaitWake(func() {})
	eventually(t, "all is said", func() error {
		a.client.mu.Lock()
		defer a.client.mu.Unlock()
		if a.client.pending != (message{}) {
			return fmt.Errorf("something waits")
		}
		return nil
	})
	if n := a.client.Status().Published - before; n > appends/10 {
		t.Errorf("%d messages for %d appends", n, appends)
	}
}

func TestGarbageIsIgnored(t *testing.T) {
	t.Parallel()
	s, a, _ := newPair(t)
	o, err := Connect(s.URL(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(o)
	defer c.Close()
	garbage := []string{"", "x", "{}", "[]", "null", "\x00\xff", `{"v":1}`, `{"v":2,"host":"x","look":true}`, `{"v":1,"host":"x","head":"1","look":true}`,
		`{"v":1,"host":7,"look":true}`, `{"v":1,"host":"x","head":1e99,"look":true}`, `{"v":1,"host":"` + strings.Repeat("x", 1000) + `","look":true}`,
		strings.Repeat("[", 100_000), strings.Repeat("x", 8<<20)}
	before := a.wakes.Load()
	for _, g := range garbage {
		if err := c.Publish(context.Background(), a.client.channel(), g).Err(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all is ignored", func() error {
		if n := a.client.Status().Ignored; n != uint64(len(garbage)) {
			return fmt.Errorf("%d messages are", n)
		}
		return nil
	})
	if a.wakes.Load() != before {
		t.Error("garbage has woken the host")
	}
	a.await(OK, "")
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"v":1,"host":"x","head":1}`)
	f.Add(string(message{Look: true, Poll: 100}.encode("h")))
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := decode(text)
		if !ok {
			return
		}
		again, ok := decode(string(m.encode(m.Host)))
		if !ok && len(m.encode(m.Host)) <= maxMessage || ok && again != m {
			t.Errorf("%q: %+v, then %+v", text, m, again)
		}
	})
}
