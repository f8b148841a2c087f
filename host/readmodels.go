package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/host/config"
	"eshost/host/event"
	hostredis "eshost/host/internal/redis"
	"eshost/host/internal/redismodel"
	"eshost/host/store"
)

// ReadModels is a store whose documents and sequences are read from where each plugin keeps them: from the database, or
// from Redis for those that say so. What Redis has not, or not yet, is store.ErrNotBuilt.
type ReadModels struct {
	store.Store
	redis  *redisServer // nil if there is none
	target func(plugin string) config.Target

	mu    sync.Mutex
	roots map[int64]string // the plugins of generations that are in Redis
	away  error            // why Redis did not answer a view
	again time.Time        // when views ask it again
}

// OpenReadModels returns the store for those who read, by a hosts.toml. Closing it closes the store.
func OpenReadModels(ctx context.Context, s store.Store, conf *config.Config) (*ReadModels, error) {
	server, err := openRedis(ctx, s, conf.Redis)
	if err != nil {
		return nil, err
	}
	target := func(plugin string) config.Target {
		if p := conf.Plugin(plugin); p != nil {
			return p.Target
		}
		return config.TargetStore
	}
	return newReadModels(s, server, target), nil
}

func newReadModels(s store.Store, server *redisServer, target func(string) config.Target) *ReadModels {
	return &ReadModels{Store: s, redis: server, target: target, roots: make(map[int64]string)}
}

// Close closes the store too.
func (m *ReadModels) Close() error { return errors.Join(m.redis.close(), m.Store.Close()) }

// redisServer is the Redis of hosts.toml, for read models.
type redisServer struct {
	client   redis.UniversalClient
	prefix   string
	database string        // the identity of the one that is used with it
	limit    time.Duration // of a call
	glance   time.Duration // of all that a view of many plugins asks
}

// modelTime bounds a call at least: a commit is much larger than what redis.timeout is meant for.
const modelTime = 10 * time.Second

// openRedis connects when it is needed; nil if there is none.
func openRedis(ctx context.Context, s store.Store, conf config.Redis) (*redisServer, error) {
	if conf.URL == "" {
		return nil, nil
	}
	database, err := s.Identity(ctx)
	if err != nil {
		return nil, fmt.Errorf("tell the database from others on the same Redis: %w", err)
	}
	o, err := hostredis.Connect(conf.URL, conf.Timeout)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	limit := max(conf.Timeout, modelTime)
	o.ReadTimeout, o.WriteTimeout = limit, limit
	return &redisServer{client: redis.NewClient(o), prefix: conf.Prefix, database: database, limit: limit, glance: conf.Timeout}, nil
}

func (s *redisServer) close() error {
	if s == nil {
		return nil
	}
	return s.client.Close()
}

// reader reads a plugin's read model; nil if the database has it.
func (m *ReadModels) reader(plugin string) *redismodel.Reader {
	if m.redis == nil || m.target(plugin) != config.TargetRedis {
		return nil
	}
	r := redismodel.NewReader(m.redis.client, m.Store, redismodel.Options{Plugin: plugin, Database: m.redis.database, Prefix: m.redis.prefix,
		Timeout: m.redis.limit})
	return &r
}

// of reads a generation's read model; nil if the database has it. Who asks has found the generation here.
func (m *ReadModels) of(generation int64) *redismodel.Reader {
	m.mu.Lock()
	plugin, ok := m.roots[generation]
	m.mu.Unlock()
	if !ok {
		return nil
	}
	return m.reader(plugin)
}

// FindPlugin implements store.State.
func (m *ReadModels) FindPlugin(ctx context.Context, plugin string) (store.Generation, error) {
	g, err := m.Store.FindPlugin(ctx, plugin)
	if err == nil && m.reader(plugin) != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.roots[g.ID] = plugin
	}
	return g, err
}

// awayPause is how long views do without a Redis that did not answer one.
const awayPause = 5 * time.Second

// CountFailures puts what waits behind failed events into the status of those plugins that keep it in Redis: Plugins has
// what the database knows. It asks Redis once, for no longer than redis.timeout. For each plugin whose numbers it cannot
// tell it returns why.
func (m *ReadModels) CountFailures(ctx context.Context, plugins []store.PluginStatus) (unknown map[string]string) {
	var readers []*redismodel.Reader
	var of []*store.PluginStatus
	for i := range plugins {
		if r := m.reader(plugins[i].Plugin); r != nil {
			readers, of = append(readers, r), append(of, &plugins[i])
		}
	}
	if len(readers) == 0 {
		return nil
	}
	unknown = make(map[string]string)
	if err := m.isAway(); err != nil {
		for _, p := range of {
			unknown[p.Plugin] = err.Error()
		}
		return unknown
	}
	glance, cancel := context.WithTimeoutCause(ctx, m.redis.glance, fmt.Errorf("no answer from Redis within %s", m.redis.glance))
	defer cancel()
	all, errs := redismodel.ListFailures(glance, readers)
	for i, p := range of {
		if errs[i] == nil {
			count(p, all[i])
			continue
		}
		unknown[p.Plugin] = errs[i].Error()
		if !errors.Is(errs[i], store.ErrNotBuilt) && ctx.Err() == nil {
			m.setAway(errs[i])
		}
	}
	return unknown
}

// isAway returns why Redis is not asked now, nil if it may be.
func (m *ReadModels) isAway() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.again) {
		return m.away
	}
	return nil
}

func (m *ReadModels) setAway(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away, m.again = err, time.Now().Add(awayPause)
}

// count puts what waits into a plugin's status.
func count(p *store.PluginStatus, all []store.Sequence) {
	for i, q := range all {
		if i == 0 {
			p.FirstFailure = &q
		}
		if q.State == store.Parked {
			p.Parked++
		} else {
			p.Retrying++
		}
		p.Waiting += q.Waiting
	}
	if len(p.Partitions) == 1 {
		only := &p.Partitions[0]
		only.Parked, only.Retrying, only.Waiting = p.Parked, p.Retrying, p.Waiting
	}
}

// ReadModel is how far a read model is that is kept in Redis.
type ReadModel struct {
	Words string // such as "rebuilding: 12 of 100"; empty if it is ready
	Ready bool
}

// LookAtReadModel looks at a plugin's read model in Redis; there is none if the database has it.
func (m *ReadModels) LookAtReadModel(ctx context.Context, plugin string) (model ReadModel, inRedis bool, err error) {
	r := m.reader(plugin)
	if r == nil {
		return ReadModel{}, false, nil
	}
	p, err := r.Look(ctx)
	return ReadModel{Words: p.Describe(), Ready: p.State == redismodel.Ready}, true, err
}

// Documents implements store.State.
func (m *ReadModels) Documents(ctx context.Context, generation int64, keys []store.DocumentKey) ([]event.Document, error) {
	if r := m.of(generation); r != nil {
		return r.Documents(ctx, generation, keys)
	}
	return m.Store.Documents(ctx, generation, keys)
}

// Scan implements store.State.
func (m *ReadModels) Scan(ctx context.Context, generation int64, o store.ScanOptions) ([]event.Document, error) {
	if r := m.of(generation); r != nil {
		return r.Scan(ctx, generation, o)
	}
	return m.Store.Scan(ctx, generation, o)
}

// Collections implements store.State.
func (m *ReadModels) Collections(ctx context.Context, generation int64) ([]string, error) {
	if r := m.of(generation); r != nil {
		return r.Collections(ctx, generation)
	}
	return m.Store.Collections(ctx, generation)
}

// Sequences implements store.State.
func (m *ReadModels) Sequences(ctx context.Context, generation int64) ([]store.Sequence, error) {
	if r := m.of(generation); r != nil {
		return r.Sequences(ctx, generation)
	}
	return m.Store.Sequences(ctx, generation)
}

// Queued implements store.State.
func (m *ReadModels) Queued(ctx context.Context, generation int64, key string, limit int) ([]event.Event, error) {
	if r := m.of(generation); r != nil {
		return r.Queued(ctx, generation, key, limit)
	}
	return m.Store.Queued(ctx, generation, key, limit)
}

// FindSequence implements store.State.
func (m *ReadModels) FindSequence(ctx context.Context, generation int64, key string) (store.Sequence, error) {
	if r := m.of(generation); r != nil {
		return r.FindSequence(ctx, generation, key)
	}
	return m.Store.FindSequence(ctx, generation, key)
}

// SequenceWith implements store.State.
func (m *ReadModels) SequenceWith(ctx context.Context, generation int64, p event.Position) (store.Sequence, error) {
	if r := m.of(generation); r != nil {
		return r.SequenceWith(ctx, generation, p)
	}
	return m.Store.SequenceWith(ctx, generation, p)
}

// ListSequences implements store.State.
func (m *ReadModels) ListSequences(ctx context.Context, generation int64, o store.SequenceOptions) ([]store.Sequence, error) {
	if r := m.of(generation); r != nil {
		return r.ListSequences(ctx, generation, o)
	}
	return m.Store.ListSequences(ctx, generation, o)
}

// Spans implements store.State.
func (m *ReadModels) Spans(ctx context.Context, generation int64) ([]store.ModuleSpan, error) {
	if r := m.of(generation); r != nil {
		return r.Spans(ctx, generation)
	}
	return m.Store.Spans(ctx, generation)
}
