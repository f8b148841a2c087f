package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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
