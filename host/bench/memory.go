package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"eshost/host/bank"
	"eshost/host/event"
)

// Memory is what a long catch-up needs.
type Memory struct {
	Language string  `json:"language"`
	Events   int     `json:"events"`
	Rate     float64 `json:"events_per_second"`
	// Before, Tenth, Peak and After are the process's resident set in MiB: when the log was full and the host not
	// started, when a tenth was handled, at most, and at the end.
	Before float64 `json:"before_mib"`
	Tenth  float64 `json:"tenth_mib"`
	Peak   float64 `json:"peak_mib"`
	After  float64 `json:"after_mib"`
}

// memoryLanguage is one whose modules have a garbage collector of their own and are in every binary.
const memoryLanguage = "assemblyscript"

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
	m := &Memory{Language: memoryLanguage, Before: mib(settledMemory())}
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
			m.After = mib(resident())
			m.Events, m.Rate = handled, float64(handled)/run.since(name).Seconds()
			return m, errors.Join(err, run.stop())
		case <-sample.C:
			now := mib(resident())
			m.Peak = max(m.Peak, now)
			if m.Tenth == 0 && run.position(name) >= event.Position(last)-event.Position(n/10*9) {
				m.Tenth = now
			}
		}
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
