package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"eshost/host"
	"eshost/host/bank"
	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/store"
)

// Catchup is how fast a full log becomes a read model.
type Catchup struct {
	Events int `json:"events"`
	// Native is the baseline's median in events per second; 0 on SQLite, which has none.
	Native  float64          `json:"native_events_per_second,omitempty"`
	Plugins []CatchupPlugin  `json:"plugins"`
	Rounds  map[string][]int `json:"rounds"` // events per second, by contender
}

// CatchupPlugin is one language's median.
type CatchupPlugin struct {
	Language string  `json:"language"`
	Rate     float64 `json:"events_per_second"`
	// Ratio is Rate over Native.
	Ratio float64 `json:"ratio_to_native,omitempty"`
}

func (o *Options) catchup(ctx context.Context) (*Catchup, error) {
	b := bank.New(o.Accounts, 1)
	last, err := o.fillLog(ctx, b, o.Events)
	if err != nil {
		return nil, err
	}
	c := &Catchup{Events: o.Events, Rounds: make(map[string][]int)}
	languages := o.languages()
	for round := range o.Rounds {
		if o.postgres() {
			rate, err := o.nativeRound(ctx, last)
			if err != nil {
				return nil, fmt.Errorf("native loop: %w", err)
			}
			c.Rounds["native"] = append(c.Rounds["native"], int(rate))
		}
		for _, language := range languages {
			rate, err := o.pluginRound(ctx, language, round, last, b)
			if err != nil {
				return nil, fmt.Errorf("%s plugin: %w", language, err)
			}
			c.Rounds[language] = append(c.Rounds[language], int(rate))
		}
		fmt.Fprintf(o.Progress, "  round %d of %d: %v\n", round+1, o.Rounds, c.Rounds)
	}
	c.Native = medianOf(c.Rounds["native"])
	for _, language := range languages {
		p := CatchupPlugin{Language: language, Rate: medianOf(c.Rounds[language])}
		if c.Native > 0 {
			p.Ratio = p.Rate / c.Native
		}
		c.Plugins = append(c.Plugins, p)
	}
	return c, nil
}

func medianOf(v []int) float64 {
	f := make([]float64, len(v))
	for i, n := range v {
		f[i] = float64(n)
	}
	return median(f)
}

func (o *Options) languages() []string {
	var out []string
	for language := range o.Modules {
		out = append(out, language)
	}
	slices.Sort(out)
	return out
}

func (o *Options) fillLog(ctx context.Context, b *bank.Bank, n int) (int64, error) {
	s, err := host.OpenStore(ctx, o.StoreURL, "bench")
	if err != nil {
		return 0, err
	}
	last, err := fill(ctx, s, b, n)
	if err == nil && o.postgres() {
		err = o.vacuum(ctx)
	}
	return last, errors.Join(err, s.Close())
}

func (o *Options) nativeRound(ctx context.Context, last int64) (float64, error) {
	n, err := newNative(ctx, o.StoreURL)
	if err != nil {
		return 0, err
	}
	defer n.close(ctx)
	began := time.Now()
	if err := n.run(ctx, last); err != nil {
		return 0, err
	}
	rate := float64(o.Events) / time.Since(began).Seconds()
	return rate, n.check(ctx, o.Events)
}

// pluginRound builds a new plugin's read model and checks it.
func (o *Options) pluginRound(ctx context.Context, language string, round int, last int64, b *bank.Bank) (float64, error) {
	name := fmt.Sprintf("bench-%s-%d-%d", language, last, round)
	run, err := o.startHost(ctx, o.pluginConf(name, language))
	if err != nil {
		return 0, err
	}
	err = run.reached(ctx, name, event.Position(last))
	took := run.since(name)
	rate := float64(o.Events) / took.Seconds()
	if err == nil {
		err = checkDocuments(ctx, run.host.Store(), name, b)
	}
	return rate, errors.Join(err, run.stop())
}

func (o *Options) pluginConf(name, language string) config.Plugin {
	return config.Plugin{
		Name:    name,
		Module:  o.Modules[language],
		OrderBy: config.OrderByStream,
		Weight:  1,
		Allow:   []string{"state", "log"},
		Config:  map[string]string{},
		Limits:  config.Limits{Memory: 64 << 20, Time: time.Second, Cache: 64 << 20},

		Partitions: 1,
	}
}

// running is a host that the benchmark runs.
type running struct {
	host   *host.Host
	cancel context.CancelFunc
	done   chan error
	began  time.Time

	mu        sync.Mutex
	positions map[string]event.Position
	at        map[string]time.Time
	moved     chan struct{}
	watched   string
	commits   []commit
}

type commit struct {
	position event.Position
	at       time.Time
}

func (o *Options) startHost(ctx context.Context, plugins ...config.Plugin) (*running, error) {
	r := &running{done: make(chan error, 1), positions: make(map[string]event.Position), at: make(map[string]time.Time), moved: make(chan struct{}, 1)}
	conf := &config.Config{
		Host:    config.Host{Name: "bench", Weight: 1, LeaseTTL: 10 * time.Second, ShutdownTimeout: 10 * time.Second, CacheDir: o.CacheDir},
		Store:   config.Store{URL: o.StoreURL, PollMax: 100 * time.Millisecond},
		Plugins: plugins,
	}
	h, err := host.Open(ctx, conf, host.Options{Logger: o.Logger, Committed: r.committed})
	if err != nil {
		return nil, err
	}
	r.host = h
	ctx, r.cancel = context.WithCancel(ctx)
	r.began = time.Now()
	go func() { r.done <- h.Run(ctx) }()
	return r, nil
}

func (r *running) committed(plugin string, position event.Position) {
	r.mu.Lock()
	now := time.Now()
	r.positions[plugin], r.at[plugin] = position, now
	if plugin == r.watched {
		r.commits = append(r.commits, commit{position, now})
	}
	r.mu.Unlock()
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// reached waits until a plugin has committed a position.
func (r *running) reached(ctx context.Context, plugin string, position event.Position) error {
	for {
		if r.position(plugin) >= position {
			return nil
		}
		select {
		case <-r.moved:
		case err := <-r.done:
			r.done <- err
			return fmt.Errorf("the host stopped: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *running) position(plugin string) event.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.positions[plugin]
}

// watch records a plugin's commits from now on; the function it returns gives them.
func (r *running) watch(plugin string) func() []commit {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watched = plugin
	return func() []commit {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.commits
	}
}

// since is how long after its start the host last committed for a plugin.
func (r *running) since(plugin string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at[plugin].Sub(r.began)
}

func (r *running) stop() error {
	r.cancel()
	return errors.Join(<-r.done, r.host.Close())
}

// checkDocuments compares a read model with what the bank knows.
func checkDocuments(ctx context.Context, s store.Store, plugin string, b *bank.Bank) error {
	gen, err := s.FindPlugin(ctx, plugin)
	if err != nil {
		return err
	}
	want := b.Accounts()
	after, seen := "", 0
	for {
		docs, err := s.Scan(ctx, gen.ID, store.ScanOptions{Collection: "balances", After: after, Limit: 1000})
		if err != nil {
			return err
		}
		for _, d := range docs {
			if string(d.Data) != want[d.Key].Document() {
				return fmt.Errorf("document %s is %s, should be %s", d.Key, d.Data, want[d.Key].Document())
			}
			after = d.Key
		}
		seen += len(docs)
		if len(docs) < 1000 {
			break
		}
	}
	if seen != len(want) {
		return fmt.Errorf("%d documents, should be %d", seen, len(want))
	}
	return nil
}
