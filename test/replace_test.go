package test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eshost/host/store"
)

// put replaces a file as a careful build does, by a rename.
func (p *project) put(name string, content []byte) {
	p.t.Helper()
	if err := os.Rename(p.write(name+".new", string(content)), filepath.Join(p.dir, name)); err != nil {
		p.t.Fatal(err)
	}
}

// badModule is one of the sandbox's own test modules.
func badModule(t *testing.T, name string) []byte {
	t.Helper()
	return read(t, filepath.Join(root, "host", "internal", "plugin", "testdata", filepath.FromSlash(name)+".wasm"))
}

// statusOf asks a running host about its only plugin.
func statusOf(listener string) (p struct {
	State, Reason, Digest string
	Checkpoint            int64
	Parked                int `json:"parked_sequences"`
	Refused               *struct{ Reason, Digest string }
}, err error) {
	res, err := http.Get(listener + "/v1/status")
	if err != nil {
		return p, err
	}
	defer res.Body.Close()
	status := struct{ Plugins []json.RawMessage }{}
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil {
		return p, err
	}
	if len(status.Plugins) != 1 {
		return p, fmt.Errorf("%d plugins", len(status.Plugins))
	}
	return p, json.Unmarshal(status.Plugins[0], &p)
}

func digest(module []byte) string { return fmt.Sprintf("%x", sha256.Sum256(module)) }

// appendCrashes appends events that the module behave crashes on and balances does not ask about.
func appendCrashes(t *testing.T, s store.Store, n int) {
	t.Helper()
	for i := range n {
		a := store.StreamAppend{Stream: fmt.Sprint("crash-", i), Expected: store.AnyVersion,
			Events: []store.NewEvent{{Type: "Crash", ContentType: "text/plain", Data: []byte("unreachable")}}}
		if err := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{a}}})[0].Err; err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrashLoops has modules that trap whatever they are given, or as soon as they are loaded: each is quarantined,
// says so, moves nothing, and is itself again once its file has been replaced.
func TestCrashLoops(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ store, module, why string }{
		{"sqlite", "behave", "crashed on each of the last 20 events"},
		{"postgres", "behave", "crashed on each of the last 20 events"},
		{"sqlite", "start/start_trap", "cannot start"},
		{"postgres", "start/init_trap", "cannot start"},
		{"sqlite", "start/init_loop", "cannot start"},
	} {
		t.Run(c.store+" "+c.module, func(t *testing.T) {
			t.Parallel()
			storeURL := newDatabase(t, c.store)
			name := strings.ReplaceAll(filepath.Base(c.module), "_", "-")
			p := newProject(t, storeURL, "h", plugin{name, "module.wasm", "[plugins." + name + ".limits]\ntime = \"50ms\"\n"})
			p.put("module.wasm", badModule(t, c.module))
			s := openStore(t, storeURL)
			appendCrashes(t, s, 20)
			h := p.host()
			url := h.ready()
			eventually(t, name+" is quarantined", func() error {
				st, err := statusOf(url)
				if err == nil && (st.State != "quarantined" || !strings.Contains(st.Reason, c.why) || !strings.Contains(st.Reason, "replace the module")) {
					err = fmt.Errorf("it is %s: %s", st.State, st.Reason)
				}
				return err
			})
			if out := p.must("status"); !strings.Contains(out, name+" is quarantined: its module") {
				t.Errorf("eshost status does not say so:\n%s", out)
			}
			if code, _, errs := p.run("", "wait", name, "--position", "head"); code != exitFailed || !strings.Contains(errs, "quarantined") {
				t.Errorf("eshost wait: exit code %d, %s", code, errs)
			}
			if st, err := statusOf(url); err != nil || st.Checkpoint != 0 || st.Parked != 0 {
				t.Errorf("%+v, %v", st, err)
			}
			p.put("module.wasm", badModule(t, "wasi")) // handles everything, and says so in its log
			settled(t, s, name)
			if st, err := statusOf(url); err != nil || st.State != "running" || st.Reason != "" {
				t.Errorf("once replaced: %+v, %v", st, err)
			}
			h.stop()
		})
	}
}

// TestRefusedModules puts modules that cannot be used in the place of one that runs: it goes on, and the status says what
// is wrong until the file is mended.
func TestRefusedModules(t *testing.T) {
	t.Parallel()
	storeURL := newDatabase(t, "sqlite")
	rust, as := read(t, balancesModule(t, "rust")), read(t, balancesModule(t, "assemblyscript"))
	p := newProject(t, storeURL, "h", plugin{"balances", "module.wasm", `events = ["AccountOpened", "Deposited", "Withdrawn"]`})
	p.put("module.wasm", rust)
	s := openStore(t, storeURL)
	stopFeed := feed(t, s, newSource("", newSeed(t)))
	h := p.host()
	url := h.ready()
	for _, c := range []struct {
		what   string
		module []byte
		why    string
	}{
		{"nothing", nil, "empty"},
		{"half of it", rust[:len(rust)/2], ""},
		{"a module that cannot start", badModule(t, "start/start_trap"), "start"},
		{"a module for another ABI", badModule(t, "bad/marker_v2"), "version 2 of the ABI"},
		{"a module that wants more than it may", badModule(t, "forward"), "emit"},
	} {
		p.put("module.wasm", c.module)
		eventually(t, c.what+" is refused", func() error {
			st, err := statusOf(url)
			if err == nil && (st.Refused == nil || st.Refused.Digest != digest(c.module) || !strings.Contains(st.Refused.Reason, c.why)) {
				err = fmt.Errorf("the status is %+v", st)
			}
			return err
		})
		if st, err := statusOf(url); err != nil || st.State != "running" {
			t.Errorf("beside %s the old module is %s: %s, %v", c.what, st.State, st.Reason, err)
		}
	}
	p.put("module.wasm", as)
	awaitModule(t, url, digest(as))
	stopFeed()
	settled(t, s, "balances")
	compareDocuments(t, "balances", documents(t, s, "balances", "balances"), modelOf(t, s).balances)
	h.stop()
	if errs := h.stderr.String(); strings.Count(errs, "refused the new module") != 5 || strings.Contains(errs, "level=ERROR msg=\"delivery") {
		t.Error("the log is", errs)
	}
}

// awaitModule waits until a module has taken over and nothing is held against it.
func awaitModule(t *testing.T, url, digest string) {
	t.Helper()
	eventually(t, "the new module takes over", func() error {
		st, err := statusOf(url)
		if err == nil && (st.Digest != digest || st.State != "running" || st.Refused != nil) {
			err = fmt.Errorf("the status is %+v", st)
		}
		return err
	})
}

// TestPinnedModule holds a plugin to the module whose digest its section names.
func TestPinnedModule(t *testing.T) {
	t.Parallel()
	rust, as := read(t, balancesModule(t, "rust")), read(t, balancesModule(t, "assemblyscript"))
	p := newProject(t, newDatabase(t, "sqlite"), "h", plugin{"balances", "module.wasm", fmt.Sprintf("sha256 = %q", strings.ToUpper(digest(rust)))})
	p.put("module.wasm", as)
	p.refuses(exitInput, `plugin "balances"`, "SHA-256 is "+digest(as), "pinned is "+digest(rust), "sha256 = ")
	p.put("module.wasm", rust)
	h := p.host()
	url := h.ready()
	p.put("module.wasm", as)
	eventually(t, "another module is refused", func() error {
		st, err := statusOf(url)
		if err == nil && (st.Refused == nil || !strings.Contains(st.Refused.Reason, "pinned") || st.Digest != digest(rust)) {
			err = fmt.Errorf("the status is %+v", st)
		}
		return err
	})
	h.stop()
}

// TestReplaceUnderLoad replaces the module again and again, by renames and by writing it in pieces, while events come
// in: every event is handled once, by one of the two, which agree byte for byte.
func TestReplaceUnderLoad(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		seed := newSeed(t)
		rng := newRand(seed, 4000)
		modules := [][]byte{read(t, balancesModule(t, "rust")), read(t, balancesModule(t, "assemblyscript"))}
		p := newProject(t, storeURL, "h", plugin{"balances", "module.wasm", `events = ["AccountOpened", "Deposited", "Withdrawn"]`})
		p.put("module.wasm", modules[0])
		s := openStore(t, storeURL)
		stopFeed := feed(t, s, newSource("", seed))
		h := p.host()
		url := h.ready()
		const times = 8
		for i := range times {
			m := modules[(i+1)%2]
			if rng.IntN(2) == 0 {
				p.put("module.wasm", m)
			} else {
				p.writeSlowly("module.wasm", m)
			}
			awaitModule(t, url, digest(m))
		}
		stopFeed()
		settled(t, s, "balances")
		m := modelOf(t, s)
		compareDocuments(t, "balances", documents(t, s, "balances", "balances"), m.balances)
		h.stop()
		if n := strings.Count(h.stderr.String(), "a new module takes over"); n != times {
			t.Errorf("%d modules took over, want %d", n, times)
		}
		gen, err := s.FindPlugin(t.Context(), "balances")
		if err != nil {
			t.Fatal(err)
		}
		spans, err := s.Spans(t.Context(), gen.ID)
		if err != nil || len(spans) < 2 {
			t.Errorf("%d spans are on record: %v", len(spans), err)
		}
		t.Logf("%d events, %d spans", m.events, len(spans))
	})
}

// writeSlowly writes a file in place in several steps.
func (p *project) writeSlowly(name string, content []byte) {
	p.t.Helper()
	const pieces = 6
	var cuts []int
	for i := range pieces {
		cuts = append(cuts, i*len(content)/pieces)
	}
	p.writeInParts(name, content, 30*time.Millisecond, cuts...)
}

// writeInParts writes a file in place and rests wherever it is to be cut.
func (p *project) writeInParts(name string, content []byte, rest time.Duration, cuts ...int) {
	p.t.Helper()
	f, err := os.OpenFile(filepath.Join(p.dir, name), os.O_WRONLY|os.O_TRUNC|os.O_CREATE, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	from := 0
	for _, to := range append(cuts, len(content)) {
		if _, err := f.Write(content[from:to]); err != nil {
			p.t.Fatal(err)
		}
		if from = to; to < len(content) {
			pause(p.t.Context(), rest)
		}
	}
	if err := f.Close(); err != nil {
		p.t.Fatal(err)
	}
}
