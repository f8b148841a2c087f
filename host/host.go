package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/admin"
	"eshost/host/internal/appender"
	"eshost/host/internal/plugin"
	"eshost/host/internal/redis"
	"eshost/host/internal/tail"
	"eshost/host/internal/traces"
	"eshost/host/store"
)

// Options are what a Host needs beside hosts.toml.
type Options struct {
	// Logger gets everything the host and its plugins log. Defaults to a silent one.
	Logger *slog.Logger
	// Ready, if set, is called once when everything has been started and the log could be read, with
	// the listener's address or "".
	Ready func(listen string)
	// Committed, if set, is called after each commit of a plugin's with its new checkpoint. It must not block.
	Committed func(plugin string, position event.Position)
	// ConfigFile is the path of the hosts.toml that the configuration was read from: it is watched, and what
	// changes there is brought in. Empty means that only the modules are watched.
	ConfigFile string
	// Getenv is what "${NAME}" in ConfigFile stands for. Defaults to os.Getenv.
	Getenv func(string) string
	// StoreGiven says that the store is another one than ConfigFile names.
	StoreGiven bool
	// LaneWork is how much handling a lane must have before another one is opened. Defaults to 2ms.
	LaneWork time.Duration
}

// Host runs the plugins of one hosts.toml on one store.
type Host struct {
	conf config.Config
	o    Options
	log  *slog.Logger
	self store.Host

	store    store.Store
	redis    *redisServer // for read models; nil if there is none
	reads    *ReadModels  // the store as those see it who read
	engine   *plugin.Engine
	tail     *tail.Tail
	appender *appender.Appender
	start    func(p *hosted) // while Run runs
	group    *errgroup.Group // of Run
	sweep    chan struct{}   // makes watchGenerations look at once
	reloads  chan chan<- []ReloadOutcome
	asked    chan struct{}    // makes watchRequests look at once
	leases   chan struct{}    // makes watchLeases look at once
	told     []store.Declared // what the other hosts were told of this one; keepLease's
	heard    bool             // that is in the store; keepLease's
	begun    atomic.Bool      // the start is over
	placing  atomic.Int64     // plugins that are being looked for in the store
	leaving  atomic.Bool      // the host stops
	unowned  atomic.Int64     // partitions that nobody runs
	declared chan struct{}    // makes keepLease tell what is declared now

	mu          sync.Mutex
	plugins     []*hosted
	reloading   map[int64]bool       // requests to reload that have been begun
	gathered    map[string]time.Time // plugins whose partitions are to be on one host, and when somebody asked for that
	refused     map[string]string    // plugins whose section of hosts.toml cannot be used, and why
	refusedFile string               // why hosts.toml as a whole cannot be used as it is now

	metrics *metrics
	traces  *traces.Exporter // nil if there are none
	peers   *redis.Client    // the other hosts, through Redis; nil if there is none
	changes admin.Changes
	ages    ages
	memory  idleMemory
	waits   waits
	tls     *tls.Config // of the listener; nil without
}

// Open opens the store and loads every module; an error names each one that cannot be used. Close it.
func Open(ctx context.Context, conf *config.Config, o Options) (*Host, error) {
	s, err := OpenStore(ctx, conf.Store.URL, conf.Host.Name)
	if err != nil {
		return nil, err
	}
	h, err := open(ctx, conf, s, o)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return h, nil
}

func open(ctx context.Context, conf *config.Config, s store.Store, o Options) (*Host, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	engine, err := newEngine(ctx, conf.Host.CacheDir, log)
	if err != nil {
		return nil, err
	}
	h := &Host{
		conf:      *conf,
		o:         o,
		log:       log,
		store:     s,
		engine:    engine,
		self:      store.Host{ID: uuid.NewString(), Name: conf.Host.Name, Process: processIdentity(), StartedAt: time.Now()},
		reloads:   make(chan chan<- []ReloadOutcome),
		asked:     make(chan struct{}, 1),
		leases:    make(chan struct{}, 1),
		declared:  make(chan struct{}, 1),
		gathered:  make(map[string]time.Time),
		refused:   make(map[string]string),
		reloading: make(map[int64]bool),
		sweep:     make(chan struct{}, 1),
	}
	h.memory = newIdleMemory()
	h.tail = tail.New(s, tail.Options{MaxPoll: conf.Store.PollMax, OnBell: h.heardBell, Logger: log})
	if h.redis, err = openRedis(ctx, s, conf.Redis); err != nil {
		return nil, errors.Join(err, h.closeSandbox(ctx))
	}
	h.reads = newReadModels(s, h.redis, h.targetOf)
	h.metrics = newMetrics(h)
	if url := conf.Telemetry.OTLP; url != "" {
		h.traces = traces.New(traces.Options{URL: url, Host: conf.Host.Name, Logger: log})
	}
	h.appender = appender.New(s, appender.Options{
		Timeout:  conf.Host.ShutdownTimeout,
		OnAppend: h.appended,
	})
	if h.peers, err = h.newPeers(); err != nil {
		return nil, errors.Join(err, h.closeSandbox(ctx))
	}
	var wrong []error
	for _, p := range conf.Plugins {
		loaded, err := loadPlugin(ctx, engine, p)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		h.plugins = append(h.plugins, loaded)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(append(wrong, h.closeSandbox(ctx))...)
	}
	return h, nil
}

// Run runs the host until ctx ends, then stops it: what is in flight is finished and committed within
// the shutdown timeout. It fails if the log went back or the listener cannot be opened.
func (h *Host) Run(ctx context.Context) error {
	if err := h.checkLog(ctx); err != nil {
		return err
	}
	floor, err := h.floor(ctx)
	if err != nil {
		return err
	}
	listener, err := h.listen()
	if err != nil {
		return err
	}
	if err := h.register(ctx); err != nil {
		return errors.Join(fmt.Errorf("register the host: %w", err), closeListener(listener))
	}
	err = h.runParts(ctx, floor, listener)
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.conf.Host.ShutdownTimeout)
	defer cancel()
	if err := h.store.RemoveHost(bye, h.self.ID); err != nil {
		h.log.Warn("cannot give the leases back; others take over when they expire", "after", h.conf.Host.LeaseTTL, "error", err)
	}
	return err
}

// runParts runs until ctx ends or a part fails. The lease is kept until all others have stopped.
func (h *Host) runParts(ctx context.Context, floor event.Position, listener net.Listener) error {
	leaseCtx, stopLease := context.WithCancel(context.WithoutCancel(ctx))
	lease := make(chan struct{})
	go func() { defer close(lease); h.keepLease(leaseCtx) }()
	defer func() { stopLease(); <-lease }()
	defer h.sendTraces(ctx)()

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { <-ctx.Done(); h.leave(); return nil })
	g.Go(func() error { return h.explainTail(h.tail.Run(ctx, floor)) })
	g.Go(func() error { return h.appender.Run(ctx) })
	g.Go(func() error { h.watchLeases(ctx); return nil })
	g.Go(func() error { h.watchRequests(ctx); return nil })
	g.Go(func() error { h.ages.run(ctx, h.tail); return nil })
	g.Go(func() error { h.memory.giveBack(ctx); return nil })
	if h.peers != nil {
		g.Go(func() error { h.peers.Run(ctx); return nil })
		g.Go(func() error { h.tellSeen(ctx); return nil })
	}
	h.group = g
	for _, p := range h.list() {
		p.launch(ctx, g, h, true)
	}
	h.start = func(p *hosted) { p.launch(ctx, g, h, false) }
	defer time.AfterFunc(placeTime, h.begin).Stop()
	g.Go(func() error { newReloader(h).run(ctx); return nil })
	g.Go(func() error { h.watchGenerations(ctx); return nil })
	address := ""
	if listener != nil {
		address = listener.Addr().String()
		g.Go(func() error { return admin.Serve(ctx, listener, h.admin()) })
	}
	g.Go(func() error { h.tellReady(ctx, address); return nil })
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// heardBell looks at what another host wants to be looked at: a request, a lease that became free, a host that came.
func (h *Host) heardBell() {
	h.lookAtLeases()
	signal(h.asked)
}

// tellReady waits for the first look at the log: a host that refuses to go on with it was never ready.
func (h *Host) tellReady(ctx context.Context, listen string) {
	if h.o.Ready == nil {
		return
	}
	if _, err := h.tail.Wait(ctx, func(tail.Status) bool { return true }); err == nil {
		h.o.Ready(listen)
	}
}

// floor is the highest position known to be final: no checkpoint was ever moved beyond the watermark.
func (h *Host) floor(ctx context.Context) (event.Position, error) {
	return Floor(ctx, h.store)
}

// Floor returns the highest checkpoint in a store: a position below which the log is known to be final.
func Floor(ctx context.Context, s store.State) (event.Position, error) {
	plugins, err := s.Plugins(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the checkpoints: %w", err)
	}
	var floor event.Position
	for _, p := range plugins {
		for _, part := range p.Partitions {
			floor = max(floor, part.Position)
		}
	}
	return floor, nil
}

func (h *Host) explainTail(err error) error {
	if !errors.Is(err, store.ErrLogWentBack) {
		return err
	}
	return storeError("store "+h.store.Describe(), err, WentBackHint)
}

// Append stores events through the host's queue and wakes its plugins. It may be called while Run runs.
func (h *Host) Append(ctx context.Context, req store.AppendRequest) ([]store.Recorded, error) {
	return h.appender.Append(ctx, req)
}

// Store is the host's store, for reading.
func (h *Host) Store() store.Store { return h.reads }

// Close frees the sandbox and the store. Run must have returned.
func (h *Host) Close() error {
	return errors.Join(h.closeSandbox(context.Background()), h.reads.Close())
}

func (h *Host) closeSandbox(ctx context.Context) error {
	var errs []error
	for _, p := range h.list() {
		errs = append(errs, p.close(ctx))
	}
	return errors.Join(append(errs, h.engine.Close(ctx))...)
}
