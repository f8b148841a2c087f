package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eshost/host/event"
	"eshost/host/store"
)

// fakeHost is a host with one plugin, "p", whose documents and log are in memory.
type fakeHost struct {
	Store // what is not implemented panics

	mu        sync.Mutex
	gen       store.Generation
	status    []store.PluginStatus
	docs      []event.Document
	events    []event.Event
	grown     chan struct{}
	appending func(context.Context) error
	scans     []int
	finds     int
	found     func(finds int) // called after each look for the plugin, with their number
	startsAt  int             // the look that first finds it
	own       Status          // what the host says of itself
}

func newFakeHost() *fakeHost {
	gen := store.Generation{ID: 7, Plugin: "p", Number: 1}
	return &fakeHost{gen: gen, status: []store.PluginStatus{{Generation: gen, Condition: store.Condition{State: store.Running}, Owner: &store.Host{ID: "self", Live: true}}},
		own: Status{ID: "self", Plugins: []Plugin{{Name: "p"}}}, grown: make(chan struct{})}
}

func (h *fakeHost) Status() Status { return h.own }

func (h *fakeHost) Log() (watermark, head event.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return event.Position(len(h.events)), event.Position(len(h.events))
}

func (h *fakeHost) Age(event.Position) time.Duration { return 0 }

// Hurry has the plugin pass all events.
func (h *fakeHost) Hurry(plugin string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if plugin == "p" {
		h.gen.Position = max(h.gen.Position, event.Position(len(h.events)))
	}
}

// commit moves the plugin.
func (h *fakeHost) commit(changes *Changes, position event.Position) {
	h.mu.Lock()
	c := store.Commit{Generation: h.gen.ID, Expected: h.gen.Position, Position: position}
	h.gen.Position = position
	h.mu.Unlock()
	changes.Committed(&c)
}

func (h *fakeHost) Append(ctx context.Context, req store.AppendRequest) ([]store.Recorded, error) {
	if h.appending != nil {
		return nil, h.appending(ctx)
	}
	return []store.Recorded{{ID: "x", Stream: req.Streams[0].Stream, Version: 1, Position: 1}}, nil
}

func (h *fakeHost) FindPlugin(_ context.Context, plugin string) (store.Generation, error) {
	h.mu.Lock()
	h.finds++
	gen, finds := h.gen, h.finds
	h.mu.Unlock()
	if plugin != "p" || finds < h.startsAt {
		return store.Generation{}, store.ErrNotFound
	}
	if h.found != nil {
		h.found(finds)
	}
	return gen, nil
}

func (h *fakeHost) Plugins(context.Context) ([]store.PluginStatus, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.status), nil
}

func (h *fakeHost) CountFailures(context.Context, []store.PluginStatus) map[string]string { return nil }

func (h *fakeHost) Documents(_ context.Context, _ int64, keys []store.DocumentKey) ([]event.Document, error) {
	for _, d := range h.docs {
		if d.Key == keys[0].Key && d.Collection == keys[0].Collection {
			return []event.Document{d}, nil
		}
	}
	return nil, nil
}

func (h *fakeHost) Scan(_ context.Context, _ int64, o store.ScanOptions) ([]event.Document, error) {
	h.scans = append(h.scans, o.Limit)
	var found []event.Document
	for _, d := range h.docs {
		if d.Key > o.After && strings.HasPrefix(d.Key, o.Prefix) && len(found) < o.Limit {
			found = append(found, d)
		}
	}
	return found, nil
}

func (h *fakeHost) SequenceWith(context.Context, int64, event.Position) (store.Sequence, error) {
	return store.Sequence{}, store.ErrNotFound
}

func (h *fakeHost) add(size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event.Event{Position: event.Position(len(h.events) + 1), Stream: "s", Version: int64(len(h.events) + 1), ID: fmt.Sprint(len(h.events)), Type: "T",
		Data: []byte(`"` + strings.Repeat("x", size) + `"`), Metadata: []byte("{}")})
	close(h.grown)
	h.grown = make(chan struct{})
}

func (h *fakeHost) Follow([]string) Reader { return fakeReader{h} }

type fakeReader struct{ *fakeHost }

func (r fakeReader) Close() {}

func (r fakeReader) Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error) {
	for {
		r.mu.Lock()
		events, grown := r.events, r.grown
		r.mu.Unlock()
		if int(after) < len(events) {
			b := event.Batch{}
			for size := 0; int(after) < len(events) && len(b.Events) < limit && size < maxBytes; after++ {
				b.Events = append(b.Events, events[after])
				size += events[after].Size()
			}
			b.UpTo = after
			return b, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return event.Batch{}, ctx.Err()
		}
	}
}

// serve starts a server on a free port.
func serve(t *testing.T, h *fakeHost, o Options) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o.Host, o.Store, o.Changes, o.Metrics = h, h, cmpChanges(o.Changes), prometheus.NewRegistry()
	s := newServer(ctx, o)
	srv := httptest.NewServer(s.guard(s.mux()))
	t.Cleanup(func() { cancel(); srv.Close() })
	return srv.URL
}

func cmpChanges(c *Changes) *Changes {
	if c == nil {
		c = &Changes{}
	}
	return c
}

func request(t *testing.T, method, url, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}
