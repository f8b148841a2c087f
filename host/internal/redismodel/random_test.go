package redismodel_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"eshost/host/store"
)

// TestLossesNeverShow delivers while Redis is flushed, stopped, restarted, hangs and loses parts, and while a second host
// takes over: in the end the read model is what the log makes of it.
func TestLossesNeverShow(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("ESHOST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("ESHOST_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	h := handler{&sync.Map{}}
	o := w.options()
	o.Timeout = 300 * time.Millisecond
	host := 1
	_, stop := w.run(w.model(o), "h1", h)
	drawn := map[string]int{}
	for range 60 {
		for range 1 + rng.IntN(60) {
			w.append(fmt.Sprintf("s%d", rng.IntN(8)), words(rng))
		}
		time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
		fault := []string{"flush", "flush", "restart", "hang", "lose a part", "lose a part", "another host", "none", "none"}[rng.IntN(9)]
		drawn[fault]++
		switch fault {
		case "flush":
			w.redis.flush()
		case "restart":
			w.redis.Kill()
			w.redis.Start()
		case "hang":
			w.redis.Pause()
			time.Sleep(time.Duration(rng.IntN(600)) * time.Millisecond)
			w.redis.Resume()
		case "lose a part":
			keys, err := w.redis.db.Keys(context.Background(), "eshost:{p}:*").Result()
			check(t, err)
			if len(keys) > 0 {
				check(t, w.redis.db.Del(context.Background(), keys[rng.IntN(len(keys))]).Err())
			}
		case "another host":
			host = 3 - host
			next := w.model(o)
			if rng.IntN(2) == 0 { // the one before has not noticed yet
				check(t, w.store.RemoveHost(t.Context(), fmt.Sprintf("h%d", 3-host)))
				w.register(fmt.Sprintf("h%d", 3-host))
				old := stop
				_, stop = w.run(next, fmt.Sprintf("h%d", host), h)
				time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
				old()
			} else {
				stop()
				_, stop = w.run(next, fmt.Sprintf("h%d", host), h)
			}
		}
	}
	t.Logf("drawn: %v", drawn)
	// What was lost while nothing is committed is found at the next commit that touches it, or by whoever opens it.
	stop()
	w.run(w.model(o), fmt.Sprintf("h%d", host), h)
	compare(t, w.documents(w.head()), w.want())
	r := w.reader()
	got, err := r.Sequences(t.Context(), 0)
	check(t, err)
	waiting := 0
	for _, q := range got {
		waiting += q.Waiting
		events, err := r.Queued(t.Context(), 0, q.Key, 1000)
		check(t, err)
		if len(events) != q.Waiting || events[0].Position != q.Position || q.State != store.Parked {
			t.Errorf("sequence %+v has %d events", q, len(events))
		}
	}
	if want := w.waiting(); waiting != want {
		t.Errorf("%d events wait, want %d", waiting, want)
	}
}

// words is what an event does: seldom to fail.
func words(rng *rand.Rand) string {
	if rng.IntN(400) == 0 {
		return "fail"
	}
	out := ""
	for range rng.IntN(4) {
		sign := "+"
		if rng.IntN(5) == 0 {
			sign = "-"
		}
		out += fmt.Sprintf("%sc%d/k%d ", sign, rng.IntN(3), rng.IntN(40))
	}
	return out
}

// waiting counts the events behind failed ones, these included.
func (w *world) waiting() int {
	b, err := w.store.Read(context.Background(), store.ReadOptions{UpTo: w.head(), Limit: 1 << 20})
	check(w.t, err)
	n, failed := 0, map[string]bool{}
	for i := range b.Events {
		e := &b.Events[i]
		if failed[e.Stream] = failed[e.Stream] || string(e.Data) == "fail"; failed[e.Stream] {
			n++
		}
	}
	return n
}

func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s is %q, and should not be there", k, v)
		}
	}
}
