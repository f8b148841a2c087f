package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"eshost/host"
	"eshost/host/bank"
	"eshost/host/config"
	"eshost/host/store"
	"eshost/plugins/examples"
)

const (
	demoSeed     = 2026
	demoRequest  = 200 // events an append
	demoAccounts = 1_000
	demoCollect  = "balances"
	maxDemo      = 10_000_000
)

func (a *app) demoCommand() *cobra.Command {
	var events int
	var keep bool
	c := a.command(&cobra.Command{
		Use:   "demo",
		Short: "See it work: bank events, one read model in three languages",
		Long: `demo makes an embedded database in a temporary folder, declares the example plugin balances once in
each language, appends a stream of bank events while the plugins handle it, and compares the read models
with each other and with what the events add up to. Nothing outside the folder is touched, and the folder
is removed at the end.

The AssemblyScript and Rust modules are in this binary. Go's is taken from
` + examples.BalancesGo + ` where that has been built.`,
		Example: `  eshost demo
  eshost demo --keep
  eshost demo --events 200000 --json`,
	}, func(ctx context.Context, _ []string) error { return a.demo(ctx, events, keep) })
	c.Flags().IntVar(&events, "events", 50_000, fmt.Sprintf("how many events to append, 1 to %d", maxDemo))
	c.Flags().BoolVar(&keep, "keep", false, "go on serving until interrupted")
	a.jsonFlag(c)
	return c
}

func (a *app) demo(ctx context.Context, events int, keep bool) (err error) {
	if events < 1 || events > maxDemo {
		return badInput(helpHint("demo"), "--events must be a number from 1 to %d, is %d", maxDemo, events)
	}
	folder, err := os.MkdirTemp("", "eshost-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	d := &demo{app: a, folder: folder, events: events, keep: keep, bank: bank.New(min(demoAccounts, events), demoSeed)}
	return d.run(ctx)
}

// demo is one run of the demo.
type demo struct {
	*app
	folder    string
	events    int
	keep      bool
	bank      *bank.Bank
	languages []string
	missing   string // why a language is left out
	host      *host.Host
	address   string
	appended  atomic.Int64
	last      atomic.Int64 // the highest position appended; set before appended
}

func (d *demo) run(ctx context.Context) error {
	conf, err := d.prepare()
	if err != nil {
		return err
	}
	d.say("compiling %d modules: %s", len(d.languages), strings.Join(d.languages, ", "))
	began := time.Now()
	log := slog.New(slog.NewTextHandler(d.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ready := make(chan string, 1)
	d.host, err = host.Open(ctx, conf, host.Options{Logger: log, Ready: func(listen string) { ready <- listen }})
	if err != nil {
		return err
	}
	d.say("compiled in %s", time.Since(began).Round(time.Millisecond))
	hostCtx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.host.Run(hostCtx) }()
	err = d.play(ctx, ready, done)
	stop()
	return errors.Join(err, <-done, d.host.Close())
}

// play does what the demo is about while the host runs.
func (d *demo) play(ctx context.Context, ready <-chan string, done chan error) error {
	select {
	case d.address = <-ready:
	case err := <-done:
		done <- nil
		return err
	}
	began := time.Now()
	if err := d.appendAndFollow(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	proof, err := d.prove(ctx)
	if err != nil {
		return err
	}
	proof.Seconds = took.Seconds()
	if err := d.show(proof); err != nil {
		return err
	}
	if !d.keep {
		return nil
	}
	d.say("\nserving until interrupted; hosts.toml, the database and the modules are in %s", d.folder)
	select {
	case <-ctx.Done():
		return nil
	case err := <-done:
		done <- nil
		return err
	}
}

// prepare writes the modules and a hosts.toml, and reads it as run would.
func (d *demo) prepare() (*config.Config, error) {
	modules := []struct {
		language string
		wasm     []byte
	}{{"assemblyscript", examples.BalancesAssemblyScript}, {"rust", examples.BalancesRust}}
	goModule, err := os.ReadFile(examples.BalancesGo)
	switch {
	case err == nil:
		modules = append(modules, struct {
			language string
			wasm     []byte
		}{"go", goModule})
	case errors.Is(err, fs.ErrNotExist):
		d.missing = "go is left out: " + examples.BalancesGo + " is not built (plugins/examples/build.sh go)"
	default:
		return nil, fmt.Errorf("read the Go module: %w", err)
	}
	var toml strings.Builder
	fmt.Fprintf(&toml, "[host]\nname = \"demo\"\nlisten = \"127.0.0.1:0\"\ncache_dir = \"cache\"\n\n[store]\nurl = \"sqlite:demo.db\"\n")
	for _, m := range modules {
		d.languages = append(d.languages, m.language)
		if err := os.WriteFile(filepath.Join(d.folder, m.language+".wasm"), m.wasm, 0o600); err != nil {
			return nil, fmt.Errorf("write the %s module: %w", m.language, err)
		}
		fmt.Fprintf(&toml, "\n[plugins.balances-%s]\nmodule = \"%s.wasm\"\nevents = [\"AccountOpened\", \"Deposited\", \"Withdrawn\"]\n", m.language, m.language)
	}
	file := filepath.Join(d.folder, config.FileName)
	if err := os.WriteFile(file, []byte(toml.String()), 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", config.FileName, err)
	}
	return config.Load(file, d.getenv)
}

// appendAndFollow appends all events and waits until every plugin has handled them.
func (d *demo) appendAndFollow(ctx context.Context) error {
	bar := newProgress(d.err, 0)
	defer bar.clear()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.appendAll(ctx) })
	g.Go(func() error { return d.follow(ctx, bar) })
	return g.Wait()
}

func (d *demo) appendAll(ctx context.Context) error {
	for left := d.events; left > 0; {
		var req store.AppendRequest
		for range min(left, demoRequest) {
			req.Streams = append(req.Streams, d.bank.Next())
		}
		left -= len(req.Streams)
		recorded, err := d.host.Append(ctx, req)
		if err != nil {
			return fmt.Errorf("append: %w", err)
		}
		d.last.Store(int64(recorded[len(recorded)-1].Position))
		d.appended.Add(int64(len(recorded)))
	}
	return nil
}

// follow draws the progress until every plugin has handled what was appended.
func (d *demo) follow(ctx context.Context, bar *progress) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		all := int(d.appended.Load()) == d.events
		text := fmt.Sprintf("appended %d", d.appended.Load())
		for i, p := range d.host.Status().Plugins {
			text += fmt.Sprintf(" · %s %d", d.languages[i], p.Handled)
			all = all && p.Checkpoint >= d.last.Load()
			if p.State == "paused" {
				return failed("", "plugin %s is paused: %s", p.Name, p.Reason)
			}
		}
		bar.draw(func() string { return text })
		if all {
			return nil
		}
	}
}

func (d *demo) say(format string, args ...any) {
	if !d.json {
		fmt.Fprintf(d.out, format+"\n", args...)
	}
}

func (d *demo) plugin(language string) string { return "balances-" + language }

// documents reads a plugin's whole read model.
func (d *demo) documents(ctx context.Context, plugin string) (map[string]string, error) {
	gen, err := d.host.Store().FindPlugin(ctx, plugin)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string)
	for after := ""; ; {
		docs, err := d.host.Store().Scan(ctx, gen.ID, store.ScanOptions{Collection: demoCollect, After: after, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			out[doc.Key], after = string(doc.Data), doc.Key
		}
		if len(docs) < 1000 {
			return out, nil
		}
	}
}
