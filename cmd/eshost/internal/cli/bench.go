package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eshost/host/bench"
	"eshost/plugins/examples"
	"eshost/test/pgtest"
)

func (a *app) benchCommand() *cobra.Command {
	var o bench.Options
	c := a.command(&cobra.Command{
		Use:   "bench",
		Short: "Measure this machine against baselines, as ratios in one run",
		Long: `bench measures catch-up against a hand-written Go loop, metered handlers against unmetered ones, what a
plugin costs with each language's SDK, the latency of live events, and appends against plain INSERTs, and checks every read model it builds.

It needs a database of its own, which it fills: --store names an empty one. Without --store it starts a
private PostgreSQL server where the binaries are found, or else uses a temporary SQLite file. The
AssemblyScript and Rust examples are in this binary; Go's is taken from
` + examples.BalancesGo + ` where that has been built, and the SDKs' guests from
` + benchGuests + `, where "make bench" builds them: it says which are not there.`,
		Example: `  eshost bench
  eshost bench --only catchup,calls --rounds 5 --json
  eshost bench --only sdk
  eshost bench --store postgres://localhost/bench
  eshost bench --only memory --long 1000000`,
	}, func(ctx context.Context, _ []string) error { return a.bench(ctx, o) })
	f := c.Flags()
	f.IntVar(&o.Events, "events", 100_000, "events to catch up")
	f.IntVar(&o.Accounts, "accounts", 10_000, "streams they are in")
	f.IntVar(&o.Rounds, "rounds", 3, "rounds; the median is printed")
	f.IntVar(&o.Long, "long", 0, "also catch up this many events and print the memory it takes")
	f.DurationVar(&o.Live, "live", 10*time.Second, "how long to append live events")
	f.StringSliceVar(&o.Only, "only", nil, "only these measurements: "+strings.Join(bench.Measurements(), ", "))
	a.jsonFlag(c)
	return c
}

// benchGuests is where the plugins lie that each SDK is measured with.
const benchGuests = "host/bench/guests"

func (a *app) bench(ctx context.Context, o bench.Options) (err error) {
	for _, name := range o.Only {
		if !slices.Contains(bench.Measurements(), name) {
			return badInput("known measurements: "+strings.Join(bench.Measurements(), ", "), "--only: there is no measurement %q", name)
		}
	}
	if a.configFile != "" {
		return badInput("leave out --config, and name an empty database with --store if it is to be a certain one", "bench uses no hosts.toml")
	}
	if o.Events < 1 || o.Accounts < 1 || o.Rounds < 1 || o.Long < 0 || o.Live <= 0 {
		return badInput(helpHint("bench"), "--events, --accounts, --rounds and --live must be above zero")
	}
	folder, err := os.MkdirTemp("", "eshost-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for the benchmark: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if o.Modules, err = benchModules(folder); err != nil {
		return err
	}
	o.Guests = benchGuests
	o.CacheDir, o.Progress = filepath.Join(folder, "cache"), a.err
	var stop func() error
	if o.StoreURL, stop, err = a.benchStore(ctx, folder); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	report, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	if a.json {
		return writeJSON(a.out, report)
	}
	return report.Print(a.out)
}

func benchModules(folder string) (map[string]string, error) {
	modules := make(map[string]string)
	for language, wasm := range map[string][]byte{"assemblyscript": examples.BalancesAssemblyScript, "rust": examples.BalancesRust} {
		modules[language] = filepath.Join(folder, language+".wasm")
		if err := os.WriteFile(modules[language], wasm, 0o600); err != nil {
			return nil, fmt.Errorf("write the %s module: %w", language, err)
		}
	}
	_, err := os.Stat(examples.BalancesGo)
	if err == nil {
		modules["go"] = examples.BalancesGo
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the Go module: %w", err)
	}
	return modules, nil
}

// benchStore returns the database that --store names, or one of the benchmark's own.
func (a *app) benchStore(ctx context.Context, folder string) (url string, stop func() error, err error) {
	if a.storeURL != "" {
		url, err = a.givenStore()
		return url, func() error { return nil }, err
	}
	// Commits wait for the disk, as they do in production; the rest is what a server of this size has.
	server, err := pgtest.Start(ctx, pgtest.Options{Fsync: true, Settings: map[string]string{
		"shared_buffers": "1GB", "max_wal_size": "4GB", "max_connections": "200",
		"shared_preload_libraries": "pg_stat_statements",
	}})
	if err != nil {
		fmt.Fprintf(a.err, "using SQLite, since no private PostgreSQL can be started: %v\n", err)
		return "sqlite:" + filepath.Join(folder, "bench.db"), func() error { return nil }, nil
	}
	return server.URL(), server.Close, nil
}
