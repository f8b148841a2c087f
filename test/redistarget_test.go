package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"eshost/test/redistest"
)

// redisPlugins are pairs of the same module, one with its read model in the database and one in Redis.
func redisPlugins(t *testing.T) []plugin {
	t.Helper()
	const retry = "[plugins.%s.retry]\nattempts = 20\nbackoff = \"100ms..1s\"\n[plugins.%s.limits]\ntime = \"10s\"\n"
	const types = "events = [\"AccountOpened\", \"Deposited\", \"Withdrawn\"]\n"
	const redis = "target = \"redis\"\n"
	journal := func(name, more string) plugin {
		return plugin{name, journalModule(t), more + fmt.Sprintf(retry, name, name)}
	}
	return []plugin{
		{"balances", balancesModule(t, "rust"), types}, {"cached", balancesModule(t, "rust"), types + redis},
		journal("journal", ""), journal("cached-journal", redis),
	}
}

// setRedis adds [redis] to the project, with further lines.
func (p *project) setRedis(url string, more ...string) {
	p.t.Helper()
	toml, err := os.ReadFile(filepath.Join(p.dir, "hosts.toml"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("hosts.toml", string(toml)+fmt.Sprintf("\n[redis]\nurl = %q\n%s\n", url, strings.Join(more, "\n")))
}

// sameModels compares what `eshost read` prints of two plugins, once both have handled everything and nothing is to be retried.
func (p *project) sameModels(collection, inStore, inRedis string) {
	p.t.Helper()
	read := map[string]string{}
	for _, name := range []string{inStore, inRedis} {
		p.must("wait", name, "--position", "head", "--timeout", patience.String())
		eventually(p.t, name+" can be read and nothing of it waits", func() error {
			var list struct{ Sequences []struct{ Key string } }
			code, out, errs := p.run("", "parked", "list", name, "--json")
			if code != 0 {
				return errors.New(errs)
			}
			if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Sequences) > 0 {
				return fmt.Errorf("%+v wait: %v", list, err)
			}
			if code, read[name], errs = p.run("", "read", name, collection, "--limit", "0"); code != 0 {
				return errors.New(errs)
			}
			return nil
		})
	}
	if read[inStore] != read[inRedis] || read[inStore] == "" {
		p.t.Errorf("%s in the database:\n%s\nin Redis:\n%s", collection, shortened(read[inStore]), shortened(read[inRedis]))
	}
}

func shortened(s string) string { return s[:min(len(s), 4000)] }

// TestReadModelsInRedis loses read models in Redis again and again under load, in every way a Redis without persistence
// does, and kills the host: in the end they are what their twins in the database are.
func TestReadModelsInRedis(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		seed := newSeed(t)
		rng := newRand(seed, 4000)
		redis := redistest.Start(t)
		p := newProject(t, storeURL, "h", redisPlugins(t)...)
		p.setRedis(redis.URL())
		host := p.host()
		host.ready()
		stopFeed := feed(t, openStore(t, storeURL), newSource("", seed))
		for i := range 8 {
			pause(t.Context(), upTo(rng, time.Second))
			switch i % 4 {
			case 0:
				redis.Do("FLUSHALL")
			case 1:
				redis.Kill()
				redis.Start()
			case 2:
				host.kill()
				if i > 4 {
					redis.Do("FLUSHALL")
				}
				host = p.host()
				host.ready()
			case 3:
				p.must("rebuild", "cached", "--why", "the test")
			}
		}
		stopFeed()
		p.sameModels("balances", "balances", "cached")
		p.sameModels("journal", "journal", "cached-journal")
		host.stop()
	})
}

// TestRedisRights gives the user of redis.url what docs/operations.md says it must have, and no more.
func TestRedisRights(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^ACL SETUSER eshost .*$`).FindAllString(string(guide), -1)
	if len(rights) != 2 {
		t.Fatalf("the guide gives rights in %d lines: %q", len(rights), rights)
	}
	redis := redistest.Start(t)
	storeURL := newDatabase(t, "sqlite")
	s := openStore(t, storeURL)
	for n, plugins := range [][]plugin{redisPlugins(t)[:1], redisPlugins(t)} { // the first line alone is for waking others
		redis.Do(rights[n])
		p := newProject(t, storeURL, "h", plugins...)
		p.setRedis(strings.Replace(redis.URL(), "redis://", "redis://eshost:secret@", 1), "changes = true")
		changes := redis.Listen("eshost:changes:balances")
		host := p.host()
		host.ready()
		stopFeed := feed(t, s, newSource(fmt.Sprint("run", n), newSeed(t)))
		eventually(t, "the host uses Redis", func() error {
			if !strings.Contains(host.stderr.String(), "using Redis to wake other hosts") || len(changes()) == 0 {
				return errors.New("not yet")
			}
			return nil
		})
		stopFeed()
		if n == 1 {
			p.must("rebuild", "cached", "--why", "the test")
			p.sameModels("balances", "balances", "cached")
			p.sameModels("journal", "journal", "cached-journal")
		}
		host.stop()
		if strings.Contains(host.stderr.String(), "lets this user do too little") || strings.Contains(host.stderr.String(), "NOPERM") {
			t.Errorf("%q is too little:\n%s", rights[:n+1], host.stderr.tail())
		}
	}
}

// answerOf is the status of an HTTP answer.
func answerOf(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// TestReadersTellRebuildingFromEmpty reads a read model in Redis that is empty, one that is lost, and one that is built.
func TestReadersTellRebuildingFromEmpty(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	storeURL := newDatabase(t, "sqlite")
	p := newProject(t, storeURL, "h", redisPlugins(t)[:2]...)
	p.setRedis(redis.URL())
	host := p.host()
	url := host.ready()
	eventually(t, "an empty read model can be read", func() error {
		code, _, errs := p.run("", "read", "cached", "balances")
		if code != 0 || !strings.Contains(errs, "has no documents") {
			return fmt.Errorf("exit code %d: %s", code, errs)
		}
		return nil
	})
	stopFeed := feed(t, openStore(t, storeURL), newSource("", newSeed(t)))
	pause(t.Context(), 500*time.Millisecond)
	stopFeed()
	p.sameModels("balances", "balances", "cached")
	if code, out, _ := p.run("", "status"); code != 0 || !strings.Contains(out, "cached keeps its read model in redis") {
		t.Errorf("status does not say where it is:\n%s", out)
	}
	documents := url + "/v1/plugins/cached/documents/balances"
	if answer := answerOf(t, documents); answer != 200 {
		t.Errorf("the API answers %d", answer)
	}
	host.stop()
	redis.Do("FLUSHALL")
	if code, out, errs := p.run("", "read", "cached", "balances"); code != 1 || out != "" || !strings.Contains(errs, "no read model") {
		t.Errorf("a lost read model: exit code %d: %s%s", code, out, errs)
	}
	if code, _, errs := p.run("", "read", "cached", "balances", "--store", storeURL); code != 3 || !strings.Contains(errs, "--config") {
		t.Errorf("without hosts.toml: exit code %d: %s", code, errs)
	}
	host = p.host()
	host.ready()
	p.sameModels("balances", "balances", "cached")

	// Whoever moves it into the database gets it built there, and not what was there before.
	host.stop()
	toml := string(read(t, filepath.Join(p.dir, "hosts.toml")))
	p.write("hosts.toml", strings.Replace(toml, "target = \"redis\"\n", "", 1))
	host = p.host()
	host.ready()
	p.sameModels("balances", "balances", "cached")
	var status struct {
		Plugins []struct {
			Name       string
			Generation int
		}
	}
	if err := json.Unmarshal([]byte(p.must("status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	for _, pl := range status.Plugins {
		if want := map[string]int{"balances": 1, "cached": 2}[pl.Name]; pl.Generation != want {
			t.Errorf("%s is generation %d, want %d", pl.Name, pl.Generation, want)
		}
	}
	host.stop()
}
