package redismodel_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/redismodel"
	"eshost/host/store"
	"eshost/host/store/sqlite"
)

// world is a log and a plugin's read model in Redis.
type world struct {
	t     *testing.T
	store *sqlite.Store
	redis *server
	gen   store.Generation
	n     int      // events appended
	types []string // that the plugin wants, all if there are none
	file  string   // of the log
}

func newWorld(t *testing.T) *world {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log.db")
	s, err := sqlite.Open(t.Context(), file, sqlite.Options{})
	check(t, err)
	w := &world{t: t, store: s, redis: startRedis(t), file: file}
	t.Cleanup(func() { _ = w.store.Close() })
	w.register("h1")
	w.register("h2")
	w.gen, err = s.EnsurePlugin(t.Context(), "p", 0, 1, "stream")
	check(t, err)
	return w
}

func (w *world) register(host string) {
	check(w.t, w.store.RegisterHost(w.t.Context(), store.Host{ID: host, Name: host, StartedAt: time.Now()}, time.Hour))
}

// append adds an event to a stream. Its data is what handler does with it.
func (w *world) append(stream, data string) {
	w.t.Helper()
	w.appendType(stream, data, "T")
}

func (w *world) appendType(stream, data, eventType string) {
	w.t.Helper()
	w.n++
	e := store.NewEvent{ID: fmt.Sprintf("e%d", w.n), Type: eventType, Data: []byte(data), ContentType: "text/plain"}
	res := w.store.Append(context.Background(), []store.AppendRequest{{Streams: []store.StreamAppend{{Stream: stream, Expected: store.AnyVersion, Events: []store.NewEvent{e}}}}})
	check(w.t, res[0].Err)
}

func (w *world) head() event.Position {
	tail := w.store.Tail(0)
	defer tail.Close()
	st, err := tail.Poll(context.Background(), 1)
	check(w.t, err)
	return st.Head
}

func (w *world) options() redismodel.Options {
	database, err := w.store.Identity(context.Background())
	check(w.t, err)
	return redismodel.Options{Plugin: "p", Database: database, Timeout: time.Minute,
		Start: func(context.Context) (event.Position, error) { return 0, nil },
		End:   func(context.Context) (event.Position, event.Position, error) { h := w.head(); return h, h, nil }}
}

func (w *world) model(o redismodel.Options) *redismodel.Model {
	return redismodel.New(w.store, w.store, w.redis.client(o.Timeout), o)
}

func (w *world) reader() redismodel.Reader {
	return redismodel.NewReader(w.redis.db, w.store, w.options())
}

// feed reads the store.
type feed struct{ w *world }

func (f feed) Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error) {
	for {
		if head := f.w.head(); head > after {
			return f.w.store.Read(ctx, store.ReadOptions{After: after, UpTo: head, Filter: event.Filter{Types: f.w.types}, Limit: limit, MaxBytes: maxBytes})
		}
		select {
		case <-ctx.Done():
			return event.Batch{}, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// handler is a module without a sandbox. An event's data is a list of words: "+COLLECTION/KEY" appends the event's id to
// a document, "-COLLECTION/KEY" deletes it, "fail" fails until the switch is turned.
type handler struct{ mend *sync.Map }

func (h handler) Digest() string                                         { return strings.Repeat("ab", 32) }
func (h handler) NewInstance(context.Context) (delivery.Instance, error) { return h, nil }
func (h handler) Spent() bool                                            { return false }
func (h handler) Close(context.Context) error                            { return nil }
func (h handler) Handle(ctx context.Context, e *event.Event, _ int, fx delivery.Effects) error {
	for word := range strings.FieldsSeq(string(e.Data)) {
		if word == "fail" {
			if _, mended := h.mend.Load(e.ID); !mended {
				return &event.Failure{Kind: event.FailReject, Message: "told to"}
			}
			continue
		}
		collection, key, _ := strings.Cut(word[1:], "/")
		if word[0] == '-' {
			if err := fx.Delete([]byte(collection), []byte(key)); err != nil {
				return err
			}
			continue
		}
		old, _, err := fx.Get(ctx, []byte(collection), []byte(key))
		if err != nil {
			return err
		}
		if err := fx.Set([]byte(collection), []byte(key), grown(old, e.ID)); err != nil {
			return err
		}
	}
	return nil
}

// grown is a document that one more event has written.
func grown(old []byte, id string) []byte {
	if len(old) == 0 {
		return fmt.Appendf(nil, "[%q]", id)
	}
	return fmt.Appendf(nil, "%s,%q]", bytes.TrimSuffix(old, []byte("]")), id)
}

// run delivers until the test or stop ends it.
func (w *world) run(m *redismodel.Model, host string, h handler) (r *delivery.Runner, stop func()) {
	state, from := delivery.State(m), m.Follow(feed{w})
	r = delivery.NewRunner(state, from, h, delivery.Options{Plugin: "p", Generation: w.gen.ID, HostID: host, MaxBatch: 50, Lanes: 2,
		FirstBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, Logger: logger(w.t)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for r.Run(ctx) != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return r, stop
}

// logger writes to the test's log.
func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// documents reads the whole read model, once it is ready at a position.
func (w *world) documents(at event.Position) map[string]string {
	w.t.Helper()
	r := w.reader()
	eventually(w.t, "ready at "+strconv.FormatInt(int64(at), 10), func() bool {
		p, err := r.Look(context.Background())
		return err == nil && p.State == redismodel.Ready && p.Position == at
	})
	all := map[string]string{}
	names, err := r.Collections(context.Background(), 0)
	check(w.t, err)
	for _, name := range names {
		o := store.ScanOptions{Collection: name, Limit: 3}
		for {
			docs, err := r.Scan(context.Background(), 0, o)
			check(w.t, err)
			for _, d := range docs {
				if d.Key <= o.After {
					w.t.Fatalf("key %q follows %q", d.Key, o.After)
				}
				all[d.Collection+"/"+d.Key], o.After = string(d.Data), d.Key
			}
			if len(docs) < o.Limit {
				break
			}
		}
	}
	return all
}

// want is what the log makes of the read model, handled one by one. Events of keys that have failed wait.
func (w *world) want() map[string]string {
	b, err := w.store.Read(context.Background(), store.ReadOptions{UpTo: w.head(), Filter: event.Filter{Types: w.types}, Limit: 1 << 20})
	check(w.t, err)
	all, failed := map[string]string{}, map[string]bool{}
	for _, e := range b.Events {
		if failed[e.Stream] = failed[e.Stream] || strings.Contains(string(e.Data), "fail"); failed[e.Stream] {
			continue
		}
		for word := range strings.FieldsSeq(string(e.Data)) {
			if word[0] == '-' {
				delete(all, word[1:])
			} else {
				all[word[1:]] = string(grown([]byte(all[word[1:]]), e.ID))
			}
		}
	}
	return all
}
