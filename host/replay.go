package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/internal/trial"
	"eshost/host/store"
)

// ReplayOptions say which part of the log a module is run over, in memory.
type ReplayOptions struct {
	After event.Position // the events above it; the read model is empty there
	UpTo  event.Position // and up to it. It must be at or below the watermark
	// Progress, if set, is called now and then with how far the replay is.
	Progress func(event.Position)
	// Logger gets what the sandbox itself has to say. Defaults to a silent one.
	Logger *slog.Logger
}

// ReplayedEvent names an event of the log, and how its handling failed if it did.
type ReplayedEvent struct {
	Position event.Position
	Type     string
	Stream   string
	ID       string
	Failure  *event.Failure
}

// Projection is a read model as it was, or would have been, at a position.
type Projection struct {
	Digest    string // of the module
	Position  event.Position
	Events    int              // that were given to the module
	Documents []event.Document // by collection and key, in byte order
	Failed    []ReplayedEvent  // the first ones
	Failures  int              // all of them
	Waiting   int              // events that wait behind a failed one
}

// maxReplayed is how many events a report names.
const maxReplayed = 1000

// Project runs a plugin's module over the log, in memory: what it emits is thrown away and nothing is stored. It takes the
// section's events, order_by, allow, attempts, limits and config, and the data that people have put in the place of events'.
func Project(ctx context.Context, s store.Store, conf config.Plugin, wasm []byte, o ReplayOptions) (*Projection, error) {
	r, err := newReplayer(ctx, s, conf, o, wasm)
	if err != nil {
		return nil, err
	}
	p := &Projection{Digest: digestOf(wasm), Position: o.UpTo}
	err = r.run(ctx, func(e *event.Event) error {
		out, err := r.replicas[0].Handle(ctx, e)
		if err != nil {
			return err
		}
		p.Events++
		switch {
		case out.Failure != nil:
			if p.Failures++; len(p.Failed) < maxReplayed {
				p.Failed = append(p.Failed, replayed(e, &out))
			}
		case out.Behind != 0:
			p.Waiting++
		}
		return nil
	})
	if err == nil {
		p.Documents = r.replicas[0].Documents()
	}
	if err = errors.Join(explainStart(conf.Module, err), r.close(ctx)); err != nil {
		return nil, err
	}
	return p, nil
}

func replayed(e *event.Event, out *trial.Outcome) ReplayedEvent {
	return ReplayedEvent{e.Position, e.Type, e.Stream, e.ID, out.Failure}
}

// LiveModule returns the module that a plugin runs now: the one in its file, or the one in the store that stands in for
// it or made the read model last. exact is false where that one is at hand nowhere and the one in the file is returned.
func LiveModule(ctx context.Context, s store.State, conf *config.Plugin) (wasm []byte, exact bool, err error) {
	wasm, _, fileErr := readModule(conf.Module)
	if fileErr != nil {
		fileErr = &Error{Subject: pluginSubject(conf.Name), Err: fmt.Errorf("read its module: %w", fileErr), hint: fmt.Sprintf("build it, or correct plugins.%s.module in hosts.toml", conf.Name)}
	}
	declared := digestOf(wasm)
	digest, err := liveDigest(ctx, s, conf.Name, declared)
	switch {
	case err != nil:
		return nil, false, err
	case digest == "" || digest == declared:
		return wasm, true, fileErr
	}
	stored, err := s.Module(ctx, digest)
	if errors.Is(err, store.ErrNotFound) {
		return wasm, false, fileErr
	}
	return stored, true, err
}

// liveDigest is that of the module that stands in for the declared one or made the last commit, "" if nothing has.
func liveDigest(ctx context.Context, s store.State, name, declared string) (string, error) {
	gen, err := s.FindPlugin(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	in, err := s.FindStandIn(ctx, name)
	if err != nil || in.Digest != "" && in.InsteadOf == declared {
		return in.Digest, err
	}
	all, err := s.Generations(ctx, name)
	for i := range all {
		if all[i].ID == gen.ID {
			return all[i].Digest, err
		}
	}
	return "", err
}

// replayer runs one or more modules over the same events, each on a read model of its own in memory.
type replayer struct {
	store    store.Store
	conf     config.Plugin
	o        ReplayOptions
	engine   *plugin.Engine
	modules  []*plugin.Module
	replicas []*trial.Replica
	edited   map[event.Position]bool
}

// newReplayer loads the modules. Close it.
func newReplayer(ctx context.Context, s store.Store, conf config.Plugin, o ReplayOptions, wasm ...[]byte) (*replayer, error) {
	order, err := delivery.ParseOrder(string(conf.OrderBy))
	if err != nil {
		return nil, &Error{Subject: pluginSubject(conf.Name), Err: err}
	}
	conf.SHA256 = "" // the pin is for what goes live
	r := &replayer{store: s, conf: conf, o: o, edited: make(map[event.Position]bool)}
	logs := &trialLogs{engine: o.Logger}
	if o.Logger == nil {
		logs.engine = slog.New(slog.DiscardHandler)
	}
	if r.engine, err = plugin.NewEngine(ctx, engineOptions("", slog.New(logs))); err != nil {
		return nil, &Error{Subject: "sandbox", Err: err}
	}
	edits, err := s.Replacements(ctx, conf.Name)
	for i := range edits {
		r.edited[edits[i].Position] = true
	}
	for _, w := range wasm {
		var m *plugin.Module
		if err == nil {
			if m, err = compileModule(ctx, r.engine, conf, w); err == nil {
				r.modules = append(r.modules, m)
				sandboxed := trialModule{module{Module: m, memory: conf.Limits.Memory, pool: new(pool)}}
				r.replicas = append(r.replicas, trial.NewReplica(sandboxed, trial.Options{Key: order, Attempts: conf.Retry.Attempts, Partitioned: conf.Partitions > 1}))
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.close(ctx))
	}
	return r, nil
}

// replayWindow is how many positions one statement looks through at most.
const replayWindow = 200_000

// run reads the events one part after the other: it holds no more of the log than one part.
func (r *replayer) run(ctx context.Context, each func(e *event.Event) error) error {
	for after := r.o.After; after < r.o.UpTo; {
		b, err := r.store.Read(ctx, store.ReadOptions{After: after, UpTo: min(r.o.UpTo, after+replayWindow),
			Filter: event.Filter{Types: r.conf.Events}, Limit: 1000, MaxBytes: 8 << 20})
		if err != nil {
			return fmt.Errorf("read events after %d: %w", after, err)
		}
		for i := range b.Events {
			e, err := r.asEdited(ctx, &b.Events[i])
			if err == nil {
				err = each(e)
			}
			if err != nil {
				return err
			}
		}
		after = b.UpTo
		if r.o.Progress != nil {
			r.o.Progress(after)
		}
	}
	return nil
}

// asEdited returns an event as the plugin gets it.
func (r *replayer) asEdited(ctx context.Context, e *event.Event) (*event.Event, error) {
	if !r.edited[e.Position] {
		return e, nil
	}
	with, err := r.store.Replacement(ctx, r.conf.Name, e.Position)
	if err != nil {
		return nil, fmt.Errorf("read what replaces event %d: %w", e.Position, err)
	}
	other := *e
	other.Data = with.Data
	return &other, nil
}

func (r *replayer) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	for _, replica := range r.replicas {
		replica.Close()
	}
	var errs []error
	for _, m := range r.modules {
		errs = append(errs, m.Close(ctx))
	}
	if err := errors.Join(append(errs, r.engine.Close(ctx))...); err != nil {
		return fmt.Errorf("close the sandbox: %w", err)
	}
	return nil
}
