package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host/bank"
	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/store"
)

// IdleCount is the load of a host whose plugins have nothing to do.
type IdleCount struct {
	Plugins int `json:"plugins"`
	// Statements is transactions per second as the server counts them; every statement of an idle host
	// is one of its own.
	Statements float64 `json:"statements_per_second"`
}

const (
	idleWindow = 5 * time.Second
	// counterDelay is how long an idle backend may keep its counts to itself.
	counterDelay = 11 * time.Second
)

func (o *Options) idle(ctx context.Context) ([]IdleCount, error) {
	if !o.postgres() {
		return nil, nil // nobody but this process loads an embedded database
	}
	var out []IdleCount
	for _, n := range []int{1, 10, 100} {
		c, err := o.idleWith(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("%d plugins: %w", n, err)
		}
		fmt.Fprintf(o.Progress, "  %d plugins: %.1f statements/s\n", n, c.Statements)
		out = append(out, c)
	}
	return out, nil
}

func (o *Options) idleWith(ctx context.Context, n int) (IdleCount, error) {
	plugins := make([]config.Plugin, n)
	id := rand.Uint32()
	for i := range plugins {
		plugins[i] = o.pluginConf(fmt.Sprintf("idle-%d-%d", id, i), o.fastest())
		plugins[i].Start = config.Start{At: config.StartAtEnd}
	}
	run, err := o.startHost(ctx, plugins...)
	if err != nil {
		return IdleCount{}, err
	}
	rate, err := o.idleRate(ctx, run, plugins)
	return IdleCount{Plugins: n, Statements: rate}, errors.Join(err, run.stop())
}

// idleRate waits until every plugin has handled one event, lets the server's counters settle, and counts.
func (o *Options) idleRate(ctx context.Context, run *running, plugins []config.Plugin) (float64, error) {
	if err := run.settled(ctx, len(plugins)); err != nil {
		return 0, err
	}
	b := bank.New(1, rand.Uint64())
	recorded, err := run.host.Append(ctx, store.AppendRequest{Streams: []store.StreamAppend{b.Next()}})
	if err != nil && !errors.Is(err, store.ErrVersionConflict) {
		return 0, err
	}
	for _, p := range plugins {
		if err := run.reached(ctx, p.Name, recorded[0].Position); err != nil {
			return 0, err
		}
	}
	conn, err := pgx.Connect(ctx, o.StoreURL)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := pause(ctx, counterDelay); err != nil {
		return 0, err
	}
	before, err := transactions(ctx, conn)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := pause(ctx, idleWindow); err != nil {
		return 0, err
	}
	after, err := transactions(ctx, conn)
	// Our own first look is in the second count.
	return float64(after-before-1) / time.Since(began).Seconds(), err
}

func transactions(ctx context.Context, conn *pgx.Conn) (n int64, err error) {
	err = conn.QueryRow(ctx, `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
	return n, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settled waits until n plugins run.
func (r *running) settled(ctx context.Context, n int) error {
	for {
		running := 0
		for _, p := range r.host.Status().Plugins {
			if p.State == "running" {
				running++
			}
		}
		if running >= n {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// Memory is what a long catch-up needs.
type Memory struct {
	Language string  `json:"language"`
	Events   int     `json:"events"`
	Rate     float64 `json:"events_per_second"`
	// Before and Peak are the process's resident set in MiB.
	Before float64 `json:"before_mib"`
	Peak   float64 `json:"peak_mib"`
}

func (o *Options) memory(ctx context.Context) (*Memory, error) {
	n := o.Long
	if n <= 0 {
		n = 1_000_000
	}
	b := bank.New(o.Accounts, rand.Uint64())
	last, err := o.fillLog(ctx, b, n)
	if err != nil {
		return nil, err
	}
	m := &Memory{Language: o.fastest(), Before: mib(resident())}
	name := fmt.Sprintf("bench-memory-%d", last)
	run, err := o.startHost(ctx, o.pluginConf(name, m.Language))
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- run.reached(ctx, name, event.Position(last)) }()
	sample := time.NewTicker(20 * time.Millisecond)
	defer sample.Stop()
	for {
		select {
		case err := <-done:
			handled := 0
			for _, p := range run.host.Status().Plugins {
				handled += int(p.Handled)
			}
			m.Events, m.Rate = handled, float64(handled)/run.since(name).Seconds()
			return m, errors.Join(err, run.stop())
		case <-sample.C:
			m.Peak = max(m.Peak, mib(resident()))
		}
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
