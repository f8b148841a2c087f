package redismodel

import (
	"context"
	"log/slog"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// State is what a read model in Redis leaves in the database; see store.State for the contracts.
type State interface {
	Acquire(ctx context.Context, generation int64, hostID string) (store.Lease, error)
	Release(ctx context.Context, generation, epoch int64) error
	Commit(ctx context.Context, c store.Commit) error
	NotePosition(ctx context.Context, n store.Note) error
	SetCondition(ctx context.Context, generation, epoch int64, c store.Condition) error
	AnswerRequest(ctx context.Context, generation, epoch int64, a store.Answer) error
	Request(ctx context.Context, id int64) (store.Request, error)
	Replacements(ctx context.Context, plugin string) ([]store.Replacement, error)
	Replacement(ctx context.Context, plugin string, p event.Position) (store.Replacement, error)
	Paused(ctx context.Context, plugin string) (*store.Pause, error)
}

// Log is what is read of the events table.
type Log interface {
	Read(ctx context.Context, o store.ReadOptions) (event.Batch, error)
}

// Options say where a plugin's read model is kept and where it begins.
type Options struct {
	// Plugin is the plugin's name.
	Plugin string
	// Database is the identity of the database whose log it is made of; see store.Store.
	Database string
	// Prefix begins all keys. Defaults to "eshost".
	Prefix string
	// Start returns the position after which the read model begins when it is built anew.
	Start func(ctx context.Context) (event.Position, error)
	// Filter is what the plugin wants of the log.
	Filter event.Filter
	// End returns the watermark and the highest position handed out, as seen by a look that begins after the call.
	End func(ctx context.Context) (watermark, head event.Position, err error)
	// Look is how often a read model for which nothing happens is looked at. Defaults to 2s.
	Look time.Duration
	// Timeout bounds each call. Defaults to 10s.
	Timeout time.Duration
	// BegunAnew, if set, is called when what readers knew of the generation is gone. It must not block.
	BegunAnew func(generation int64)
	// Logger defaults to a silent one.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Look <= 0 {
		o.Look = 2 * time.Second
	}
	if o.BegunAnew == nil {
		o.BegunAnew = func(int64) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// DefaultPrefix is Options.Prefix's default.
const DefaultPrefix = "eshost"
