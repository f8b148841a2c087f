package delivery

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// Feed hands out a plugin's events.
type Feed interface {
	// Next waits for and returns the events after a position that the plugin wants, at most limit of
	// them and about maxBytes, in position order. What it covers must be final. Events are not changed.
	Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error)
}

// State is what delivery needs of a store; see store.State for the contracts.
type State interface {
	// Acquire may return a lease beside an error: it is taken, and what it is for cannot be reached.
	Acquire(ctx context.Context, generation int64, hostID string) (store.Lease, error)
	Release(ctx context.Context, generation, epoch int64) error
	Commit(ctx context.Context, c store.Commit) error
	SetCondition(ctx context.Context, generation, epoch int64, c store.Condition) error
	Documents(ctx context.Context, generation int64, keys []store.DocumentKey) ([]event.Document, error)
	Scan(ctx context.Context, generation int64, o store.ScanOptions) ([]event.Document, error)
	Collections(ctx context.Context, generation int64) ([]string, error)
	Sequences(ctx context.Context, generation int64) ([]store.Sequence, error)
	Queued(ctx context.Context, generation int64, key string, limit int) ([]event.Event, error)
	Request(ctx context.Context, id int64) (store.Request, error)
	Replacements(ctx context.Context, plugin string) ([]store.Replacement, error)
	Replacement(ctx context.Context, plugin string, p event.Position) (store.Replacement, error)
	Paused(ctx context.Context, plugin string) (*store.Pause, error)
}

// Module makes instances of one compiled module.
type Module interface {
	// Digest is the SHA-256 of the module's bytes, in hex.
	Digest() string
	NewInstance(ctx context.Context) (Instance, error)
}

// Instance runs one event at a time.
type Instance interface {
	// Handle returns nil, an *event.Failure if the event could not be handled, or another error if
	// the host is in trouble.
	Handle(ctx context.Context, e *event.Event, attempt int, fx Effects) error
	// Spent reports that the instance must not be used again.
	Spent() bool
	Close(ctx context.Context) error
}

// Effects is what a handler can do to the world. Byte slices that come in are the guest's memory and
// are copied if kept; those that go out are never written to.
type Effects interface {
	Get(ctx context.Context, collection, key []byte) (value []byte, ok bool, err error)
	Set(collection, key, value []byte) error
	Delete(collection, key []byte) error
	// Scan lists documents. No guest is given more than 16 MiB at once, so a list of more than
	// scanBytes may be incomplete: it is refused anyhow.
	Scan(ctx context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error)
	// Emit takes e and its bytes over.
	Emit(e event.Emitted) error
}

// Options say how a plugin's events are delivered.
type Options struct {
	// Plugin is the plugin's name.
	Plugin string
	// Generation is the read model that is built, or one partition of it.
	Generation int64
	// Root is the generation's first partition, under which the documents of all are. Defaults to Generation.
	Root int64
	// Partition is which of Partitions, from 0, Generation is. Default to the only one.
	Partition, Partitions int
	// HostID owns the lease.
	HostID string
	// HeldUntil is the position up to which emitted events are dropped: another generation has emitted them.
	HeldUntil event.Position
	// Order gives an event's ordering key. Defaults to the event's stream.
	Order Order
	// Lanes is how many ordering keys may be handled at the same time. Defaults to the number of CPUs.
	Lanes int
	// LaneWork is how much handling a lane must have before another one is opened: splitting a batch
	// costs more than it saves below that. Defaults to 2ms.
	LaneWork time.Duration
	// MaxBatch is the most events a batch has. Defaults to DefaultMaxBatch.
	MaxBatch int
	// MaxBatchBytes is about how large a batch gets: its events, and likewise what it changes. Defaults to 16 MiB.
	MaxBatchBytes int
	// Attempts is how often an event is tried before its sequence is parked. Defaults to 5.
	Attempts int
	// FirstBackoff and MaxBackoff bound the pause between attempts; it doubles each time. They
	// default to 100ms and 30s.
	FirstBackoff, MaxBackoff time.Duration
	// MaxParked is how many events may wait in sequences; at that number the plugin pauses.
	// Defaults to 10000.
	MaxParked int
	// CacheBytes is about how much memory cached documents take. Defaults to 32 MiB.
	CacheBytes int
	// WhySlow is what Status says of a commit that takes long. Defaults to "the database is slow, or something holds a lock that
	// it needs".
	WhySlow string
	// Grace is how long work in flight may go on after a stop. Defaults to 10s.
	Grace time.Duration
	// Idle is after how long without events the plugin's instances are closed and its cache is emptied but for a
	// little. Defaults to 5s.
	Idle time.Duration
	// Rested, if set, is called when that has been done. It must not block.
	Rested func()
	// Committed, if set, is called after each commit with the plugin and its new checkpoint. It must not block.
	Committed func(plugin string, position event.Position)
	// Logger defaults to a silent one.
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
}

// DefaultMaxBatch is Options.MaxBatch's default: large enough that a document which changes often is
// written once for many events, small enough that a batch takes well under a second.
const DefaultMaxBatch = 20_000

const (
	firstBatch = 256 // the first batch, before anything is known about the plugin
	slowBatch  = time.Second
	slowCommit = 5 * time.Second // then Status says so
	retryPage  = 1_000           // the most queued events handled in one go
)

func (o Options) withDefaults() Options {
	if o.WhySlow == "" {
		o.WhySlow = "the database is slow, or something holds a lock that it needs"
	}
	if o.Root == 0 {
		o.Root = o.Generation
	}
	orDefault(&o.Partitions, 1)
	orDefault(&o.Lanes, runtime.NumCPU())
	orDefault(&o.LaneWork, 2*time.Millisecond)
	orDefault(&o.MaxBatch, DefaultMaxBatch)
	orDefault(&o.MaxBatchBytes, 16<<20)
	orDefault(&o.Attempts, 5)
	orDefault(&o.FirstBackoff, 100*time.Millisecond)
	orDefault(&o.MaxBackoff, 30*time.Second)
	orDefault(&o.MaxParked, 10_000)
	orDefault(&o.CacheBytes, 32<<20)
	orDefault(&o.Grace, 10*time.Second)
	orDefault(&o.Idle, 5*time.Second)
	if o.Order == nil {
		o.Order = ByStream
	}
	if o.Rested == nil {
		o.Rested = func() {}
	}
	if o.Committed == nil {
		o.Committed = func(string, event.Position) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return o
}

func orDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// pause is the wait before the next attempt after n failed ones.
func (o *Options) pause(n int) time.Duration {
	d := o.FirstBackoff
	for i := 1; i < n && d < o.MaxBackoff; i++ {
		d *= 2
	}
	return min(d, o.MaxBackoff)
}
