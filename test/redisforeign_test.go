package test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"eshost/test/redistest"
)

// TestTwoDatabasesShareRedis runs a plugin on two databases with one Redis and one prefix: the second one answers nothing
// rather than what the first one has, says what to do, and goes on when that is done.
func TestTwoDatabasesShareRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	start := func(name string) (*project, *process, string) {
		storeURL := newDatabase(t, "sqlite")
		p := newProject(t, storeURL, name, redisPlugins(t)[:2]...)
		p.setRedis(redis.URL())
		host := p.host()
		url := host.ready()
		stopFeed := feed(t, openStore(t, storeURL), newSource(name, newSeed(t)))
		pause(t.Context(), 300*time.Millisecond)
		stopFeed()
		return p, host, url
	}
	first, firstHost, _ := start("first")
	first.sameModels("balances", "balances", "cached")
	firstHost.stop()
	before := first.must("read", "cached", "balances", "--limit", "0")

	second, host, url := start("second")
	const foreign, free = "the read model in Redis is another database's", "redis-cli DEL 'eshost:{cached}:meta'"
	var status struct {
		Identity string
		Plugins  []struct{ Name, State, Reason string }
	}
	eventually(t, "the plugin says why it waits", func() error {
		out := second.must("status", "--json")
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			t.Fatal(err)
		}
		for _, v := range status.Plugins {
			if v.Name == "cached" && v.State == "backing off" && strings.Contains(v.Reason, foreign) && strings.Contains(v.Reason, free) &&
				strings.Contains(v.Reason, "redis.prefix") && strings.Contains(v.Reason, status.Identity) {
				return nil
			}
		}
		return errors.New(out)
	})
	if code, out, errs := second.run("", "read", "cached", "balances"); code != 1 || out != "" || !strings.Contains(errs, foreign) {
		t.Errorf("eshost read: exit code %d: %s%s", code, out, errs)
	}
	if answer := answerOf(t, url+"/v1/plugins/cached/documents/balances"); answer != http.StatusServiceUnavailable {
		t.Errorf("the API answers %d", answer)
	}
	if after := first.must("read", "cached", "balances", "--limit", "0"); after != before {
		t.Errorf("the first database's read model was\n%s\nand is\n%s", shortened(before), shortened(after))
	}

	redis.Do("DEL eshost:{cached}:meta")
	second.sameModels("balances", "balances", "cached")
	host.stop()
}
