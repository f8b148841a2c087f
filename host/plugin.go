package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/admin"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/internal/redismodel"
	"eshost/host/internal/tail"
	"eshost/host/store"
)

// hosted is one plugin of this host: its section of hosts.toml, its module, and its runner once the
// store knows where it starts.
type hosted struct {
	conf  config.Plugin
	stamp os.FileInfo // of the module's file when it was last read; the reloader owns it
	known bool        // it takes the place of one that was located: the other hosts are to leave it here

	ctx    context.Context         // of run
	cancel context.CancelCauseFunc // ends it
	placed chan struct{}           // closed when run knows where the plugin starts
	done   chan struct{}           // closed when run has returned
	failed error                   // why run cannot go on; read it when done is closed

	// Of run, and of what it calls.
	gen       store.Generation // the live one
	heldUntil event.Position

	halt       halt        // where all partitions stop
	aligning   sync.Mutex  // of who has set it
	resizing   atomic.Bool // the partitions are being changed
	tries      attempts    // to change them; of who does so, or of watchLeases
	astray     atomic.Bool // another generation may be the live one
	wantsBuild atomic.Bool // the module was changed while no host ran, and is to build the read model anew

	mu         sync.Mutex
	declared   string                      // digest of the module in the file
	build      *build                      // beside the live generation, nil if there is none
	taken      map[int64]bool              // requests about generations that are being carried out
	interludes []func(ctx context.Context) // to be done between two runners

	module  *plugin.Module // that handles events
	next    *plugin.Module // that takes its place as soon as its runner has ended
	replace context.CancelCauseFunc
	refused *admin.Refused    // the newest module
	section *admin.Refused    // the newest section of hosts.toml
	units   []*unit           // the live generation's partitions; none before it is located
	before  delivery.Status   // of the units before these: what they have handled
	reason  string            // why there are no units yet
	hold    string            // why there are no other partitions yet, although they are declared
	model   *redismodel.Model // that the runner delivers to; nil if the read model is in the database

	pool pool
}

// loadPlugin reads, checks and compiles a plugin's module.
func loadPlugin(ctx context.Context, engine *plugin.Engine, conf config.Plugin) (*hosted, error) {
	wasm, info, err := readModule(conf.Module)
	if err != nil {
		return nil, &Error{Subject: pluginSubject(conf.Name), Err: fmt.Errorf("read its module: %w", err),
			hint: fmt.Sprintf("build it, or correct plugins.%s.module in hosts.toml", conf.Name)}
	}
	m, err := compileModule(ctx, engine, conf, wasm)
	if err != nil {
		return nil, err
	}
	return &hosted{conf: conf, module: m, declared: m.Digest(), stamp: info, reason: "starting"}, nil
}

// compileModule checks and compiles a plugin's module: the bytes whose digest is compared with the one that is
// pinned are the bytes that are compiled.
func compileModule(ctx context.Context, engine *plugin.Engine, conf config.Plugin, wasm []byte) (*plugin.Module, error) {
	subject := fmt.Sprintf("plugin %q: %s", conf.Name, conf.Module)
	if is := digestOf(wasm); conf.SHA256 != "" && is != conf.SHA256 {
		return nil, &Error{Subject: subject, Err: &unusable{fmt.Errorf("the module's SHA-256 is %s, pinned is %s", is, conf.SHA256)},
			hint: fmt.Sprintf("put the pinned module in its place or, if this one is meant, write sha256 = %q", is)}
	}
	m, err := engine.Load(ctx, wasm, plugin.Spec{
		Name:   conf.Name,
		Grants: conf.Allow,
		Config: conf.Config,
		Limits: plugin.Limits{Memory: uint64(conf.Limits.Memory), Time: conf.Limits.Time, EmitDepth: conf.Limits.EmitDepth},
	})
	if err != nil {
		return nil, moduleError(subject, err)
	}
	return m, nil
}

// launch runs the plugin in a goroutine of the group's. One that cannot run ends the host if that was its start; later the
// reloader refuses its section.
func (p *hosted) launch(ctx context.Context, g *errgroup.Group, h *Host, atStart bool) {
	ctx, p.cancel = context.WithCancelCause(ctx)
	p.ctx = ctx
	p.placed, p.done = make(chan struct{}), make(chan struct{})
	h.placing.Add(1)
	g.Go(func() error {
		defer close(p.done)
		err := p.run(ctx, h)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if atStart {
			return err
		}
		p.failed = err
		return nil
	})
}

// begun waits a while for a plugin that was launched to find its place, and says why it cannot run.
func (p *hosted) begun(ctx context.Context) error {
	timer := time.NewTimer(placeTime)
	defer timer.Stop()
	select {
	case <-p.placed:
	case <-p.done:
	case <-timer.C: // the store is away, or events are not final yet: that may take any time
	case <-ctx.Done():
	}
	return p.failure()
}

const placeTime = time.Second

// failure says why a plugin that was launched while the host ran cannot go on.
func (p *hosted) failure() error {
	select {
	case <-p.done:
		return p.failed
	default:
		return nil
	}
}

// run delivers until ctx ends, with one runner after another as the module is replaced.
func (p *hosted) run(ctx context.Context, h *Host) error {
	err := p.locate(ctx, h)
	h.placed()
	if err != nil {
		return err
	}
	close(p.placed)
	_, err = delivery.ParseOrder(string(p.conf.OrderBy))
	if err != nil {
		return &Error{Subject: pluginSubject(p.conf.Name), Err: err}
	}
	h.metrics.delivery.Begin(p.conf.Name)
	for ctx.Err() == nil {
		m, run, err := p.begin(ctx)
		if err != nil {
			return err
		}
		p.deliver(run, h, m)
		p.interlude(ctx)
		if p.astray.Swap(false) {
			if err := p.locate(ctx, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliver runs the plugin's units with one module until ctx ends and all of them have.
func (p *hosted) deliver(ctx context.Context, h *Host, m *plugin.Module) {
	var g sync.WaitGroup
	for _, u := range p.parts() {
		g.Go(func() { u.run(ctx, h, m) })
	}
	g.Wait()
	<-ctx.Done()
}

// options are how the plugin's events are delivered to a partition of one of its generations.
func (p *hosted) options(h *Host, gen *store.Generation) delivery.Options {
	return delivery.Options{
		Plugin:       p.conf.Name,
		Generation:   gen.ID,
		Root:         gen.Root,
		Partition:    gen.Partition,
		Partitions:   gen.Partitions,
		HostID:       h.self.ID,
		Order:        p.orderOf(gen),
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
		Metrics:      h.metrics.delivery,
		Committed:    h.o.Committed,
		Rested:       h.memory.tell,
	}
}

// place returns the plugin's live generation; a new plugin gets its first one at the configured start.
func (p *hosted) place(ctx context.Context, h *Host) (store.Generation, error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		gen, err := h.store.FindPlugin(ctx, p.conf.Name)
		if errors.Is(err, store.ErrNotFound) {
			var start event.Position
			if start, err = p.start(ctx, h); err == nil {
				gen, err = h.store.EnsurePlugin(ctx, p.conf.Name, start, p.conf.Partitions, string(p.conf.OrderBy))
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
		sleep(ctx, pause)
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

// module and instance give the sandbox the shape that delivery wants.
type module struct {
	*plugin.Module
	memory int64 // limit of an instance, in bytes
	pool   *pool
}

func (m module) NewInstance(ctx context.Context) (delivery.Instance, error) {
	in, err := m.Module.NewInstance(ctx)
	if err != nil {
		return nil, err
	}
	i := &instance{Instance: in, full: int(m.memory / 4 * 3), pool: m.pool}
	m.pool.opened(i)
	return i, nil
}

// instance is replaced when its memory is nearly full: linear memory never shrinks, and a guest that
// leaks would fail at its limit. Not too often, since a new instance costs time.
type instance struct {
	*plugin.Instance
	full    int // bytes
	handled int // events
	pool    *pool
	used    used
}

const recycleAfter = 10_000 // events at least

func (i *instance) Handle(ctx context.Context, e *event.Event, attempt int, fx delivery.Effects) error {
	i.handled++
	err := i.Instance.Handle(ctx, e, attempt, fx)
	i.note()
	return err
}

func (i *instance) Close(ctx context.Context) error {
	i.pool.closed(i)
	return i.Instance.Close(ctx)
}

func (i *instance) Spent() bool {
	return i.Instance.Spent() || i.handled >= recycleAfter && i.MemorySize() > i.full
}
