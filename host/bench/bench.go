package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"eshost/host"
	"eshost/host/bank"
	"eshost/host/store"
)

// Options say what is measured and how long.
type Options struct {
	// StoreURL is an empty database of the benchmark's own.
	StoreURL string
	// Modules are the balances modules by language: paths of .wasm files.
	Modules map[string]string
	// Guests is the folder of the SDKs' guests, which guests/build.sh builds. A guest that is not there is not measured.
	Guests string
	// Events are stored for the catch-up. Defaults to 100,000.
	Events int
	// Accounts is the number of streams. Defaults to 10,000.
	Accounts int
	// Rounds of each measurement. Defaults to 3.
	Rounds int
	// Long is how many events are caught up to measure memory; 0 leaves that out.
	Long int
	// Live is how long events are appended for the latency. Defaults to 10s.
	Live time.Duration
	// CacheDir keeps compiled modules.
	CacheDir string
	// Only names the measurements to make; empty means all.
	Only []string
	// Progress gets a line for each step. Defaults to nowhere.
	Progress io.Writer
	// Logger gets the hosts' logs. Defaults to a silent one.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Events <= 0 {
		o.Events = 100_000
	}
	if o.Accounts <= 0 {
		o.Accounts = 10_000
	}
	if o.Rounds <= 0 {
		o.Rounds = 3
	}
	if o.Live <= 0 {
		o.Live = 10 * time.Second
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Report is what was measured; parts that were not are nil.
type Report struct {
	Store   string   `json:"store"`
	Machine string   `json:"machine"`
	Catchup *Catchup `json:"catchup,omitempty"`
	Calls   []Call   `json:"calls,omitempty"`
	SDKs    []SDK    `json:"sdks,omitempty"`
	Live    *Live    `json:"live,omitempty"`
	Appends *Appends `json:"appends,omitempty"`
	Load    *Load    `json:"load,omitempty"`
	Memory  *Memory  `json:"memory,omitempty"`
}

// Measurements names what Run can measure, in its order.
var measurements = []string{"calls", "sdk", "catchup", "live", "appends", "load", "memory"}

// Measurements returns the names that Options.Only may hold.
func Measurements() []string { return append([]string(nil), measurements...) }

// Run measures.
func Run(ctx context.Context, o Options) (*Report, error) {
	o = o.withDefaults()
	s, err := host.OpenStore(ctx, o.StoreURL, "bench")
	if err != nil {
		return nil, err
	}
	r := &Report{Store: s.Describe(), Machine: machine()}
	err = s.Close()
	if err != nil {
		return nil, err
	}
	steps := map[string]func() error{
		"calls":   func() (err error) { r.Calls, err = o.calls(ctx); return err },
		"sdk":     func() (err error) { r.SDKs, err = o.sdk(ctx); return err },
		"catchup": func() (err error) { r.Catchup, err = o.catchup(ctx); return err },
		"live":    func() (err error) { r.Live, err = o.live(ctx); return err },
		"appends": func() (err error) { r.Appends, err = o.appends(ctx); return err },
		"load":    func() (err error) { r.Load, err = o.load(ctx); return err },
		"memory":  func() (err error) { r.Memory, err = o.memory(ctx); return err },
	}
	for _, name := range measurements {
		if !o.wants(name) {
			continue
		}
		fmt.Fprintf(o.Progress, "measuring %s\n", name)
		if err := steps[name](); err != nil {
			return nil, fmt.Errorf("measure %s: %w", name, err)
		}
	}
	return r, nil
}

func (o *Options) wants(name string) bool {
	if len(o.Only) == 0 {
		return name != "memory" || o.Long > 0
	}
	for _, n := range o.Only {
		if n == name {
			return true
		}
	}
	return false
}

func (o *Options) postgres() bool { return strings.HasPrefix(o.StoreURL, "postgres") }

// fill appends n of the bank's events, 1,000 a request, and returns the highest position.
func fill(ctx context.Context, s store.Store, b *bank.Bank, n int) (last int64, err error) {
	for n > 0 {
		size := min(n, 1000)
		req := store.AppendRequest{}
		for range size {
			req.Streams = append(req.Streams, b.Next())
		}
		res := s.Append(ctx, []store.AppendRequest{req})[0]
		if res.Err != nil {
			return 0, fmt.Errorf("fill the log: %w", res.Err)
		}
		last = int64(res.Events[len(res.Events)-1].Position)
		n -= size
	}
	return last, nil
}
