package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"eshost/host/bank"
	"eshost/host/event"
	"eshost/host/store"
)

// Live is how long after an append's answer its document is committed.
type Live struct {
	Language string  `json:"language"`
	Rate     int     `json:"appends_per_second"`
	Events   int     `json:"events"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
}

const liveRate = 200

func (o *Options) live(ctx context.Context) (*Live, error) {
	language := o.fastest()
	name := fmt.Sprintf("bench-live-%d", time.Now().UnixNano())
	conf := o.pluginConf(name, language)
	run, err := o.startHost(ctx, conf)
	if err != nil {
		return nil, err
	}
	b := bank.New(o.Accounts, rand.Uint64())
	first, err := run.host.Append(ctx, store.AppendRequest{Streams: []store.StreamAppend{b.Next()}})
	if err == nil {
		err = run.reached(ctx, name, first[0].Position)
	}
	var took []time.Duration
	if err == nil {
		took, err = o.appendLive(ctx, run, name, b)
	}
	if err := errors.Join(err, run.stop()); err != nil {
		return nil, err
	}
	return &Live{Language: language, Rate: liveRate, Events: len(took),
		P50: quantile(took, 0.5), P99: quantile(took, 0.99), Max: quantile(took, 1)}, nil
}

func (o *Options) fastest() string {
	for _, language := range []string{"rust", "assemblyscript", "go"} {
		if o.Modules[language] != "" {
			return language
		}
	}
	return ""
}

// appendLive appends at a steady rate and matches each answer with the commit that covers it.
func (o *Options) appendLive(ctx context.Context, run *running, name string, b *bank.Bank) ([]time.Duration, error) {
	var mu sync.Mutex
	acked := make(map[event.Position]time.Time)
	g, gctx := errgroup.WithContext(ctx)
	tick := time.NewTicker(time.Second / liveRate)
	defer tick.Stop()
	n := int(o.Live.Seconds() * liveRate)
	watch := run.watch(name)
	for range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		req := store.AppendRequest{Streams: []store.StreamAppend{b.Next()}}
		g.Go(func() error {
			recorded, err := run.host.Append(gctx, req)
			if err != nil {
				return err
			}
			mu.Lock()
			acked[recorded[0].Position] = time.Now()
			mu.Unlock()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var last event.Position
	for p := range acked {
		last = max(last, p)
	}
	if err := run.reached(ctx, name, last); err != nil {
		return nil, err
	}
	return latencies(acked, watch()), nil
}

// latencies pairs each answer with the first commit at or above its position. A commit that came
// before the answer took no time.
func latencies(acked map[event.Position]time.Time, commits []commit) []time.Duration {
	var out []time.Duration
	for p, at := range acked {
		for _, c := range commits {
			if c.position >= p {
				out = append(out, max(0, c.at.Sub(at)))
				break
			}
		}
	}
	return out
}

// Appends compares single appends through the host with plain inserts.
type Appends struct {
	Callers int     `json:"callers"`
	Host    float64 `json:"host_per_second"`
	Plain   float64 `json:"plain_per_second,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"`
}

const (
	appendCallers = 64
	appendTime    = 3 * time.Second
)

func (o *Options) appends(ctx context.Context) (*Appends, error) {
	run, err := o.startHost(ctx)
	if err != nil {
		return nil, err
	}
	var hosted, plain []float64
	for range o.Rounds {
		rate, err := measureAppends(ctx, func(ctx context.Context, caller int) (func() error, error) {
			b := bank.New(100, rand.Uint64())
			return func() error {
				s := b.Next()
				s.Stream = fmt.Sprintf("append-%d-%s", caller, s.Stream)
				_, err := run.host.Append(ctx, store.AppendRequest{Streams: []store.StreamAppend{s}})
				return err
			}, nil
		})
		if err != nil {
			return nil, errors.Join(err, run.stop())
		}
		hosted = append(hosted, rate)
		if !o.postgres() {
			continue
		}
		if rate, err = measureAppends(ctx, o.plainInsert); err != nil {
			return nil, errors.Join(fmt.Errorf("plain inserts: %w", err), run.stop())
		}
		plain = append(plain, rate)
	}
	a := &Appends{Callers: appendCallers, Host: median(hosted), Plain: median(plain)}
	if a.Plain > 0 {
		a.Ratio = a.Host / a.Plain
	}
	return a, run.stop()
}

// plainInsert is a caller with a connection of its own, one INSERT and COMMIT at a time, into the
// same table. It knows its stream's version, so it need not ask.
func (o *Options) plainInsert(ctx context.Context, caller int) (func() error, error) {
	conn, err := pgx.Connect(ctx, o.StoreURL)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close(context.WithoutCancel(ctx)) })
	b := bank.New(100, rand.Uint64())
	stream := fmt.Sprintf("plain-%d-%d", caller, rand.Uint64())
	version := 0
	return func() error {
		e := b.Next().Events[0]
		version++
		_, err := conn.Exec(ctx, plainInsert,
			stream, version, e.Type, e.Data)
		return err
	}, nil
}

func measureAppends(ctx context.Context, caller func(ctx context.Context, i int) (func() error, error)) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	calls := make([]func() error, appendCallers)
	for i := range calls {
		var err error
		if calls[i], err = caller(ctx, i); err != nil {
			return 0, err
		}
	}
	counts := make([]int, appendCallers)
	var g errgroup.Group
	began := time.Now()
	for i, call := range calls {
		g.Go(func() error {
			for time.Since(began) < appendTime {
				if err := call(); err != nil {
					return err
				}
				counts[i]++
			}
			return nil
		})
	}
	err := g.Wait()
	took := time.Since(began)
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / took.Seconds(), err
}
