package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"eshost/host/event"
	"eshost/host/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWaitHurries waits for a plugin that has nothing to say of itself, since it wants none of the events.
func TestWaitHurries(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	h.add(1)
	url := serve(t, h, Options{})
	res := request(t, "GET", url+"/v1/plugins/p/documents/c/k?after=1&timeout=1m", "")
	if body := text(t, res); res.StatusCode != http.StatusNotFound || res.Header.Get(headerCheckpoint) != "1" { // there is no such document
		t.Errorf("%s at %q: %s", res.Status, res.Header.Get(headerCheckpoint), body)
	}
}

// TestWaitWakes reads after a commit that comes right after one of the looks for it. The host that makes the commit wakes
// who waits: nothing here happens by looking again after a while.
func TestWaitWakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ startsAt, commitsAfter int }{
		"before it waits":       {1, 1},
		"while it waits":        {1, 2},
		"of one that starts":    {2, 2},
		"of one that starts up": {2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, changes := newFakeHost(), &Changes{}
			h.startsAt = c.startsAt
			h.found = func(finds int) {
				if finds == c.commitsAfter {
					h.commit(changes, 1)
				}
			}
			url := serve(t, h, Options{Changes: changes, Limits: Limits{Poll: time.Hour}})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // far less than it may wait
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/plugins/p/documents/c/k?after=1&timeout=5m", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body := text(t, res); res.StatusCode != http.StatusNotFound || res.Header.Get(headerCheckpoint) != "1" { // there is no such document
				t.Errorf("%s at %q: %s", res.Status, res.Header.Get(headerCheckpoint), body)
			}
		})
	}
}

// TestRunningDigest shows the module that runs, also before it has made a commit.
func TestRunningDigest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ owner, running, want string }{
		"this host runs it":               {"self", "new", "new"},
		"another host runs it":            {"other", "new", "old"}, // as far as this one knows
		"this host does not know it yet":  {"self", "", "old"},
		"nobody runs it, this one has it": {"", "new", "old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFakeHost()
			p := &h.status[0]
			p.Digest, p.Owner = "old", nil
			if c.owner != "" {
				p.Owner = &store.Host{ID: c.owner, Live: true}
			}
			h.own.Plugins[0].Digest = c.running
			var got struct{ Plugins []PluginView }
			res := request(t, "GET", serve(t, h, Options{})+"/v1/plugins", "")
			if err := json.Unmarshal([]byte(text(t, res)), &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Plugins) != 1 || got.Plugins[0].Digest != c.want {
				t.Errorf("the plugins are %+v", got.Plugins)
			}
		})
	}
}

// TestQueueFull fills the queue of appends: by requests, and by bytes.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits Limits
		body   string
	}{
		"requests": {Limits{Appends: 2}, `{"type":"T","data":1}`},
		"bytes":    {Limits{AppendBytes: 100 << 10}, `{"type":"T","data":"` + strings.Repeat("x", 40<<10) + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFakeHost()
			inside, leave := make(chan struct{}), make(chan struct{})
			h.appending = func(context.Context) error { inside <- struct{}{}; <-leave; return ErrStopping }
			url := serve(t, h, Options{Limits: c.limits})
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if res := request(t, "POST", url+"/v1/streams/s", c.body); res.StatusCode != http.StatusServiceUnavailable {
						t.Errorf("a host that stops answers %s", res.Status)
					}
				})
				<-inside
			}
			res := request(t, "POST", url+"/v1/streams/s", c.body)
			if body := text(t, res); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "queue-full") {
				t.Errorf("a full queue answers %s: %s", res.Status, body)
			}
			if res := request(t, "GET", url+"/v1/plugins", ""); res.StatusCode != http.StatusOK {
				t.Errorf("meanwhile reading answers %s", res.Status)
			}
			close(leave)
			wg.Wait()
			h.appending = nil
			if res := request(t, "POST", url+"/v1/streams/s", c.body); res.StatusCode != http.StatusCreated {
				t.Errorf("then it answers %s", res.Status)
			}
		})
	}
}

// TestAppendInDoubt gives the ids back when nobody knows what became of the events.
func TestAppendInDoubt(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	h.appending = func(context.Context) error {
		return &OutcomeUnknownError{IDs: []string{"a", "b"}, Err: errors.New("gone")}
	}
	res := request(t, "POST", serve(t, h, Options{})+"/v1/streams/s", `{"type":"T","data":1}`)
	if body := text(t, res); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, `"ids":["a","b"]`) || strings.Contains(body, "gone") {
		t.Errorf("%s: %s", res.Status, body)
	}
}

// TestSlowClient reads nothing of its stream while another one reads everything.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	url := serve(t, h, Options{})
	slow, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "GET /v1/events?after=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
	quick := feedOf(t, url+"/v1/events?after=0", "")
	const events, size = 100, 200 << 10
	for range events {
		h.add(size)
	}
	for i := range events {
		if e := quick.next(t); e.id != fmt.Sprint(i+1) || len(e.data) < size {
			t.Fatalf("event %d has id %s and %d bytes", i+1, e.id, len(e.data))
		}
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	url := serve(t, h, Options{Limits: Limits{Heartbeat: 10 * time.Millisecond}})
	for _, path := range []string{"/v1/events", "/v1/plugins/p/changes"} {
		f := feedOf(t, url+path, "")
		f.comment(t)
	}
}

func TestFeedsAreBounded(t *testing.T) {
	t.Parallel()
	url := serve(t, newFakeHost(), Options{Limits: Limits{Feeds: 1}})
	feedOf(t, url+"/v1/events", "")
	r, _ := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/plugins/p/changes", nil)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("the second stream is answered %s", res.Status)
	}
}

// TestChanges follows commits, comes back to where it was, and is told to begin anew where that cannot be.
func TestChanges(t *testing.T) {
	t.Parallel()
	h, changes := newFakeHost(), &Changes{}
	url := serve(t, h, Options{Changes: changes})
	commit := func(expected, position event.Position, writes ...event.DocumentWrite) {
		h.mu.Lock()
		h.gen.Position = position
		h.mu.Unlock()
		changes.Committed(&store.Commit{Generation: 7, Expected: expected, Position: position, Documents: writes})
	}
	write := func(key, data string) event.DocumentWrite {
		d := event.DocumentWrite{Collection: "c", Key: key, Position: 1}
		if data != "" {
			d.Data = []byte(data)
		}
		return d
	}
	commit(0, 1, write("before", "1"))
	f := feedOf(t, url+"/v1/plugins/p/changes", "")
	f.want(t, "reset", `"position":1`)
	commit(1, 2, write("a", "1"), write("b", "2"))
	f.want(t, "change", `"key":"a","position":1,"data":1`)
	f.want(t, "change", `"key":"b"`)
	at := f.want(t, "checkpoint", `"position":2`)
	commit(2, 2, write("b", "3")) // a retry moves no checkpoint
	f.want(t, "change", `"data":3`)
	f.want(t, "checkpoint", `"position":2`)

	commit(2, 3, write("a", ""), write("b", "4"))
	commit(3, 4, write("b", "5"))
	f = feedOf(t, url+"/v1/plugins/p/changes", at)
	f.want(t, "change", `"key":"a","position":1,"deleted":true`)
	f.want(t, "change", `"data":5`) // the last of three
	at = f.want(t, "checkpoint", `"position":4`)
	f = feedOf(t, url+"/v1/plugins/p/changes?after=3", "")
	f.want(t, "change", `"key":"a"`)

	f = feedOf(t, url+"/v1/plugins/p/changes", at)
	commit(9, 10, write("a", "1")) // another host was the owner in between
	f.want(t, "reset", `"reason":"behind"`)
	f = feedOf(t, url+"/v1/plugins/p/changes", at)
	at = f.want(t, "reset", `"position":10`)
	changes.Unsure(7)
	f.want(t, "reset", `"position":10`)
	for i := range keptWrites + 10 {
		commit(event.Position(10+i), event.Position(11+i), write("a", "1"))
	}
	f = feedOf(t, url+"/v1/plugins/p/changes", at)
	f.want(t, "reset", "begin")
	if n := len(changes.log(7).kept); n > keptWrites {
		t.Errorf("%d commits are kept", n)
	}

	h.mu.Lock()
	h.status[0].Owner = &store.Host{ID: "other", Live: true}
	h.status[0].Position, h.gen.Position = 9000, 9000
	h.mu.Unlock()
	f.want(t, "reset", `"reason":"another host's plugin"`)
	h.mu.Lock()
	h.gen.ID, h.gen.Number = 8, 2
	h.status[0].Generation = h.gen
	h.mu.Unlock()
	f.want(t, "reset", `"generation":2`)
}

// TestListingIsBounded looks for what is not there among more documents than one request may look at.
func TestListingIsBounded(t *testing.T) {
	t.Parallel()
	h := newFakeHost()
	for i := range 1000 {
		h.docs = append(h.docs, event.Document{Collection: "c", Key: fmt.Sprintf("%04d", i), Data: []byte(fmt.Sprintf(`{"n":%d,"long":%q}`, i, strings.Repeat("x", 1000)))})
	}
	url := serve(t, h, Options{Limits: Limits{Scanned: 100, Listed: 20_000}})
	pages, found, next := 0, 0, "/v1/plugins/p/documents/c?where=n:999"
	for ; next != ""; pages++ {
		var page struct {
			Documents []struct{ Key string }
			Scanned   int
			Next      string
		}
		if err := json.Unmarshal([]byte(text(t, request(t, "GET", url+next, ""))), &page); err != nil {
			t.Fatal(err)
		}
		if page.Scanned > 100 {
			t.Errorf("a page looked at %d documents", page.Scanned)
		}
		found += len(page.Documents)
		next = page.Next
	}
	if found != 1 || pages < 10 {
		t.Errorf("found %d on %d pages", found, pages)
	}
	if body := text(t, request(t, "GET", url+"/v1/plugins/p/documents/c?limit=1000", "")); len(body) > 25_000 || !strings.Contains(body, `"next"`) {
		t.Errorf("a page has %d bytes", len(body))
	}
}

// TestPanic answers for a handler that panics, and says nothing of why.
func TestPanic(t *testing.T) {
	t.Parallel()
	h := newFakeHost() // Spans is not implemented
	var log lockedBuffer
	url := serve(t, h, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	h.status[0].Number = 1
	res := request(t, "GET", url+"/v1/plugins/p", "")
	if body := text(t, res); res.StatusCode != http.StatusInternalServerError || !strings.Contains(body, "urn:eshost:problem:internal") || strings.Contains(body, "nil pointer") {
		t.Errorf("%s: %s", res.Status, body)
	}
	if !strings.Contains(log.String(), "nil pointer") || !strings.Contains(log.String(), "path=/v1/plugins/p") {
		t.Errorf("the log is %s", log.String())
	}
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// TestEveryRouteNeedsItsScope asks for every route without a token and with one of no use.
func TestEveryRouteNeedsItsScope(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdefghij"
	o := Options{Tokens: []Token{{Name: "none", SHA256: sha256.Sum256([]byte(token))}}}
	url := serve(t, newFakeHost(), o)
	for _, route := range newServer(t.Context(), o).routes() {
		path := strings.NewReplacer("{plugin}", "p", "{collection}", "c", "{key...}", "k", "{stream...}", "s", "{$}", "", "{file}", "none").Replace(route.path)
		for header, want := range map[string]int{"": 401, "Basic " + token: 401, "Bearer " + token + "x": 401, "Bearer": 401, "Bearer " + token: 403} {
			r, err := http.NewRequestWithContext(t.Context(), route.method, url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if header != "" {
				r.Header.Set("Authorization", header)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if refused := res.StatusCode == 401 || res.StatusCode == 403; route.scope == "" && refused || route.scope != "" && res.StatusCode != want {
				t.Errorf("%s %s with %q: %s", route.method, path, header, res.Status)
			}
		}
	}
}

func TestOnlyAndWhere(t *testing.T) {
	t.Parallel()
	doc := []byte(`{"b": 1.50, "a":{"x":[1, 2]},"b2":"two","yes":true,"nil":null,"b":100}`)
	for fields, want := range map[string]string{"a": `{"a":{"x":[1, 2]}}`, "b2 none a": `{"b2":"two","a":{"x":[1, 2]}}`, "a a": `{"a":{"x":[1, 2]}}`, "none": `{}`, "b": `{"b":100}`} {
		if got := string(only(doc, strings.Fields(fields))); got != want {
			t.Errorf("%s: got %s", fields, got)
		}
	}
	if got := string(only([]byte(`[1]`), []string{"a"})); got != "{}" {
		t.Errorf("of a list: %s", got)
	}
	for where, want := range map[string]bool{"b:100": true, "b:1e2": true, "b:100.0": true, "b:10": false, `b:"100"`: false, "b2:two": true, `b2:"two"`: true, "b2:Two": false,
		"yes:true": true, "yes:tru": false, "nil:null": true, "none:null": false, "a:": false, "b2:": false, "big:9007199254740993": true, "big:9007199254740992": false} {
		c, err := parseWhere(where)
		if got := c.holds([]byte(`{"big":9007199254740993,` + string(doc[1:]))); err != nil || got != want {
			t.Errorf("%s: %v, %v", where, got, err)
		}
	}
}
