package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// crashes is how many kills each store must survive.
func crashes(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ESHOST_CRASH_KILLS")
	if text == "" {
		return 10
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ESHOST_CRASH_KILLS must be a number, is %q", text)
	}
	return n
}

// TestCrash kills the real host at random moments while events are appended by others, and starts it again
// at once. In the end every event must have been applied once (invariants 1, 2 and 5).
func TestCrash(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		seed := newSeed(t)
		rng := newRand(seed, 4000)
		s := openStore(t, storeURL)
		p := newProject(t, storeURL, "crash", bankPlugins(t)...)
		stopFeed := feed(t, s, newSource("lib-", seed))
		stopCommand := p.feedCommand(newSource("cli-", seed))

		checkpoints := map[event.Position]bool{} // of the journal when its host was killed
		retrying, registered := 0, false
		kills := crashes(t)
		for range kills {
			began := journal(t, s).Position
			h := p.host()
			moment := rng.IntN(5)
			if moment > 0 { // else while it starts
				h.ready()
				if registered && runtime.GOOS == "linux" {
					eventually(t, "the new host takes the leases of the killed one", func() error {
						if !strings.Contains(h.stderr.String(), "took the leases of a host whose process is gone") {
							return errors.New("it has not said so")
						}
						return nil
					})
				}
			}
			if moment > 1 { // else before it has done much
				eventually(t, "the journal gets on", func() error {
					if p := journal(t, s); p.Position == began {
						return fmt.Errorf("it stands at %d, %s: %s", began, p.Condition.State, p.Condition.Reason)
					}
					return nil
				})
			}
			pause(t.Context(), time.Duration(rng.Int64N(int64(400*time.Millisecond))))
			h.kill()
			registered = moment > 0
			state := journal(t, s)
			checkpoints[state.Position] = true
			retrying += min(state.Retrying, 1)
		}
		stopCommand()
		stopFeed()
		h := p.host()
		h.ready()
		m := checkBank(t, s)
		h.stop()
		t.Logf("%d kills at %d checkpoints, %d of them while sequences were retried; %d events", kills, len(checkpoints), retrying, m.events)
		if len(checkpoints) < 3 || retrying == 0 {
			t.Errorf("the kills came at only %d checkpoints, %d while sequences were retried: too few for this test to prove anything", len(checkpoints), retrying)
		}
	})
}

// journal is the state of the plugin journal; the zero one before it was first started.
func journal(t *testing.T, s store.Store) store.PluginStatus {
	t.Helper()
	all, err := s.Plugins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Plugin == "journal" {
			return p
		}
	}
	return store.PluginStatus{}
}

// TestCrashOfAppend kills `eshost append` in the middle of a file and appends the file again.
func TestCrashOfAppend(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		const events = 5_000
		seed := newSeed(t)
		s := openStore(t, storeURL)
		p := newProject(t, storeURL, "append")
		var file bytes.Buffer
		for src := newSource("", seed); src.made < events; {
			file.Write(line(src.next()))
		}
		path := p.write("events.ndjson", file.String())
		rng := newRand(seed, 4001)
		for range 3 {
			before := headOf(t, s)
			command := p.start(nil, "append", path, "--batch", "20")
			eventually(t, "something is appended", func() error {
				select {
				case <-command.done: // the whole file was stored before
				default:
					if headOf(t, s) == before && before < events {
						return fmt.Errorf("the log still ends at %d", before)
					}
				}
				return nil
			})
			pause(t.Context(), upTo(rng, 50*time.Millisecond))
			command.kill()
		}
		stored := len(wholeLog(t, s))
		t.Logf("%d of %d events were stored when append was killed for the last time", stored, events)
		p.must("append", path)
		log := wholeLog(t, s)
		ids, versions := map[string]bool{}, map[string]int64{}
		for _, e := range log {
			if ids[e.ID] {
				t.Errorf("event %q is stored twice", e.ID)
			}
			ids[e.ID] = true
			if versions[e.Stream]++; e.Version != versions[e.Stream] {
				t.Errorf("position %d is version %d of stream %q after version %d", e.Position, e.Version, e.Stream, versions[e.Stream]-1)
			}
		}
		if len(log) != events {
			t.Errorf("%d events are stored, the file has %d", len(log), events)
		}
	})
}

// headOf is the highest position handed out.
func headOf(t *testing.T, s store.Store) event.Position {
	t.Helper()
	tail := s.Tail(0)
	defer tail.Close()
	state, err := tail.Poll(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return state.Head
}
