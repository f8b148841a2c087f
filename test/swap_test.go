package test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
)

// variant is the same module with another digest: a custom section that nobody reads is added.
func variant(wasm []byte, n int) []byte {
	name := fmt.Sprintf("variant%02d", n)
	return append(slices.Clone(wasm), append([]byte{0, byte(len(name) + 1), byte(len(name))}, name...)...)
}

// TestSwapPause replaces a module again and again while events come in every 2 ms, and prints how long nothing was
// committed around a swap, in each language. It asserts that every event was handled once, and no time. Under the race
// detector a Go module takes minutes to compile in this process, and is left out.
func TestSwapPause(t *testing.T) {
	t.Parallel()
	languages := []string{"assemblyscript", "rust", "go"}
	if raceDetector {
		languages = languages[:2]
	}
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			wasm := read(t, balancesModule(t, language))
			p := newProject(t, newDatabase(t, "sqlite"), "h", plugin{"balances", "module.wasm", ""})
			p.put("module.wasm", wasm)
			var mu sync.Mutex
			var commits []time.Time
			ready := make(chan struct{})
			h, err := host.Open(t.Context(), p.config(), host.Options{
				Ready:     func(string) { close(ready) },
				Committed: func(string, event.Position) { mu.Lock(); commits = append(commits, time.Now()); mu.Unlock() },
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- h.Run(ctx) }()
			<-ready
			appended, stopFeed := feedHost(t, h)
			warm := time.Now()
			pause(t.Context(), time.Second)
			usual := longestGap(&mu, &commits, warm, time.Now())
			const swaps = 5
			var pauses []time.Duration
			for n := range swaps {
				p.put("module.wasm", variant(wasm, n))
				began := time.Now()
				outcomes, err := h.Reload(t.Context())
				if err != nil || outcomes[0].Result != host.ReloadReplaced {
					t.Fatalf("%+v, %v", outcomes, err)
				}
				asked := time.Now() // it takes over after the batch in hand; before that it was compiled beside the old one
				pause(t.Context(), 300*time.Millisecond)
				pauses = append(pauses, longestGap(&mu, &commits, asked.Add(-5*time.Millisecond), time.Now()))
				t.Logf("swap %d: compiled and tried in %v, longest pause %v", n, asked.Sub(began).Round(time.Millisecond), pauses[n].Round(time.Millisecond))
			}
			stopFeed()
			settled(t, h.Store(), "balances")
			if got := len(documents(t, h.Store(), "balances", "balances")); got == 0 {
				t.Error("there are no documents")
			}
			m := modelOf(t, h.Store())
			compareDocuments(t, language, documents(t, h.Store(), "balances", "balances"), m.balances)
			if m.events != appended() {
				t.Errorf("%d events of %d are in the log", m.events, appended())
			}
			stop()
			if err := <-ran; err != nil {
				t.Error(err)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			slices.Sort(pauses)
			t.Logf("%s: %d swaps under load, the longest time without a commit: median %v, most %v; without a swap %v",
				language, swaps, pauses[swaps/2].Round(time.Millisecond), pauses[swaps-1].Round(time.Millisecond), usual.Round(time.Millisecond))
		})
	}
}

// feedHost appends an event every 2 ms through the host until it is stopped.
func feedHost(t *testing.T, h *host.Host) (appended func() int, stop func()) {
	t.Helper()
	src := newSource("", newSeed(t))
	ctx, cancel := context.WithCancel(t.Context())
	n, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			a := store.StreamAppend(src.bank.Next())
			if _, err := h.Append(context.WithoutCancel(ctx), store.AppendRequest{Streams: []store.StreamAppend{a}}); err != nil {
				t.Errorf("append: %v", err)
				return
			}
			n++
			pause(ctx, 2*time.Millisecond)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return func() int { <-done; return n }, stop
}

// longestGap is the longest time without a commit in a span.
func longestGap(mu *sync.Mutex, commits *[]time.Time, from, to time.Time) time.Duration {
	mu.Lock()
	defer mu.Unlock()
	last, longest := from, time.Duration(0)
	for _, at := range *commits {
		if at.Before(from) || at.After(to) {
			continue
		}
		longest = max(longest, at.Sub(last))
		last = at
	}
	return max(longest, to.Sub(last))
}
