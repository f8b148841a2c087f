package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/internal/tail"
	"eshost/host/store"
)

// hosted is one plugin of this host: its section of hosts.toml, its module, and its runner once the
// store knows where it starts.
type hosted struct {
	conf   config.Plugin
	module *plugin.Module

	mu     sync.Mutex
	runner *delivery.Runner
	reason string // why there is no runner yet
}

// loadPlugin reads, checks and compiles a plugin's module. What is hashed is what is compiled.
func loadPlugin(ctx context.Context, engine *plugin.Engine, conf config.Plugin) (*hosted, error) {
	wasm, err := os.ReadFile(conf.Module)
	if err != nil {
		return nil, &Error{Subject: pluginSubject(conf.Name), Err: fmt.Errorf("read its module: %w", err),
			hint: fmt.Sprintf("build it, or correct plugins.%s.module in hosts.toml", conf.Name)}
	}
	m, err := engine.Load(ctx, wasm, plugin.Spec{
		Name:   conf.Name,
		Grants: conf.Allow,
		Config: conf.Config,
		Limits: plugin.Limits{Memory: uint64(conf.Limits.Memory), Time: conf.Limits.Time, EmitDepth: conf.Limits.EmitDepth},
	})
	if err != nil {
		return nil, moduleError(fmt.Sprintf("plugin %q: %s", conf.Name, conf.Module), err)
	}
	return &hosted{conf: conf, module: m, reason: "starting"}, nil
}

// run delivers until ctx ends.
func (p *hosted) run(ctx context.Context, h *Host) error {
	gen, err := p.place(ctx, h)
	if err != nil {
		return err
	}
	order, err := delivery.ParseOrder(string(p.conf.OrderBy))
	if err != nil {
		return &Error{Subject: pluginSubject(p.conf.Name), Err: err}
	}
	reader := h.tail.NewReader(event.Filter{Types: p.conf.Events})
	defer reader.Close()
	r := delivery.NewRunner(h.store, reader, module{p.module, p.conf.Limits.Memory}, delivery.Options{
		Plugin:       p.conf.Name,
		Generation:   gen.ID,
		HostID:       h.self.ID,
		Order:        order,
		Lanes:        p.conf.Lanes,
		LaneWork:     h.o.LaneWork,
		MaxBatch:     p.conf.Batch,
		Attempts:     p.conf.Retry.Attempts,
		FirstBackoff: p.conf.Retry.First,
		MaxBackoff:   p.conf.Retry.Longest,
		MaxParked:    p.conf.Retry.MaxParked,
		CacheBytes:   int(p.conf.Limits.Cache),
		Grace:        h.conf.Host.ShutdownTimeout,
		Logger:       h.log.With("plugin", p.conf.Name),
		Metrics:      h.deliveryMetrics,
		Committed:    h.o.Committed,
	})
	p.mu.Lock()
	p.runner, p.reason = r, ""
	p.mu.Unlock()
	r.Run(ctx)
	return nil
}

// place returns the plugin's live generation; a new plugin gets its first one at the configured start.
func (p *hosted) place(ctx context.Context, h *Host) (store.Generation, error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		gen, err := h.store.FindPlugin(ctx, p.conf.Name)
		if errors.Is(err, store.ErrNotFound) {
			var start event.Position
			if start, err = p.start(ctx, h); err == nil {
				gen, err = h.store.EnsurePlugin(ctx, p.conf.Name, start)
			}
		}
		if ctx.Err() != nil {
			return gen, ctx.Err()
		}
		if err == nil || errors.Is(err, ErrStart) {
			return gen, err
		}
		p.setReason(err.Error())
		h.log.Warn("cannot place the plugin in the store, trying again", "plugin", p.conf.Name, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// start returns the position a new plugin begins after. Invariant 1: it is final, since a checkpoint
// says that everything up to it is.
func (p *hosted) start(ctx context.Context, h *Host) (event.Position, error) {
	start := p.conf.Start
	if start.At == config.StartAtBeginning {
		return 0, nil
	}
	now, err := h.tail.Wait(ctx, func(tail.Status) bool { return true })
	if err != nil {
		return 0, err
	}
	at := now.Head
	if start.At == config.StartAtPosition {
		at = max(start.Position-1, 0)
	}
	if at > now.Head {
		return 0, &Error{Subject: pluginSubject(p.conf.Name),
			Err:  fmt.Errorf("%w: start = %d is beyond the log's end, position %d", ErrStart, start.Position, now.Head),
			hint: `use start = "end" to begin with the next event`}
	}
	p.setReason(fmt.Sprintf("waiting until every event up to position %d is final, to start there", at))
	if _, err := h.tail.Wait(ctx, func(s tail.Status) bool { return s.Watermark >= at }); err != nil {
		return 0, err
	}
	if start.At == config.StartAtTime {
		// Only now: an event that was still uncommitted could be the first of its time.
		before, err := h.store.PositionBefore(ctx, start.Time)
		if err != nil {
			return 0, fmt.Errorf("find where to start: %w", err)
		}
		at = min(at, before)
	}
	return at, nil
}

func (p *hosted) setReason(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reason = reason
}

func (p *hosted) status() delivery.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runner == nil {
		return delivery.Status{State: delivery.Starting, Reason: p.reason}
	}
	return p.runner.Status()
}

// wake makes a plugin that waits for its lease ask for it again.
func (p *hosted) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runner != nil {
		p.runner.Wake()
	}
}

func (p *hosted) waiting() bool { return p.status().State == delivery.Waiting }

// module and instance give the sandbox the shape that delivery wants.
type module struct {
	*plugin.Module
	memory int64 // limit of an instance, in bytes
}

func (m module) NewInstance(ctx context.Context) (delivery.Instance, error) {
	in, err := m.Module.NewInstance(ctx)
	if err != nil {
		return nil, err
	}
	return &instance{Instance: in, full: int(m.memory / 4 * 3)}, nil
}

// instance is replaced when its memory is nearly full: linear memory never shrinks, and a guest that
// leaks would fail at its limit. Not too often, since a new instance costs time.
type instance struct {
	*plugin.Instance
	full    int // bytes
	handled int // events
}

const recycleAfter = 10_000 // events at least

func (i *instance) Handle(ctx context.Context, e *event.Event, attempt int, fx delivery.Effects) error {
	i.handled++
	return i.Instance.Handle(ctx, e, attempt, fx)
}

func (i *instance) Spent() bool {
	return i.Instance.Spent() || i.handled >= recycleAfter && i.MemorySize() > i.full
}
