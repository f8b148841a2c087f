package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"eshost/host/store"
)

// collector is a fake one of OpenTelemetry's, which takes OTLP over HTTP in JSON and keeps the spans.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []span
	wrong []string
}

// span is the part of OTLP's Span that a host sends.
type span struct {
	TraceID           string `json:"traceId"`
	SpanID            string `json:"spanId"`
	Name              string
	Kind              int
	StartTimeUnixNano string
	EndTimeUnixNano   string
	Attributes        []struct {
		Key   string
		Value struct{ StringValue, IntValue string }
	}
	Links []struct {
		TraceID string `json:"traceId"`
		SpanID  string `json:"spanId"`
	}
	DroppedLinksCount int
	Status            struct {
		Code    int
		Message string
	}
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			ResourceSpans []struct {
				Resource   struct{ Attributes []any }
				ScopeSpans []struct {
					Scope struct{ Name string }
					Spans []span
				}
			}
		}
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		err := d.Decode(&request)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			c.wrong = append(c.wrong, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header, " ", err))
		}
		for _, rs := range request.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(c.Close)
	return c
}

// TestTraces has a host send its batches to a collector, linked to where their events were made.
func TestTraces(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		c := newCollector(t)
		p := newProject(t, storeURL, "h", plugin{"balances", balancesModule(t, "rust"), `events = ["AccountOpened", "Crash"]`},
			plugin{"fails", absolute(t, filepath.Join(root, "host", "internal", "plugin", "testdata", "behave.wasm")),
				"events = [\"Crash\"]\n[plugins.fails.retry]\nattempts = 2\nbackoff = \"1ms..1ms\"\n"})
		p.put("hosts.toml", append(read(t, filepath.Join(p.dir, "hosts.toml")), fmt.Appendf(nil, "\n[telemetry]\notlp = %q\n", c.URL)...))
		s := openStore(t, storeURL)
		const events = 300 // more than a span's links
		made := func(i int) string { return fmt.Sprintf("%032x-%016x", i+1, i+1) }
		for i := range events {
			e := store.NewEvent{Type: "AccountOpened", Data: []byte(`{"owner":"Ada"}`), Metadata: fmt.Appendf(nil, `{"traceparent":"00-%s-01"}`, made(i))}
			if i == 7 {
				e = store.NewEvent{Type: "Crash", ContentType: "text/plain", Data: []byte("unreachable"), Metadata: e.Metadata}
			}
			a := store.StreamAppend{Stream: fmt.Sprint("acc-", i), Expected: store.AnyVersion, Events: []store.NewEvent{e}}
			if err := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{a}}})[0].Err; err != nil {
				t.Fatal(err)
			}
		}
		h := p.host()
		h.ready()
		finished(t, s, "balances", "fails")
		h.stop() // it sends what is left
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, wrong := range c.wrong {
			t.Errorf("the collector was sent %s", wrong)
		}
		linked, dropped, retries := map[string]int{}, 0, 0
		for _, s := range c.spans {
			checkSpan(t, s)
			if s.Name == "batch balances" {
				dropped += s.DroppedLinksCount
				for _, l := range s.Links {
					linked[l.TraceID+"-"+l.SpanID]++
				}
			}
			if s.Name == "retry fails" && len(s.Links) == 1 && s.Links[0].TraceID+"-"+s.Links[0].SpanID == made(7) {
				retries++
			}
		}
		if len(linked)+dropped != events || len(linked) < 128 {
			t.Errorf("%d events are linked to and %d counted, want %d", len(linked), dropped, events)
		}
		for i := range events {
			if n := linked[made(i)]; n > 1 {
				t.Errorf("event %d is linked to from %d batches", i, n)
			}
		}
		if retries != 1 {
			t.Errorf("%d retries lead to the event that failed, want 1", retries)
		}
	})
}

func checkSpan(t *testing.T, s span) {
	t.Helper()
	start, err1 := strconv.ParseInt(s.StartTimeUnixNano, 10, 64)
	end, err2 := strconv.ParseInt(s.EndTimeUnixNano, 10, 64)
	if err1 != nil || err2 != nil || start <= 0 || end < start || end-start > patience.Nanoseconds() {
		t.Errorf("%s lasts from %s to %s", s.Name, s.StartTimeUnixNano, s.EndTimeUnixNano)
	}
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(s.TraceID) || !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(s.SpanID) || s.Kind != 5 || len(s.Links) > 128 || s.Status.Code != 0 {
		t.Errorf("the span is %+v", s)
	}
	have := map[string]string{}
	for _, a := range s.Attributes {
		have[a.Key] = a.Value.StringValue + a.Value.IntValue
	}
	for _, key := range []string{"eshost.plugin", "eshost.generation", "eshost.position.after", "eshost.position.last", "eshost.module"} {
		if have[key] == "" {
			t.Errorf("the span %s has no %s", s.Name, key)
		}
	}
}

// TestTracesWithoutCollector has a collector that is not there hold up nothing.
func TestTracesWithoutCollector(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	c.Close()
	storeURL := newDatabase(t, "sqlite")
	p := newProject(t, storeURL, "h", plugin{"balances", balancesModule(t, "rust"), `events = ["AccountOpened", "Deposited", "Withdrawn"]`})
	p.put("hosts.toml", append(read(t, filepath.Join(p.dir, "hosts.toml")), fmt.Appendf(nil, "\n[telemetry]\notlp = %q\n", c.URL)...))
	s := openStore(t, storeURL)
	h := p.host()
	h.ready()
	p.must("append", absolute(t, filepath.Join(balances, "testdata", "events.ndjson")))
	settled(t, s, "balances")
	eventually(t, "the log says so", func() error {
		if !regexp.MustCompile(`level=WARN msg="cannot send traces`).MatchString(h.stderr.String()) {
			return fmt.Errorf("it says %s", h.stderr.tail())
		}
		return nil
	})
	h.stop()
}
