package test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"eshost/test/redistest"
)

// promptly fails a test for what takes as long as a call that waits for Redis may: 10 s. It is far more than redis.timeout,
// which is what a view should wait.
func promptly(t *testing.T, what string, do func()) {
	t.Helper()
	begun := time.Now()
	do()
	if took := time.Since(begun); took > 9*time.Second {
		t.Errorf("%s took %s while Redis hung", what, took)
	}
}

// TestViewsWhileRedisHangs looks at plugins, and reads one that is kept in the database, while Redis accepts connections and
// does not answer.
func TestViewsWhileRedisHangs(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	storeURL := newDatabase(t, "sqlite")
	p := newProject(t, storeURL, "h", redisPlugins(t)...)
	p.setRedis(redis.URL(), `timeout = "500ms"`)
	host := p.host()
	api := newClient(t, host.ready())
	stopFeed := feed(t, openStore(t, storeURL), newSource("", newSeed(t)))
	pause(t.Context(), 300*time.Millisecond)
	stopFeed()
	p.sameModels("balances", "balances", "cached")
	p.sameModels("journal", "journal", "cached-journal")

	const unanswered = "no answer from Redis within 500ms"
	type view struct {
		Name, Unknown string
		Checkpoint    int64
	}
	look := func(what string, plugins []view, unknown bool) (at int64) {
		t.Helper()
		if len(plugins) != 4 {
			t.Fatalf("%s has %+v", what, plugins)
		}
		for _, v := range plugins {
			inRedis := strings.HasPrefix(v.Name, "cached")
			if got := strings.Contains(v.Unknown, unanswered); got != (unknown && inRedis) || v.Unknown != "" && !got {
				t.Errorf("%s says of %s: %q", what, v.Name, v.Unknown)
			}
			if v.Name == "balances" {
				at = v.Checkpoint
			}
		}
		return at
	}
	list := func() []view {
		var all struct{ Plugins []view }
		api.get("/v1/plugins").want(t, 200).into(t, &all)
		return all.Plugins
	}
	at := look("the API", list(), false)

	redis.Pause()
	for range 2 { // the second time it need not ask
		promptly(t, "GET /v1/plugins", func() { look("the API", list(), true) })
	}
	promptly(t, "GET /v1/plugins/cached", func() {
		var one view
		if api.get("/v1/plugins/cached").want(t, 200).into(t, &one); !strings.Contains(one.Unknown, unanswered) {
			t.Errorf("the API says of cached: %+v", one)
		}
	})
	promptly(t, "eshost status --json", func() {
		var all struct{ Plugins []view }
		if err := json.Unmarshal([]byte(p.must("status", "--json")), &all); err != nil {
			t.Fatal(err)
		}
		look("the status", all.Plugins, true)
	})
	promptly(t, "eshost status", func() {
		if out := p.must("status"); !strings.Contains(out, "cached: what waits behind failed events is not known: "+unanswered) {
			t.Errorf("status does not say what it cannot know:\n%s", out)
		}
	})
	read := fmt.Sprintf("/v1/plugins/balances/documents/balances?after=%d&timeout=", at)
	promptly(t, "a read", func() { api.get(read+"2s").want(t, 200) })
	promptly(t, "a read of what is not there yet", func() {
		ahead := strings.Replace(read, "="+fmt.Sprint(at), "="+url.QueryEscape(fmt.Sprint(at+1_000_000)), 1)
		api.get(ahead+"1s").want(t, 504)
	})

	if a := api.get("/v1/plugins/cached/documents/balances?limit=1"); a.status != 503 || !strings.Contains(string(a.body), "Redis, which keeps the read model") {
		t.Errorf("a read from Redis is answered with %d: %s", a.status, a.body)
	}

	redis.Resume()
	eventually(t, "the numbers are known again", func() error {
		for _, v := range list() {
			if v.Unknown != "" {
				return fmt.Errorf("%s: %s", v.Name, v.Unknown)
			}
		}
		return nil
	})
	host.stop()

	redis.Kill()
	if code, out, errs := p.run("", "status"); code != 0 || errs != "" || !strings.Contains(out, "is not known: ") {
		t.Errorf("without Redis, status: exit code %d\n%s\n%s", code, out, errs)
	}
	if code, out, errs := p.run("", "read", "cached", "balances"); code == 0 || out != "" || strings.Contains(errs, "redis: ") || !strings.Contains(errs, "Redis") {
		t.Errorf("without Redis, read: exit code %d\n%s\n%s", code, out, errs)
	}
}
