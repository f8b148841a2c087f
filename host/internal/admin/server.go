package admin

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eshost/host/event"
	"eshost/host/store"
)

// Host is the running host that the API belongs to.
type Host interface {
	// Status returns what the host does now.
	Status() Status
	// Log returns what is known of the log's end: the watermark and the head.
	Log() (watermark, head event.Position)
	// Age returns how long ago at most a read model with a checkpoint held everything there was.
	Age(checkpoint event.Position) time.Duration
	// Hurry has a plugin that this host runs, and that wants none of the new events, commit at once that it has passed
	// them.
	Hurry(plugin string)
	// Append stores events; see store.Log for its errors. Besides it fails with
	// an *OutcomeUnknownError and with ErrStopping.
	Append(ctx context.Context, req store.AppendRequest) ([]store.Recorded, error)
	// Follow returns a reader of final events of some types, or of all if there are none. It must be closed.
	Follow(types []string) Reader
}

// Reader waits for events.
type Reader interface {
	// Next waits for and returns the events after a position, or none and a higher UpTo.
	Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error)
	Close()
}

// Store is what the API reads of a store; see store.Store for the contracts.
type Store interface {
	Read(ctx context.Context, o store.ReadOptions) (event.Batch, error)
	Hosts(ctx context.Context) ([]store.Host, error)
	Plugins(ctx context.Context) ([]store.PluginStatus, error)
	// CountFailures completes what Plugins has returned for those that keep what waits elsewhere, and returns why it could
	// not, by plugin.
	CountFailures(ctx context.Context, plugins []store.PluginStatus) (unknown map[string]string)
	FindPlugin(ctx context.Context, plugin string) (store.Generation, error)
	Documents(ctx context.Context, generation int64, keys []store.DocumentKey) ([]event.Document, error)
	Scan(ctx context.Context, generation int64, o store.ScanOptions) ([]event.Document, error)
	SequenceWith(ctx context.Context, generation int64, p event.Position) (store.Sequence, error)
	Collections(ctx context.Context, generation int64) ([]string, error)
	Spans(ctx context.Context, generation int64) ([]store.ModuleSpan, error)
	Reloads(ctx context.Context, plugin string, limit int) ([]store.Reload, error)
	Generations(ctx context.Context, plugin string) ([]store.GenerationStatus, error)
}

// Options of Serve.
type Options struct {
	Host  Host
	Store Store
	// Operations changes plugins.
	Operations Operations
	// Changes hears of what the host's plugins commit.
	Changes *Changes
	// Metrics are served on /metrics.
	Metrics prometheus.Gatherer
	// Tokens let clients in. Without any, everybody who reaches the listener may do everything.
	Tokens []Token
	// Loopback refuses requests that name another host than this machine.
	Loopback bool
	// TLS, if set, is spoken on the listener.
	TLS *tls.Config
	// Logger defaults to a silent one.
	Logger *slog.Logger
	Limits Limits
}

// Limits bound what clients take of the host.
type Limits struct {
	// Body is the most bytes of a request. Defaults to 32 MiB.
	Body int64
	// Appends and AppendBytes bound the requests that append at the same time. Default to 1024 and 128 MiB.
	Appends     int
	AppendBytes int64
	// AppendTime is how long an append may wait for its turn and be written. Defaults to 30s.
	AppendTime time.Duration
	// Waits is how many requests may wait for a checkpoint at the same time. Defaults to 1024.
	Waits int
	// Feeds is how many streams of server-sent events there may be. Defaults to 128.
	Feeds int
	// Heartbeat is how often a silent stream gives a sign of life. Defaults to 15s.
	Heartbeat time.Duration
	// Scanned is how many documents a listing looks at before it gives a cursor. Defaults to 10000.
	Scanned int
	// Listed is about how many bytes of documents or events an answer has. Defaults to 8 MiB.
	Listed int
	// Poll is how often the store is asked how far another host's plugin is. Defaults to 100ms.
	Poll time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Body = cmp.Or(l.Body, 32<<20)
	l.Appends = cmp.Or(l.Appends, 1024)
	l.AppendBytes = cmp.Or(l.AppendBytes, 128<<20)
	l.AppendTime = cmp.Or(l.AppendTime, 30*time.Second)
	l.Waits = cmp.Or(l.Waits, 1024)
	l.Feeds = cmp.Or(l.Feeds, 128)
	l.Heartbeat = cmp.Or(l.Heartbeat, 15*time.Second)
	l.Scanned = cmp.Or(l.Scanned, 10_000)
	l.Listed = cmp.Or(l.Listed, 8<<20)
	l.Poll = cmp.Or(l.Poll, 100*time.Millisecond)
	return l
}

// readTime is how long a database may take to answer one request.
const readTime = 20 * time.Second

// server answers requests.
type server struct {
	o   Options
	log *slog.Logger
	// stopping ends when the host stops: what waits is answered then.
	stopping context.Context

	waits  places
	feeds  places
	queue  queue
	recent recent
}

func newServer(ctx context.Context, o Options) *server {
	o.Limits = o.Limits.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &server{o: o, log: o.Logger, stopping: ctx, waits: newPlaces(o.Limits.Waits), feeds: newPlaces(o.Limits.Feeds), queue: newQueue(o.Limits)}
}

// places are taken and given back; there are so many and no more.
type places chan struct{}

func newPlaces(n int) places { return make(places, n) }

func (p places) take() bool {
	select {
	case p <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p places) leave() { <-p }

// patient gives a request that waits the time for it, beyond what others have.
func patient(w http.ResponseWriter, wait time.Duration) {
	until := time.Now().Add(wait + time.Minute)
	control := http.NewResponseController(w)
	_ = errors.Join(control.SetReadDeadline(until), control.SetWriteDeadline(until)) // a connection always has deadlines
}

// Serve answers requests until ctx ends. It owns the listener.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	s := newServer(ctx, o)
	srv := &http.Server{
		Handler:           s.guard(s.mux()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		TLSConfig:         o.TLS,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() {
		if o.TLS != nil {
			done <- srv.ServeTLS(l, "", "")
			return
		}
		done <- srv.Serve(l)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(bye); err != nil {
		_ = srv.Close() // whoever is still connected tries again
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}
