package test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// client talks to a host's API. Each answer is held to the host's own openapi.json.
type client struct {
	t     *testing.T
	base  string
	token string
	http  *http.Client
	desc  *description
}

func newClient(t *testing.T, base string) *client {
	t.Helper()
	c := &client{t: t, base: base, http: &http.Client{Timeout: patience}}
	t.Cleanup(c.http.CloseIdleConnections)
	c.desc = newDescription(t, c.get("/openapi.json").body)
	return c
}

// answer is what the host said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) problem(t *testing.T) (kind, detail string) {
	t.Helper()
	var p struct{ Type, Title, Detail string }
	if err := json.Unmarshal(a.body, &p); err != nil || p.Title == "" || p.Detail == "" || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d is no problem: %s", a.status, a.body)
	}
	return strings.TrimPrefix(p.Type, "urn:eshost:problem:"), p.Detail
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
}

// send sends a request; headers are "Name: value".
func (c *client) send(method, path, body string, headers ...string) answer {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.desc != nil {
		if err := c.desc.check(method, r.URL.EscapedPath(), res, text); err != nil {
			c.t.Error(err)
		}
	}
	return answer{res.StatusCode, res.Header, text}
}

func (c *client) get(path string, headers ...string) answer {
	c.t.Helper()
	return c.send("GET", path, "", headers...)
}

func (c *client) post(path, body string, headers ...string) answer {
	c.t.Helper()
	return c.send("POST", path, body, append([]string{"Content-Type: application/json"}, headers...)...)
}

// want sends a request that must be answered with a status.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Errorf("answered %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

type appendedAnswer struct {
	Version, Position int64
	Events            []struct {
		ID                string
		Version, Position int64
		Duplicate         bool
	}
}

const balanceTypes = "events = [\"AccountOpened\", \"Deposited\", \"Withdrawn\"]\n[plugins.balances.retry]\nattempts = 1\n"

func balancesPlugin(t *testing.T) plugin {
	return plugin{"balances", balancesModule(t, "rust"), balanceTypes}
}

// TestAPIIsDescribed uses everything that openapi.json describes.
func TestAPIIsDescribed(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := newProject(t, storeURL, "api", balancesPlugin(t))
		h := p.host()
		c := newClient(t, h.ready())
		const docs = "/v1/plugins/balances/documents"
		c.post("/v1/streams/acc%2F1", `{"type":"AccountOpened","data":{"owner":"Ada"}}`).want(t, 201)
		c.post("/v1/streams/bad", `[{"type":"Deposited","data":{"amount":"much"}},{"type":"Deposited","data":{"amount":1}}]`).want(t, 201)
		c.post("/v1/streams/worse", `{"type":"Deposited","data":{"amount":-1}}`).want(t, 201)
		c.get(docs+"?after=1").want(t, 200)
		bothParked := func() {
			eventually(t, "two sequences are parked", func() error {
				var page struct{ Sequences []struct{ Key string } }
				c.get("/v1/plugins/balances/parked?state=parked&limit=1000").want(t, 200).into(t, &page)
				if len(page.Sequences) != 2 {
					return fmt.Errorf("there are %d", len(page.Sequences))
				}
				return nil
			})
		}
		bothParked()
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/status", "/v1/plugins", "/v1/plugins/balances", docs,
			docs + "/balances", docs + "/balances/acc%2F1", docs + "/balances/acc%2F1?fields=owner", docs + "/none", "/v1/plugins/balances/parked",
			"/v1/plugins/balances/parked?limit=1", "/v1/plugins/balances/parked/bad?behind=1", "/v1/streams/acc%2F1", "/v1/streams/bad?after=1&limit=1", "/v1/events",
			"/v1/events?after=1&types=Deposited,Nothing&limit=1"} {
			got := c.get(path).want(t, 200)
			head := c.send("HEAD", path, "").want(t, 200)
			if len(head.body) > 0 || head.header.Get("Content-Type") != got.header.Get("Content-Type") {
				t.Errorf("HEAD %s: %v", path, head)
			}
		}
		c.post("/v1/plugins/balances/retry", `{"key":"bad","why":"again"}`).want(t, 200)
		bothParked() // it has failed again
		c.post("/v1/plugins/balances/edit", `{"key":"bad","data":{"amount":7},"who":"ada","why":"a slip"}`).want(t, 200)
		c.post("/v1/plugins/balances/skip", `{"key":"worse","why":"nonsense"}`).want(t, 200)
		c.post("/v1/plugins/balances/pause?timeout=1m", `{"why":"test"}`).want(t, 200)
		c.post("/v1/plugins/balances/resume", ``).want(t, 200)
		c.post("/v1/reload", ``).want(t, 200)
		c.post("/v1/plugins/balances/rebuild?timeout=1m", `{"why":"test"}`).want(t, 200)
		eventually(t, "the new generation is live", func() error {
			a := c.get("/v1/plugins/balances/generations").want(t, 200)
			if !strings.Contains(string(a.body), `"state":"retired"`) {
				return errors.New(string(a.body))
			}
			return nil
		})
		c.post("/v1/plugins/balances/rollback?timeout=1m", `{"why":"test"}`).want(t, 200)
		if a := c.post("/v1/plugins/balances/drop?timeout=1m", `{"why":"test"}`); a.status != 200 && a.status != 409 {
			t.Errorf("drop: %d %s", a.status, a.body)
		}
		for path, want := range map[string]string{
			"/v1/events":                   "text/event-stream",
			"/v1/plugins/balances/changes": "text/event-stream",
		} {
			f := c.feed(path, "")
			if got := f.res.Header.Get("Content-Type"); got != want {
				t.Errorf("%s is %s", path, got)
			}
			c.desc.seen["GET "+strings.Replace(path, "balances", "{plugin}", 1)] = true
			f.close()
		}
		for _, operation := range c.desc.operations() {
			if !c.desc.seen[operation] {
				t.Errorf("%s was not used", operation)
			}
		}
		h.stop()
	})
}

// TestAPIRefusesBadInput sends what nobody should send.
func TestAPIRefusesBadInput(t *testing.T) {
	t.Parallel()
	p := newProject(t, newDatabase(t, "sqlite"), "api", balancesPlugin(t))
	h := p.host()
	c := newClient(t, h.ready())
	const docs, json = "/v1/plugins/balances/documents/balances", "Content-Type: application/json"
	large := `{"type":"T","data":"` + strings.Repeat("x", 33<<20) + `"}`
	for _, bad := range []struct {
		status        int
		method, path  string
		body, headers string
	}{
		{404, "GET", "/nothing", "", ""},
		{404, "GET", "/v1/plugins/none", "", ""},
		{404, "GET", "/v1/plugins/none/documents", "", ""},
		{404, "GET", docs + "/none", "", ""},
		{404, "GET", docs + "/%FF%00", "", ""},
		{404, "GET", docs + "/..%2F..%2Fetc", "", ""},
		{404, "GET", "/v1/plugins/balances%00/documents", "", ""},
		{404, "GET", "/v1/streams/none", "", ""},
		{404, "GET", "/v1/plugins/balances/parked/none", "", ""},
		{404, "POST", "/v1/plugins/none/pause", "", ""},
		{404, "POST", "/v1/plugins/balances/skip", `{"key":"none","why":"x"}`, json},
		{405, "DELETE", docs + "/a", "", ""},
		{405, "POST", "/v1/events", "{}", json},
		{405, "GET", "/v1/plugins/balances/pause", "", ""},
		{405, "PROPFIND", "/v1/status", "", ""},
		{400, "GET", docs + "?limit=0", "", ""},
		{400, "GET", docs + "?limit=1001", "", ""},
		{400, "GET", docs + "?limit=1&limit=2", "", ""},
		{400, "GET", docs + "?limit=many", "", ""},
		{400, "GET", docs + "?cursor=%25%25", "", ""},
		{400, "GET", docs + "?fields=a,,b", "", ""},
		{400, "GET", docs + "?where=owner", "", ""},
		{400, "GET", docs + "?prefix=%FF", "", ""},
		{400, "GET", docs + "?after=-1", "", ""},
		{400, "GET", docs + "?after=99999999999999999999", "", ""},
		{400, "GET", docs + "?timeout=soon", "", ""},
		{400, "GET", docs + "?after=1&timeout=24h", "", ""},
		{400, "GET", docs + "?a=%zz", "", ""},
		{400, "GET", docs + "?a;b", "", ""},
		{400, "GET", "/v1/events?after=x", "", ""},
		{400, "GET", "/v1/events?Limit=5", "", ""},
		{400, "GET", "/v1/events", "", "Accept: text/event-stream\nLast-Event-ID: nonsense"},
		{400, "GET", "/v1/plugins/balances/parked?state=well", "", ""},
		{400, "POST", "/v1/plugins/balances/skip", `{"key":"a"} {}`, json},
		{400, "POST", "/v1/plugins/balances/skip", `{"plugin":"other","key":"a"}`, json},
		{400, "POST", "/v1/plugins/balances/skip", `{"why":"no key"}`, json},
		{400, "POST", "/v1/plugins/balances/pause", `{"who":"two\nlines"}`, json},
		{415, "POST", "/v1/plugins/balances/pause", `{}`, "Content-Type: text/plain"},
		{415, "POST", "/v1/streams/a", `{"type":"T","data":1}`, "Content-Type: text/plain"},
		{415, "POST", "/v1/streams/a", `{"type":"T","data":1}`, ""},
		{413, "POST", "/v1/streams/a", large, json},
		{413, "POST", "/v1/plugins/balances/pause", large, json},
		{400, "POST", "/v1/streams/", `{"type":"T","data":1}`, json},
		{400, "POST", "/v1/streams/" + strings.Repeat("a", 600), `{"type":"T","data":1}`, json},
		{400, "POST", "/v1/streams/a", ``, json},
		{400, "POST", "/v1/streams/a", `[]`, json},
		{400, "POST", "/v1/streams/a", `{`, json},
		{400, "POST", "/v1/streams/a", `[{"type":"T","data":1}`, json},
		{400, "POST", "/v1/streams/a", `[{"type":"T","data":1}] x`, json},
		{400, "POST", "/v1/streams/a", `{"type":"T"}`, json},
		{400, "POST", "/v1/streams/a", `{"data":1}`, json},
		{400, "POST", "/v1/streams/a", `{"type":"T","data":1,"color":"red"}`, json},
		{400, "POST", "/v1/streams/a", `{"stream":"b","type":"T","data":1}`, json},
		{400, "POST", "/v1/streams/a", `[{"type":"T","data":1,"id":"x"},{"type":"T","data":1,"id":"x"}]`, json},
		{400, "POST", "/v1/streams/a", `[{"type":"T","data":1,"expected_version":0},{"type":"T","data":1,"expected_version":0}]`, json},
		{400, "POST", "/v1/streams/a?expected=-1", `{"type":"T","data":1}`, json},
		{400, "POST", "/v1/streams/a?expected=1", `{"type":"T","data":1,"expected_version":2}`, json},
		{400, "POST", "/v1/streams/a", `{"specversion":"0.3","id":"1","source":"s","type":"T"}`, "Content-Type: application/cloudevents+json"},
		{400, "POST", "/v1/streams/a", `{"type":"T","data":1}`, "Content-Type: application/cloudevents+json"},
		{400, "POST", "/v1/streams/a", `[]`, "Content-Type: application/cloudevents+json"},
		{400, "POST", "/v1/streams/a", `{}`, "Content-Type: application/cloudevents-batch+json"},
		{400, "POST", "/v1/streams/a", `{"a":1}`, "ce-specversion: 1.0\nce-id: 1\nce-type: T"},
		{400, "POST", "/v1/streams/a", `not json`, "Content-Type: application/json\nce-specversion: 1.0\nce-id: 1\nce-source: s\nce-type: T"},
		{400, "POST", "/v1/streams/a", `{}`, "ce-specversion: 1.0\nce-id: %zz\nce-source: s\nce-type: T"},
		{403, "GET", "/v1/status", "", "Host: evil.example"},
		{403, "POST", "/v1/streams/a", `{"type":"T","data":1}`, json + "\nSec-Fetch-Site: cross-site"},
		{403, "POST", "/v1/streams/a", `{"type":"T","data":1}`, json + "\nOrigin: https://evil.example"},
	} {
		var headers []string
		if bad.headers != "" {
			headers = strings.Split(bad.headers, "\n")
		}
		a := c.send(bad.method, bad.path, bad.body, headers...)
		if a.status != bad.status {
			t.Errorf("%s %s %.80s: answered %d, want %d: %.300s", bad.method, bad.path, bad.body, a.status, bad.status, a.body)
			continue
		}
		a.problem(t)
		if a.header.Get("Content-Security-Policy") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Referrer-Policy") != "no-referrer" ||
			a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the headers are %v", bad.path, a.header)
		}
	}
	var log struct{ Events []struct{} }
	c.get("/v1/events").into(t, &log)
	if len(log.Events) != 0 {
		t.Errorf("%d events were stored", len(log.Events))
	}
	h.stop()
}

// TestAPIAppends appends in every form, twice, and against versions and ids that are taken.
func TestAPIAppends(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := newProject(t, storeURL, "api")
		h := p.host()
		c := newClient(t, h.ready())
		for i, form := range []struct{ headers, body, want string }{
			{"Content-Type: application/json", `{"type":"T","id":"%s","data":{"z": 1,  "a":2},"metadata":{"m":1}}`, `"data":{"z": 1,  "a":2},"metadata":{"m":1},"content_type":"application/json"`},
			{"Content-Type: application/json; charset=utf-8", `[{"type":"T","id":"%s","data":1}]`, `"data":1,"metadata":{}`},
			{"Content-Type: application/x-ndjson", `{"type":"T","id":"%s","data_base64":"AP8=","content_type":"x/y"}` + "\n\n", `"data_base64":"AP8=","metadata":{},"content_type":"x/y"`},
			{"Content-Type: application/cloudevents+json", `{"specversion":"1.0","id":"%s","source":"/s","subject":"other","type":"T","data":[1]}`, `"data":[1],"metadata":{"source":"/s","subject":"other"}`},
			{"Content-Type: application/cloudevents-batch+json", `[{"specversion":"1.0","id":"%s","source":"/s","type":"T"}]`, `"data":null,"metadata":{"source":"/s"}`},
			{"Content-Type: application/json\nce-specversion: 1.0\nce-source: /s%%C3%%A4\nce-type: T\nce-traceparent: x\nce-id: %s", `{"b":2}`, `"data":{"b":2},"metadata":{"source":"/sä","traceparent":"x"}`},
			{"Content-Type: text/plain\nce-specversion: 1.0\nce-source: /s\nce-type: T\nce-id: %s", `{"b":2}`, `"content_type":"text/plain"`},
		} {
			id, stream := fmt.Sprint("id-", i), fmt.Sprint("stream/", i)
			fill := func(s string) string {
				if strings.Contains(s, "%s") {
					return fmt.Sprintf(s, id)
				}
				return s
			}
			headers := strings.Split(fill(form.headers), "\n")
			path := "/v1/streams/" + url.PathEscape(stream)
			var first, second appendedAnswer
			c.send("POST", path+"?expected=none&stream_type=kind", fill(form.body), headers...).want(t, 201).into(t, &first)
			again := c.send("POST", path+"?expected=none", fill(form.body), headers...).want(t, 200)
			again.into(t, &second)
			if first.Version != 1 || second.Position != first.Position || !second.Events[0].Duplicate || second.Events[0].ID != id ||
				again.header.Get("Eshost-Position") != fmt.Sprint(first.Position) {
				t.Errorf("%s: first %+v, then %+v", form.headers, first, second)
			}
			if got := string(c.get(path).want(t, 200).body); !strings.Contains(got, form.want) || !strings.Contains(got, `"stream_type":"kind"`) {
				t.Errorf("%s: stored is %s", form.headers, got)
			}
			kind, _ := c.post(path, fmt.Sprintf(`{"type":"Other","id":%q,"data":0}`, id)).want(t, 409).problem(t)
			if kind != "id-conflict" {
				t.Errorf("a taken id is a %s", kind)
			}
		}
		var conflict struct{ Expected, Actual int }
		a := c.post("/v1/streams/stream%2F0?expected=5", `{"type":"T","data":1}`).want(t, 409)
		a.into(t, &conflict)
		if kind, _ := a.problem(t); kind != "version-conflict" || conflict.Expected != 5 || conflict.Actual != 1 {
			t.Errorf("got %s", a.body)
		}
		c.post("/v1/streams/stream%2F0?expected=1", `[{"type":"T","data":1},{"type":"T","data":2}]`).want(t, 201)
		c.post("/v1/streams/stream%2F0", `{"type":"T","data":3,"expected_version":3}`).want(t, 201)
		var page struct {
			Events []struct{ Version int }
			Next   string
		}
		c.get("/v1/streams/stream%2F0?after=1&limit=2").into(t, &page)
		if len(page.Events) != 2 || page.Events[0].Version != 2 {
			t.Errorf("got %+v", page)
		}
		next := c.get(page.Next).want(t, 200)
		if next.into(t, &page); len(page.Events) != 1 || page.Events[0].Version != 4 {
			t.Errorf("then %s", next.body)
		}
		h.stop()
	})
}

// TestAPIReadsOwnWrites reads what was just appended, through the plugin's own host and through another.
func TestAPIReadsOwnWrites(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		owner := newProject(t, storeURL, "owner", balancesPlugin(t))
		ownerHost := owner.host()
		own := newClient(t, ownerHost.ready())
		otherHost := newProject(t, storeURL, "other").host()
		other := newClient(t, otherHost.ready())
		const doc = "/v1/plugins/balances/documents/balances/acc-1"
		own.post("/v1/streams/acc-1", `{"type":"AccountOpened","data":{"owner":"Ada"}}`).want(t, 201)
		var last int64
		for i := range 20 {
			c := []*client{own, other}[i%2]
			var stored appendedAnswer
			c.post("/v1/streams/acc-1", `{"type":"Deposited","data":{"amount":1}}`).want(t, 201).into(t, &stored)
			last = stored.Position
			for _, c := range []*client{own, other} {
				a := c.get(fmt.Sprintf("%s?after=%d&timeout=1m", doc, last)).want(t, 200)
				if !strings.Contains(string(a.body), fmt.Sprintf(`"balance":%d,`, i+1)) || a.header.Get("Eshost-Checkpoint") != fmt.Sprint(last) || a.header.Get("Eshost-Age") == "" {
					t.Fatalf("after %d: %s %v", last, a.body, a.header)
				}
			}
		}
		tag := own.get(doc).header.Get("ETag")
		if a := other.get(doc, `If-None-Match: "x", `+tag); a.status != 304 || len(a.body) > 0 || a.header.Get("ETag") != tag {
			t.Errorf("the same document: %d %s", a.status, a.body)
		}
		kind, detail := own.get(fmt.Sprintf("%s?after=%d&timeout=1ms", doc, last+100)).want(t, 504).problem(t)
		if kind != "not-handled" || !strings.Contains(detail, "short of") {
			t.Errorf("a position that nobody wrote: %s", detail)
		}

		own.post("/v1/plugins/balances/pause?timeout=1m", `{"why":"lunch"}`).want(t, 200)
		var stored appendedAnswer
		own.post("/v1/streams/acc-1", `{"type":"Deposited","data":{"amount":1}}`).into(t, &stored)
		began := time.Now()
		for _, c := range []*client{own, other} {
			_, detail = c.get(fmt.Sprintf("%s?after=%d&timeout=5m", doc, stored.Position)).want(t, 504).problem(t)
			if !strings.Contains(detail, "lunch") || time.Since(began) > patience {
				t.Errorf("paused: %s", detail)
			}
		}
		own.post("/v1/plugins/balances/resume?timeout=1m", "").want(t, 200)
		own.get(fmt.Sprintf("%s?after=%d&timeout=1m", doc, stored.Position)).want(t, 200)

		own.post("/v1/streams/acc-2", `{"type":"Deposited","data":{"amount":"much"}}`).into(t, &stored)
		_, detail = other.get(fmt.Sprintf("%s?after=%d&timeout=5m", doc, stored.Position)).want(t, 504).problem(t)
		if !strings.Contains(detail, "parked") || !strings.Contains(detail, "acc-2") {
			t.Errorf("parked: %s", detail)
		}
		ownerHost.stop()
		own = other
		own.post("/v1/streams/acc-1", `{"type":"Deposited","data":{"amount":1}}`).into(t, &stored)
		_, detail = own.get(fmt.Sprintf("%s?after=%d&timeout=10ms", doc, stored.Position)).want(t, 504).problem(t)
		if !strings.Contains(detail, "no host runs it") {
			t.Errorf("without a host: %s", detail)
		}
		otherHost.stop()
	})
}

// TestAPIListsDocuments pages, filters and picks fields.
func TestAPIListsDocuments(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := newProject(t, storeURL, "api", balancesPlugin(t))
		h := p.host()
		c := newClient(t, h.ready())
		var stored appendedAnswer
		want := map[string]bool{}
		for i := range 57 {
			key := fmt.Sprintf("a/%02d", i)
			if i%3 == 0 {
				key = fmt.Sprintf("b %02d", i)
			}
			want[key] = true
			body := fmt.Sprintf(`[{"type":"AccountOpened","data":{"owner":"owner-%d"}},{"type":"Deposited","data":{"amount":%d}}]`, i%5, i+1)
			c.post("/v1/streams/"+url.PathEscape(key), body).want(t, 201).into(t, &stored)
		}
		// list follows the pages to the end.
		list := func(query string) (keys []string, scanned int, pages int) {
			for next := "/v1/plugins/balances/documents/balances?" + query; next != ""; pages++ {
				var page struct {
					Documents []struct {
						Key  string
						Data map[string]any
					}
					Scanned int
					Next    string
				}
				c.get(next).want(t, 200).into(t, &page)
				for _, d := range page.Documents {
					keys = append(keys, d.Key)
					if strings.Contains(query, "fields=owner") && (len(d.Data) != 1 || d.Data["owner"] == nil) {
						t.Errorf("fields: %v", d.Data)
					}
				}
				scanned += page.Scanned
				next = page.Next
			}
			return keys, scanned, pages
		}
		after := fmt.Sprintf("after=%d&timeout=1m", stored.Position)
		all, _, pages := list(after + "&limit=10&fields=owner")
		if len(all) != 57 || pages < 6 || !slices.IsSorted(all) {
			t.Errorf("%d keys on %d pages: %v", len(all), pages, all)
		}
		for _, key := range all {
			if !want[key] {
				t.Errorf("an unknown key %q", key)
			}
		}
		for query, n := range map[string]int{
			"prefix=b+": 19, "prefix=a%2F": 38, "prefix=c": 0, "where=owner:owner-1": 12, "where=owner:owner-1&limit=2": 12, "where=balance:57": 1,
			"where=balance:5.7e1": 1, `where=balance:"57"`: 0, `where=owner:"owner-1"`: 12, "where=owner:owner-1&where=balance:2": 1, "where=none:1": 0,
			"where=owner:owner-1&prefix=a&limit=1000": 8,
		} {
			if got, scanned, _ := list(query); len(got) != n || scanned < n {
				t.Errorf("%s: %d of %d: %v", query, len(got), scanned, got)
			}
		}
		h.stop()
	})
}

// eventSource is a stream of server-sent events.
type eventSource struct {
	t      *testing.T
	res    *http.Response
	in     *bufio.Reader
	cancel context.CancelFunc
}

type sent struct{ name, id, data string }

func (c *client) feed(path, lastID string) *eventSource {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", c.base+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %v %v", path, res, err)
	}
	return &eventSource{c.t, res, bufio.NewReader(res.Body), cancel}
}

func (f *eventSource) close() {
	f.cancel()
	_ = f.res.Body.Close()
}

// next returns the next event, those without data included.
func (f *eventSource) next() (sent, error) {
	var e sent
	for {
		line, err := f.in.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n" && e != (sent{}):
			return e, nil
		case name == "id":
			e.id = value
		case name == "event":
			e.name = value
		case name == "data":
			e.data = value
		}
	}
}

// TestAPIEventFeed follows the log through cut connections and restarts of the host.
func TestAPIEventFeed(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		s := openStore(t, storeURL)
		stopFeed := feed(t, s, newSource("", newSeed(t)))
		p := newProject(t, storeURL, "api")
		h := p.host()
		c := newClient(t, h.ready())
		var positions []int64
		last := "0"
		for cut := range 6 {
			f := c.feed("/v1/events?after=0", last)
			for range 40 {
				e, err := f.next()
				if err != nil {
					break
				}
				last = e.id
				if e.data == "" {
					continue
				}
				var event struct{ Position int64 }
				if err := json.Unmarshal([]byte(e.data), &event); err != nil || fmt.Sprint(event.Position) != e.id {
					t.Fatalf("got %+v: %v", e, err)
				}
				positions = append(positions, event.Position)
			}
			f.close()
			if cut%2 == 1 {
				h.stop()
				h = p.host()
				c = newClient(t, h.ready())
			}
		}
		stopFeed()
		var page struct {
			Events []struct{ Position int64 }
		}
		c.get("/v1/events?limit=1000").into(t, &page)
		if len(positions) < 100 {
			t.Errorf("only %d events came", len(positions))
		}
		for i, position := range positions {
			if position != page.Events[i].Position {
				t.Fatalf("event %d is at %d, in the log at %d", i, position, page.Events[i].Position)
			}
		}
		h.stop()
	})
}

// TestAPIChangeFeed keeps a copy of a read model by its changes, through cut connections, restarts of the
// host and another host's taking over, and compares it with the read model.
func TestAPIChangeFeed(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		s := openStore(t, storeURL)
		p := newProject(t, storeURL, "api", balancesPlugin(t))
		h := p.host()
		watcher := newProject(t, storeURL, "watcher").host()
		bases := []*client{newClient(t, h.ready()), newClient(t, watcher.ready())}
		stopFeed := feed(t, s, newSource("", newSeed(t)))
		copies := []map[string]string{{}, {}}
		lasts := []string{"", ""}
		resets, changes := make([]int, 2), make([]int, 2)
		follow := func(i int, until func(position int64) bool) {
			c := bases[i]
			f := c.feed("/v1/plugins/balances/changes", lasts[i])
			defer f.close()
			for {
				e, err := f.next()
				if err != nil {
					return
				}
				var d struct {
					Collection, Key string
					Data            json.RawMessage
					Deleted         bool
					Position        int64
				}
				if e.data == "" {
					continue
				}
				if err := json.Unmarshal([]byte(e.data), &d); err != nil {
					t.Errorf("%+v: %v", e, err)
					return
				}
				switch e.name {
				case "reset":
					resets[i]++
					copies[i] = documents(t, s, "balances", "balances")
				case "change":
					changes[i]++
					copies[i][d.Key] = string(d.Data)
				}
				if e.id != "" {
					lasts[i] = e.id
					if until(d.Position) {
						return
					}
				}
			}
		}
		for round := range 3 {
			n := 0
			follow(0, func(int64) bool { n++; return n > 5 })
			n = 0
			follow(1, func(int64) bool { n++; return n > 1 })
			if round == 1 {
				h.stop()
				h = p.host()
				bases[0] = newClient(t, h.ready())
			}
		}
		stopFeed()
		settledAt := finished(t, s, "balances")[0].Position
		for i := range bases {
			var told int64
			if _, err := fmt.Sscanf(lasts[i], "%d-", &told); err != nil {
				t.Fatalf("the id %q: %v", lasts[i], err)
			}
			if told < int64(settledAt) { // else nothing more is told
				follow(i, func(position int64) bool { return position >= int64(settledAt) })
			}
			compareDocuments(t, []string{"the owner's feed", "another host's feed"}[i], copies[i], documents(t, s, "balances", "balances"))
		}
		if changes[0] == 0 || resets[0] < 2 || changes[1] > 0 || resets[1] == 0 {
			t.Errorf("%v changes, %v resets", changes, resets)
		}
		h.stop()
		watcher.stop()
	})
}

const (
	readToken   = "read-0123456789abcdefghij"
	appendToken = "append-0123456789abcdefghij"
	adminToken  = "admin-0123456789abcdefghij"
)

// tokenProject has tokens of each scope, and TLS.
func tokenProject(t *testing.T, listen string) *project {
	t.Helper()
	p := newProject(t, newDatabase(t, "sqlite"), "api", balancesPlugin(t))
	cert, key := certificate(t)
	p.write("cert.pem", cert)
	p.write("key.pem", key)
	text := string(read(t, p.dir+"/hosts.toml"))
	text = strings.Replace(text, `listen = "127.0.0.1:0"`, fmt.Sprintf("listen = %q\nlog_level = \"debug\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"", listen), 1)
	for scope, token := range map[string]string{"read": readToken, "append": appendToken, "admin": adminToken} {
		text += fmt.Sprintf("\n[[host.tokens]]\nname = %q\ntoken = %q\nscopes = [%q]\n", scope+"-er", token, scope)
	}
	p.write("hosts.toml", text)
	return p
}

// certificate is one for this machine, signed by itself.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
}

// TestAPITokens tries each scope on each kind of request, over TLS and from every address.
func TestAPITokens(t *testing.T) {
	t.Parallel()
	p := tokenProject(t, "0.0.0.0:0")
	h := p.host()
	base := h.ready()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(base, "https://"))
	if err != nil || !strings.HasPrefix(base, "https://") {
		t.Fatalf("ready at %s: %v", base, err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, p.dir+"/cert.pem"))
	c := &client{t: t, base: "https://127.0.0.1:" + port, http: &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}}
	t.Cleanup(c.http.CloseIdleConnections)
	c.desc = newDescription(t, c.get("/openapi.json").want(t, 200).body)
	eventually(t, "the plugin has started", func() error {
		if a := c.get("/readyz"); a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	event := `{"type":"AccountOpened","data":{"owner":"Ada"}}`
	for _, r := range []struct{ method, path, scope, body string }{
		{"GET", "/healthz", "", ""}, {"GET", "/readyz", "", ""}, {"GET", "/openapi.json", "", ""},
		{"GET", "/metrics", "read", ""}, {"GET", "/v1/status", "read", ""}, {"GET", "/v1/plugins", "read", ""}, {"GET", "/v1/plugins/balances/documents", "read", ""},
		{"GET", "/v1/plugins/balances/parked", "read", ""}, {"GET", "/v1/events", "read", ""}, {"HEAD", "/v1/events", "read", ""},
		{"POST", "/v1/streams/a", "append", event},
		{"POST", "/v1/plugins/balances/pause", "admin", `{"why":"test"}`}, {"POST", "/v1/plugins/balances/resume", "admin", ""},
		{"POST", "/v1/plugins/balances/retry", "admin", ""}, {"POST", "/v1/reload", "admin", ""},
	} {
		for scope, token := range map[string]string{"none": "", "wrong": "nonsense-0123456789abcdefghij", "almost": readToken[:len(readToken)-1],
			"read": readToken, "append": appendToken, "admin": adminToken} {
			c.token = token
			a := c.send(r.method, r.path, r.body, "Content-Type: application/json")
			known := scope == "read" || scope == "append" || scope == "admin"
			switch {
			case r.scope == "" || scope == r.scope:
				if a.status >= 300 {
					t.Errorf("%s %s with %s: %d %s", r.method, r.path, scope, a.status, a.body)
				}
			case known && a.status != 403, !known && (a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer")):
				t.Errorf("%s %s with %s: %d %s", r.method, r.path, scope, a.status, a.body)
			}
		}
	}
	c.token = readToken
	a := c.get("/v1/status?token=" + appendToken)
	for what, text := range map[string]string{"the log": h.stderr.String() + h.stdout.String(), "an answer": string(a.body), "status": string(c.get("/v1/status").body),
		"metrics": string(c.get("/metrics").body)} {
		for _, token := range []string{readToken, appendToken, adminToken} {
			if strings.Contains(text, token) && what != "an answer" {
				t.Errorf("%s shows a token", what)
			}
		}
	}
	if c.get("/v1/status").header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security over TLS")
	}
	if !strings.Contains(h.stderr.String(), "token=read-er") {
		t.Error("the log does not name the token")
	}
	var asked struct{ Who string }
	c.token = adminToken
	if c.post("/v1/plugins/balances/pause?timeout=1m", `{"who":"ada"}`).want(t, 200).into(t, &asked); asked.Who != "ada (token admin-er)" {
		t.Errorf("asked by %q", asked.Who)
	}
	h.stop()
}

// TestAPIListenerIsRefused starts hosts that others could reach without a token.
func TestAPIListenerIsRefused(t *testing.T) {
	t.Parallel()
	for listen, more := range map[string]string{
		"0.0.0.0:0": "", "[::]:0": "", ":0": "", "192.0.2.1:7070": "",
		"127.0.0.1:0": "tls_cert = \"none.pem\"\ntls_key = \"none.pem\"\n",
	} {
		p := newProject(t, newDatabase(t, "sqlite"), "api")
		text := strings.Replace(string(read(t, p.dir+"/hosts.toml")), `listen = "127.0.0.1:0"`+"\n", fmt.Sprintf("listen = %q\n%s", listen, more), 1)
		p.write("hosts.toml", text)
		code, _, stderr := p.run("", "run")
		if want := map[bool]string{true: "needs a token", false: "certificate"}[more == ""]; code == 0 || !strings.Contains(stderr, want) || !strings.Contains(stderr, "hint:") {
			t.Errorf("%s: exit code %d: %s", listen, code, stderr)
		}
	}
}

// TestAPIActsOnOnePlugin asks one plugin for things and looks at another, which has the same sequences.
func TestAPIActsOnOnePlugin(t *testing.T) {
	t.Parallel()
	one, two := balancesPlugin(t), balancesPlugin(t)
	one.name, two.name = "one", "two"
	one.more, two.more = strings.ReplaceAll(one.more, "balances", "one"), strings.ReplaceAll(two.more, "balances", "two")
	p := newProject(t, newDatabase(t, "sqlite"), "api", one, two)
	h := p.host()
	c := newClient(t, h.ready())
	var stored appendedAnswer
	c.post("/v1/streams/acc", `[{"type":"Deposited","data":{"amount":"much"}},{"type":"Deposited","data":{"amount":1}}]`).want(t, 201).into(t, &stored)
	for _, name := range []string{"one", "two"} {
		c.get(fmt.Sprintf("/v1/plugins/%s/documents?after=%d&timeout=1m", name, stored.Position)).want(t, 504) // parked
	}
	// state is what others see of plugin two, without what only time changes.
	state := func() string {
		var v map[string]any
		c.get("/v1/plugins/two").into(t, &v)
		delete(v, "age_seconds")
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + string(c.get("/v1/plugins/two/parked/acc").body) + string(c.get("/v1/plugins/two/documents/balances").body)
	}
	before := state()
	for _, ask := range []struct{ action, body string }{
		{"retry", `{"key":"acc"}`}, {"retry", ""}, {"edit", `{"key":"acc","data":{"amount":4},"why":"x"}`}, {"pause", `{"why":"x"}`}, {"resume", ""},
		{"skip", `{"key":"acc","why":"x"}`},
	} {
		a := c.post("/v1/plugins/one/"+ask.action+"?timeout=1m", ask.body)
		if a.status != 200 && ask.action != "skip" { // nothing waits any more
			t.Errorf("%s: %d %s", ask.action, a.status, a.body)
		}
	}
	c.get("/v1/plugins/one/documents/balances/acc").want(t, 200)
	if after := state(); after != before {
		t.Errorf("plugin two was\n%s\nand is\n%s", before, after)
	}
	h.stop()
}
