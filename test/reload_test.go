package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eshost/host"
)

// awaitStatus waits until a running host's status is as it must be.
func awaitStatus(t *testing.T, listener, what string, check func(s host.Status) error) {
	t.Helper()
	eventually(t, what, func() error {
		s, err := hostStatus(listener)
		if err != nil {
			return err
		}
		return check(*s)
	})
}

// plugins checks the states of a host's plugins; "!" marks one whose module or section was refused.
func states(want string) func(host.Status) error {
	return func(s host.Status) error {
		var got []string
		for _, p := range s.Plugins {
			state := p.State
			if p.Refused != nil {
				state += "!"
			}
			got = append(got, p.Name+"="+state)
		}
		if now := strings.Join(got, " "); now != want {
			return fmt.Errorf("%s; want %s", now, want)
		}
		return nil
	}
}

// TestChangedHostsToml adds, changes, breaks and removes plugins in the hosts.toml of a running host: each section takes
// effect on its own, and a bad one stops no other.
func TestChangedHostsToml(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		rust, as := balancesModule(t, "rust"), balancesModule(t, "assemblyscript")
		const types = "events = [\"AccountOpened\", \"Deposited\", \"Withdrawn\"]"
		p := newProject(t, storeURL, "h", plugin{"one", rust, types})
		before := string(read(t, filepath.Join(p.dir, "hosts.toml")))
		section := func(name, module, more string) string {
			return fmt.Sprintf("\n[plugins.%s]\nmodule = %q\n%s\n", name, module, more)
		}
		s := openStore(t, storeURL)
		stopFeed := feed(t, s, newSource("", newSeed(t)))
		h := p.host()
		url := h.ready()

		p.put("hosts.toml", []byte(before+section("two", as, types)))
		awaitStatus(t, url, "a second plugin runs", states("one=running two=running"))

		p.writeSlowly("hosts.toml", []byte(before+section("two", as, types+"\nlanes = 1")+section("three", as, "batch = 0")+section("four", "missing.wasm", "")))
		awaitStatus(t, url, "two is changed; three and four are refused", func(s host.Status) error {
			if err := states("one=running two=running four=refused three=refused")(s); err != nil {
				return err
			}
			if !strings.Contains(s.Plugins[3].Reason, "plugins.three.batch") || !strings.Contains(s.Plugins[2].Reason, "missing.wasm") {
				return fmt.Errorf("the reasons are %q and %q", s.Plugins[3].Reason, s.Plugins[2].Reason)
			}
			return nil
		})

		p.put("hosts.toml", []byte(before+section("two", as, types+"\nlanes = 99")+section("three", as, types)))
		awaitStatus(t, url, "two goes on as it was, three runs", states("one=running two=running! three=running"))

		p.put("hosts.toml", []byte(before+"\n[plugins.two\n"))
		awaitStatus(t, url, "a file that is not TOML changes nothing", func(s host.Status) error {
			if !strings.Contains(s.FileRefused, "not TOML") {
				return fmt.Errorf("the file is refused for %q", s.FileRefused)
			}
			return states("one=running two=running! three=running")(s)
		})

		p.put("hosts.toml", []byte(strings.Replace(before, `name = "h"`, `name = "other"`, 1)+section("three", as, types)))
		awaitStatus(t, url, "two is removed", func(s host.Status) error {
			if !strings.Contains(s.FileRefused, "started again") {
				return errors.New("nothing is said of [host]")
			}
			return states("one=running three=running")(s)
		})

		p.put("hosts.toml", []byte(before+section("two", rust, types)+section("three", as, types)))
		h.signal(syscall.SIGHUP)
		awaitStatus(t, url, "two goes on where it stopped", func(s host.Status) error {
			if s.FileRefused != "" {
				return errors.New(s.FileRefused)
			}
			return states("one=running three=running two=running")(s)
		})
		stopFeed()
		settled(t, s, "one", "two", "three")
		m := modelOf(t, s)
		for _, name := range []string{"one", "two", "three"} {
			compareDocuments(t, name, documents(t, s, name, "balances"), m.balances)
		}
		h.stop()
		history, err := s.Reloads(t.Context(), "two", 10)
		if err != nil || len(history) < 4 {
			t.Errorf("the history of two is %+v, %v", history, err)
		}
	})
}

// TestReloadCommand asks running hosts to reload, and reads what they did from the store.
func TestReloadCommand(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		rust, as := read(t, balancesModule(t, "rust")), read(t, balancesModule(t, "assemblyscript"))
		p := newProject(t, storeURL, "h", plugin{"one", "one.wasm", ""}, plugin{"two", "two.wasm", ""})
		p.put("one.wasm", rust)
		p.put("two.wasm", rust)
		openStore(t, storeURL)
		if code, _, errs := p.run("", "reload"); code != exitFailed || !strings.Contains(errs, "no host runs") {
			t.Errorf("without a host: exit code %d, %s", code, errs)
		}
		h := p.host()
		h.ready()
		if out := p.must("reload"); strings.Count(out, "unchanged") != 2 {
			t.Errorf("nothing has changed:\n%s", out)
		}
		p.put("one.wasm", as)
		p.put("two.wasm", as[:100])
		code, out, errs := p.run("", "reload")
		if code != exitFailed || !strings.Contains(errs, "1 change refused") || !strings.Contains(out, "refused") || strings.Contains(out, "two  unchanged") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
		for name, want := range map[string]string{"one": digest(as)[:12], "two": "damaged"} {
			if out := p.must("reload", "--history", name); !strings.Contains(out, want) {
				t.Errorf("the history of %s does not have %s:\n%s", name, want, out)
			}
		}
		if out := p.must("status"); !strings.Contains(out, "two goes on as it was: host h refused") || strings.Contains(out, "one goes on as it was") {
			t.Errorf("eshost status does not say what is refused:\n%s", out)
		}
		p.put("two.wasm", rust)
		before := read(t, filepath.Join(p.dir, "hosts.toml"))
		p.put("hosts.toml", []byte("[host\n"))
		if code, _, _ := p.run("", "reload", "--store", storeURL); code != exitFailed {
			t.Errorf("a hosts.toml that is not TOML: exit code %d", code)
		}
		p.put("hosts.toml", before)
		p.must("reload")
		if out := p.must("status"); strings.Contains(out, "goes on as it was") || strings.Contains(out, "not as it is now") {
			t.Errorf("eshost status still complains:\n%s", out)
		}
		h.stop()
	})
}

// TestReloadWhileStarting sends SIGHUP to a host that is still reading its hosts.toml: it starts all the same.
func TestReloadWhileStarting(t *testing.T) {
	t.Parallel()
	p := newProject(t, newDatabase(t, "sqlite"), "h", plugin{"one", "one.wasm", ""})
	p.put("one.wasm", badModule(t, "wasi"))
	toml := []byte(p.toml())
	file := filepath.Join(p.dir, "hosts.toml")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	h := p.host()
	var pipe *os.File
	eventually(t, "the host reads its hosts.toml", func() (err error) {
		pipe, err = os.OpenFile(file, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err
	})
	p.put("hosts.toml", toml) // for the reload
	h.signal(syscall.SIGHUP)
	_, err := pipe.Write(toml)
	if err := errors.Join(err, pipe.Close()); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, h.ready(), "the plugin runs", states("one=running"))
	h.stop()
}

// TestReloadOfHalfWrittenFiles writes modules and hosts.toml in place with pauses of more than a second: nothing is refused
// or removed for what is not there yet.
func TestReloadOfHalfWrittenFiles(t *testing.T) {
	t.Parallel()
	rust, as := read(t, balancesModule(t, "rust")), read(t, balancesModule(t, "assemblyscript"))
	storeURL := newDatabase(t, "sqlite")
	p := newProject(t, storeURL, "h", plugin{"one", "one.wasm", ""}, plugin{"two", "two.wasm", ""})
	p.put("one.wasm", rust)
	p.put("two.wasm", rust)
	s := openStore(t, storeURL)
	h := p.host()
	url := h.ready()
	awaitStatus(t, url, "both run", states("one=running two=running"))

	p.writeInParts("one.wasm", as, time.Second, 0, len(as)/2)
	awaitStatus(t, url, "one has the whole module", func(s host.Status) error {
		if s.Plugins[0].Digest != digest(as) {
			return errors.New(s.Plugins[0].Digest)
		}
		return states("one=running two=running")(s)
	})

	toml := p.toml() + "\n[plugins.three]\nmodule = \"three.wasm\"\n"
	two := strings.Index(toml, "[plugins.two]")
	p.write("three.wasm", string(as[:len(as)/2]))
	p.writeInParts("hosts.toml", []byte(toml), 1500*time.Millisecond, two, two+len("[plug"), two+len("[plugins.two]\n"))
	pause(t.Context(), time.Second)
	p.write("three.wasm", string(as))
	awaitStatus(t, url, "three runs beside the others", states("one=running two=running three=running"))

	h.stop()
	if log := h.stderr.String(); strings.Contains(log, "refused") || strings.Contains(log, "removed") {
		t.Error("the log is", log)
	}
	for _, name := range []string{"one", "two", "three"} {
		history, err := s.Reloads(t.Context(), name, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range history {
			if r.Refused != "" {
				t.Errorf("the history of %s: %+v", name, r)
			}
		}
	}
}
