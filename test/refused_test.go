package test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eshost/host"
	"eshost/test/redistest"
)

// toml is the project's hosts.toml as it is now.
func (p *project) toml() string {
	p.t.Helper()
	return string(read(p.t, filepath.Join(p.dir, "hosts.toml")))
}

// refusedFor expects a plugin to run as before, and what it was given to be refused for a reason.
func refusedFor(name, why string) func(host.Status) error {
	return func(s host.Status) error {
		for _, p := range s.Plugins {
			if p.Name != name {
				continue
			}
			if p.State != "running" || p.Refused == nil || !strings.Contains(p.Refused.Reason, why) {
				return fmt.Errorf("%s is %s, refused is %+v; want %q", name, p.State, p.Refused, why)
			}
			return nil
		}
		return fmt.Errorf("there is no %s", name)
	}
}

// TestRefusedRedisTarget moves a read model to a Redis that the host was not started with: the move is refused and nothing
// is built anew, until the host is started again.
func TestRefusedRedisTarget(t *testing.T) {
	t.Parallel()
	redis, other := redistest.Start(t), redistest.Start(t)
	storeURL := newDatabase(t, "sqlite")
	s := openStore(t, storeURL)
	p := newProject(t, storeURL, "h", redisPlugins(t)[0])
	balances := strings.Index(p.toml(), "events = ")
	moved := p.toml()[:balances] + "target = \"redis\"\n" + p.toml()[balances:]
	with := func(toml, url string) []byte { return []byte(toml + fmt.Sprintf("\n[redis]\nurl = %q\n", url)) }

	h := p.host()
	url := h.ready()
	awaitStatus(t, url, "balances runs", states("balances=running"))
	p.put("hosts.toml", with(moved, redis.URL()))
	awaitStatus(t, url, "the move is refused", refusedFor("balances", "this host was started without [redis]; start the host again"))
	if all, err := s.Generations(t.Context(), "balances"); err != nil || len(all) != 1 {
		t.Errorf("its generations are %+v, %v", all, err)
	}
	h.stop()

	h = p.host()
	url = h.ready()
	awaitStatus(t, url, "balances has moved", func(s host.Status) error {
		if len(s.Plugins) != 1 || s.Plugins[0].Target != "redis" {
			return fmt.Errorf("%+v", s.Plugins)
		}
		return states("balances=running")(s)
	})
	p.put("hosts.toml", with(strings.Replace(moved, "[plugins.balances]\n", "[plugins.balances]\nbatch = 7\n", 1), other.URL()))
	awaitStatus(t, url, "the move to another Redis is refused", refusedFor("balances", "hosts.toml has another [redis] now"))
	p.put("hosts.toml", with(moved, redis.URL()))
	awaitStatus(t, url, "nothing is held against it any more", states("balances=running"))
	h.stop()
}

// TestRefusedTargetOfPartitions moves a plugin to Redis that is split into partitions: it goes on as it is.
func TestRefusedTargetOfPartitions(t *testing.T) {
	t.Parallel()
	p := newProject(t, newDatabase(t, "sqlite"), "h", plugin{"balances", balancesModule(t, "rust"), "partitions = 3\n" + bankTypes})
	p.setRedis(redistest.Start(t).URL())
	h := p.host()
	url := h.ready()
	awaitStatus(t, url, "it runs", states("balances=running"))
	before := p.toml()
	p.put("hosts.toml", []byte(strings.Replace(before, "partitions = 3\n", "target = \"redis\"\n", 1)))
	awaitStatus(t, url, "the move is refused", refusedFor("balances", "it has 3 partitions in the database"))
	awaitStatus(t, url, "it goes on", states("balances=running!"))
	p.put("hosts.toml", []byte(before))
	awaitStatus(t, url, "nothing is held against it any more", states("balances=running"))
	h.stop()
}

// TestRefusedSectionIsMended has sections of hosts.toml name modules that are not there yet: they are refused, and take
// effect as soon as the modules are.
func TestRefusedSectionIsMended(t *testing.T) {
	t.Parallel()
	rust, as := read(t, balancesModule(t, "rust")), read(t, balancesModule(t, "assemblyscript"))
	pin := func(module []byte) string { return fmt.Sprintf("sha256 = %q", digest(module)) }
	p := newProject(t, newDatabase(t, "sqlite"), "h", plugin{"one", "one.wasm", pin(rust)})
	p.put("one.wasm", rust)
	h := p.host()
	url := h.ready()
	awaitStatus(t, url, "one runs", states("one=running"))
	toml := strings.Replace(p.toml(), pin(rust), pin(as), 1) + "\n[plugins.two]\nmodule = \"two.wasm\"\n"
	p.put("hosts.toml", []byte(toml))
	awaitStatus(t, url, "both are refused", states("one=running! two=refused"))
	awaitStatus(t, url, "one is held to its pin", func(s host.Status) error {
		if since := s.Plugins[0].Refused.Since; time.Since(since) > patience {
			t.Errorf("it is refused since %s", since)
		}
		return refusedFor("one", "pinned is "+digest(as))(s)
	})
	if code, out, _ := p.run("", "reload"); code != exitFailed || strings.Count(out, "refused") != 2 {
		t.Errorf("eshost reload: exit code %d\n%s", code, out)
	}

	p.put("two.wasm", as)
	awaitStatus(t, url, "two runs", states("one=running! two=running"))
	p.put("one.wasm", as)
	awaitStatus(t, url, "one has the pinned module", func(s host.Status) error {
		for _, p := range s.Plugins {
			if p.State != "running" || p.Refused != nil || p.Digest != digest(as) {
				return fmt.Errorf("%+v", p)
			}
		}
		return nil
	})
	if out := p.must("reload"); strings.Count(out, "unchanged") != 2 {
		t.Errorf("eshost reload:\n%s", out)
	}
	h.stop()
	if log := h.stderr.String(); strings.Count(log, "refused a section") != 2 || strings.Contains(log, "refused the new module") {
		t.Error("the log is", log)
	}
}

// TestRefusedModuleOfSection names another module in hosts.toml, one that crashes on events that were handled already: it is
// refused as it would be in the place of the old one.
func TestRefusedModuleOfSection(t *testing.T) {
	t.Parallel()
	storeURL := newDatabase(t, "sqlite")
	p := newProject(t, storeURL, "h", plugin{"one", "good.wasm", ""})
	p.put("good.wasm", badModule(t, "wasi"))
	p.put("bad.wasm", badModule(t, "behave"))
	s := openStore(t, storeURL)
	appendCrashes(t, s, 5)
	h := p.host()
	url := h.ready()
	settled(t, s, "one")
	good := p.toml()
	p.put("hosts.toml", []byte(strings.Replace(good, "good.wasm", "bad.wasm", 1)))
	awaitStatus(t, url, "the other module is refused", refusedFor("one", "crashed on event 1"))
	awaitStatus(t, url, "the old module goes on", func(s host.Status) error {
		if s.Plugins[0].Digest != digest(badModule(t, "wasi")) {
			t.Errorf("its module is %s", s.Plugins[0].Digest)
		}
		return nil
	})
	p.put("hosts.toml", []byte(good))
	awaitStatus(t, url, "nothing is held against it any more", states("one=running"))
	h.stop()
}

// TestRefusedStart adds a plugin that can never start where its section says: that is a refused section like any other, and
// tried again like any other.
func TestRefusedStart(t *testing.T) {
	t.Parallel()
	storeURL := newDatabase(t, "sqlite")
	p := newProject(t, storeURL, "h", plugin{"one", "one.wasm", ""})
	p.put("one.wasm", badModule(t, "wasi"))
	s := openStore(t, storeURL)
	h := p.host()
	url := h.ready()
	awaitStatus(t, url, "one runs", states("one=running"))
	const why = "start = 4 is beyond the log's end, position 0"
	p.put("hosts.toml", []byte(p.toml()+"\n[plugins.two]\nmodule = \"one.wasm\"\nstart = 4\n"))
	if code, out, _ := p.run("", "reload"); code != exitFailed || !strings.Contains(out, why) {
		t.Errorf("eshost reload: exit code %d\n%s", code, out)
	}
	awaitStatus(t, url, "two is refused", states("one=running two=refused"))
	for _, command := range [][]string{{"status"}, {"reload", "--history", "two"}} {
		if out := p.must(command...); !strings.Contains(out, why) || strings.Contains(out, "goes on as it was") || strings.Contains(out, "is starting it") {
			t.Errorf("eshost %s:\n%s", strings.Join(command, " "), out)
		}
	}
	if res, err := http.Get(url + "/readyz"); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("the host is not ready: %+v, %v", res, err)
	} else {
		res.Body.Close()
	}
	if code, out, _ := p.run("", "reload"); code != exitFailed || !strings.Contains(out, why) {
		t.Errorf("another eshost reload: exit code %d\n%s", code, out)
	}
	appendCrashes(t, s, 5)
	eventually(t, "two is tried again", func() error {
		if code, out, _ := p.run("", "reload"); code != 0 {
			return errors.New(out)
		}
		return nil
	})
	awaitStatus(t, url, "two runs", states("one=running two=running"))
	settled(t, s, "one", "two")
	if out := p.must("status"); strings.Contains(out, "refused") {
		t.Errorf("eshost status still complains:\n%s", out)
	}
	h.stop()
	if n := strings.Count(h.stderr.String(), "refused a section"); n < 1 || n > 2 {
		t.Errorf("the log says %d times that it is refused", n)
	}
}

// TestRefusedSectionIsDeleted follows what eshost status says of a plugin whose section is refused and then deleted: of one
// that has never run, and of one that has.
func TestRefusedSectionIsDeleted(t *testing.T) {
	t.Parallel()
	storeURL := newDatabase(t, "sqlite")
	p := newProject(t, storeURL, "h", plugin{"one", "one.wasm", ""})
	p.put("one.wasm", badModule(t, "wasi"))
	s := openStore(t, storeURL)
	appendCrashes(t, s, 5)
	h := p.host()
	h.ready()
	settled(t, s, "one")
	one := p.toml()
	two := "\n[plugins.two]\nmodule = \"one.wasm\"\n"
	reload := func(toml string, code int) {
		t.Helper()
		p.put("hosts.toml", []byte(toml))
		if got, out, errs := p.run("", "reload", "--store", storeURL); got != code {
			t.Errorf("eshost reload: exit code %d, want %d\n%s%s", got, code, out, errs)
		}
	}
	// says reads with a hosts.toml of its own: eshost status, too, refuses one with mistakes.
	says := func(want string, not ...string) {
		t.Helper()
		file := p.write("reader.toml", one+two)
		out := p.must("status", "--config", file)
		if !strings.Contains(out, want) {
			t.Errorf("eshost status does not say %q:\n%s", want, out)
		}
		for _, lie := range not {
			if strings.Contains(out, lie) {
				t.Errorf("eshost status says %q:\n%s", lie, out)
			}
		}
	}
	const broken = "batch = 0\n"
	reload(one+two+broken, exitFailed)
	says("two is not started: host h refused its section", "goes on as it was", "is starting it")
	reload(one, 0)
	says("two is not started", "refused")

	reload(one+two, 0)
	settled(t, s, "two")
	reload(one+two+broken, exitFailed)
	says("two goes on as it was: host h refused", "not started")
	reload(one, 0)
	says("two is stopped", "refused")
	reload(one+two+broken, exitFailed)
	says("for two, which nobody runs: ", "goes on as it was")
	reload(one+two, 0)
	settled(t, s, "two")
	says("two", "refused")

	history, err := s.Reloads(t.Context(), "two", 1)
	if err != nil || len(history) != 1 || history[0].Position != 5 {
		t.Errorf("two has begun again at 5, its history is %+v, %v", history, err)
	}
	h.stop()
}
