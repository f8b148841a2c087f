package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
)

// works is a module that handles what it is given and writes document c/k; each number makes another file of it.
func works(t *testing.T, number int) []byte {
	return slices.Concat(read(t, "testdata/09_inbox.wasm"), section(0, append(name("number"), byte(number))))
}

var workedFor = map[string]string{"c/k": "[1,2,3]"}

// replace puts another module in a plugin's place, as a build does.
func (w *world) replace(plugin string, wasm []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, plugin+".wasm")
	write(w.t, path+"~", wasm)
	if err := os.Rename(path+"~", path); err != nil {
		w.t.Fatal(err)
	}
}

// refused is why the file of a plugin is not what runs, or "".
func (w *world) refused(plugin string) string {
	for _, p := range w.host.Status().Plugins {
		if p.Name == plugin && p.Refused != nil {
			return p.Refused.Reason
		}
	}
	return ""
}

// crashLoop has a module trap on every event: it is quarantined with its checkpoint where it was, and comes back by itself
// when a module that works takes its place.
func crashLoop(t *testing.T, r *report) {
	w := newWorld(t, module{"bad", read(t, "testdata/14_trap_after_set.wasm"), "events = [\"Bad\"]\nretry.backoff = \"30s..30s\""})
	var reason string
	var last event.Position
	w.measured(t, r, 21, "a trap on every event", 0, func() string {
		for i := range 8 {
			last = w.append(fmt.Sprint("bad-", i), store.NewEvent{Type: "Bad", Data: []byte("{}")})
		}
		w.until("the plugin is quarantined", func() bool {
			_, reason = w.state("bad")
			return strings.Contains(reason, "its module crashed on each of the last")
		})
		// What came before the suspicion waits in sequences; the checkpoint does not pass what came after it.
		if p := w.stored("bad"); p.Position >= last || p.Parked > 0 || p.Condition.State != store.Quarantined {
			t.Errorf("the checkpoint is at %d, the last event at %d: %+v", p.Position, last, p)
		}
		w.wantDocuments(nil)
		return reason
	})
	w.measured(t, r, 21, "replaced by a module that works", 0, func() string {
		w.replace("bad", works(t, 1))
		w.reached("bad", last)
		w.until("all that had failed is handled", func() bool { p := w.stored("bad"); return p.Parked+p.Retrying == 0 })
		w.wantDocuments(workedFor)
		w.until("the plugin runs", func() bool { state, _ := w.state("bad"); return state == "running" })
		return "it came back by itself and handled every event"
	})
}

// brokenReloads put broken modules in the place of one that runs, which goes on.
func brokenReloads(t *testing.T, r *report) {
	good := works(t, 1)
	w := newWorld(t, module{"bad", good, `events = ["Bad"]`})
	w.reached("bad", w.append("bad", store.NewEvent{Type: "Bad", Data: []byte("{}")}))
	start := filepath.Join(root, "host/internal/plugin/testdata/start")
	for _, c := range []struct {
		name string
		wasm []byte
		says string
	}{
		{"an empty file", nil, "the file is empty"},
		{"half a module", good[:len(good)/2], "malformed module"},
		{"another plugin's import", read(t, filepath.Join(root, "host/internal/plugin/testdata/bad/other_plugin.wasm")), "imports balances.handle"},
		{"more functions than allowed", built{functions: []function{{times: 1 << 20}}}.bytes(), "the limit is 100000"},
		{"a start that loops", read(t, filepath.Join(start, "start_loop.wasm")), "time limit"},
		{"a start that traps", read(t, filepath.Join(start, "init_trap.wasm")), "integer divide by zero"},
	} {
		w.measured(t, r, 21, "reload to "+c.name, 0, func() string {
			w.replace("bad", c.wasm)
			w.until(c.name+" is refused", func() bool { return strings.Contains(w.refused("bad"), c.says) })
			w.reached("bad", w.append("bad", store.NewEvent{Type: "Bad", Data: []byte("{}")}))
			if p := w.stored("bad"); p.Parked+p.Retrying > 0 || p.Digest != digest(good) {
				t.Errorf("%+v", p)
			}
			return "the module before goes on: " + w.refused("bad")
		})
	}
	w.replace("bad", good)
	w.until("the refusal is forgotten", func() bool { return w.refused("bad") == "" })
}

// reloadInFlight replaces a module while it spins in an event. The event fails by its time, and the new module handles it.
func reloadInFlight(t *testing.T, r *report) {
	w := newWorld(t, module{"bad", read(t, "testdata/06_loop.wasm"), "events = [\"Bad\"]\nlimits.time = \"2s\"\nlanes = 1"})
	w.measured(t, r, 21, "reload while a call spins", 0, func() string {
		last := w.append("bad", store.NewEvent{Type: "Bad", Data: []byte("{}")}, store.NewEvent{Type: "Bad", Data: []byte("{}")})
		w.replace("bad", works(t, 1))
		w.reached("bad", last)
		w.until("the new module has handled both", func() bool {
			p := w.stored("bad")
			return p.Retrying+p.Parked == 0 && p.Digest == digest(works(t, 1))
		})
		w.wantDocuments(workedFor)
		return "the new module took over and handled what had failed"
	})
}

func digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return hex.EncodeToString(sum[:])
}

// pinned modules are refused when their bytes are others.
func pinned(t *testing.T, w *world, r *report) {
	wasm := works(t, 1)
	other := bytes.Clone(wasm)
	other[len(other)-1]++
	refuse(t, w, r, refusal{group: 20, name: "the bytes are not those that are pinned", wasm: other,
		more: fmt.Sprintf("sha256 = %q", digest(wasm)), says: []string{digest(other)}})
	dir := project(t, "sqlite:"+filepath.Join(t.TempDir(), "events.db"), module{"bad", wasm, fmt.Sprintf("sha256 = %q", digest(wasm))})
	h, err := open(t, dir, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
