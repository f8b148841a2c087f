package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host/bank"
	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/admin"
)

// Load is what hosts cost the database and the machine by the number of their plugins.
type Load struct {
	// Uncounted is why statements were not counted; empty where they were.
	Uncounted string    `json:"uncounted,omitempty"`
	Language  string    `json:"language"`
	Modules   int       `json:"modules"`
	Appends   int       `json:"appends_per_second"`
	Rows      []LoadRow `json:"rows"`
}

// LoadRow is a number of hosts that share a number of plugins.
type LoadRow struct {
	Hosts   int `json:"hosts"`
	Plugins int `json:"plugins"`
	// Wanted says whether the plugins want the events that are appended.
	Wanted bool `json:"wanted"`
	// Start is seconds from the start of the first host until every plugin runs; the plugins are new, the modules are
	// in the compile cache except in the first rows.
	Start float64 `json:"start_seconds"`
	// Restart is the same for plugins that have run before; 0 if it was not measured.
	Restart float64 `json:"restart_seconds,omitempty"`
	// Memory is MiB of the process's resident set for each plugin that has handled an event and has nothing to do; 0
	// if there are too few plugins to tell.
	Memory float64 `json:"memory_mib_per_plugin,omitempty"`
	// Idle and Busy are of all hosts together.
	Idle Statements `json:"idle"`
	Busy Statements `json:"busy"`
	// Appended is how many events a second came about while Busy was counted: fewer than wanted where the machine is at
	// its end.
	Appended float64 `json:"appended_per_second"`
	// ReadsPerBatch is how often one host reads events for an append: each append is a batch of new events.
	ReadsPerBatch float64 `json:"reads_per_batch"`
	// Behind is how many final events that it wants the plugin furthest behind had not handled when the appends ended.
	Behind int64 `json:"behind_events"`
}

const (
	loadModules = 20
	loadAppends = 100
	loadWindow  = 5 * time.Second
	// loadRest is how long nothing must have happened before a window.
	loadRest = 2 * time.Second
	// enoughPlugins is how many it takes to tell their memory from the host's.
	enoughPlugins = 100
)

func (o *Options) load(ctx context.Context) (*Load, error) {
	l := &Load{Language: "assemblyscript", Modules: loadModules, Appends: loadAppends}
	if !o.postgres() {
		l.Uncounted = "nobody but this process loads an embedded database"
		return l, nil
	}
	count, err := newCounter(ctx, o.StoreURL)
	if err != nil {
		l.Uncounted = err.Error()
		return l, nil
	}
	defer count.close(ctx)
	modules, err := o.variants(l.Language)
	if err != nil {
		return nil, err
	}
	for _, row := range []LoadRow{
		{Hosts: 1, Plugins: 1, Wanted: true},
		{Hosts: 1, Plugins: 10, Wanted: true},
		{Hosts: 1, Plugins: 100, Wanted: true},
		{Hosts: 1, Plugins: 1000, Wanted: true},
		{Hosts: 1, Plugins: 1000},
		{Hosts: 3, Plugins: 1, Wanted: true},
		{Hosts: 3, Plugins: 10, Wanted: true},
		{Hosts: 3, Plugins: 100, Wanted: true},
		{Hosts: 3, Plugins: 1000, Wanted: true},
		{Hosts: 3, Plugins: 1000},
	} {
		m := &loadRun{o: o, count: count, row: row, plugins: o.loadPlugins(row, modules)}
		if err := m.measure(ctx); err != nil {
			return nil, fmt.Errorf("%d hosts, %d plugins: %w", row.Hosts, row.Plugins, err)
		}
		fmt.Fprintf(o.Progress, "  %d hosts, %d plugins: %.1f statements/s idle, %.1f under load\n", row.Hosts, row.Plugins, m.row.Idle.Total, m.row.Busy.Total)
		l.Rows = append(l.Rows, m.row)
	}
	return l, nil
}

// variants writes modules that do the same and are not the same: each has another custom section at its end.
func (o *Options) variants(language string) ([]string, error) {
	wasm, err := os.ReadFile(o.Modules[language])
	if err != nil {
		return nil, err
	}
	paths := make([]string, loadModules)
	for i := range paths {
		name := fmt.Sprintf("variant %02d", i)
		section := append([]byte{0, byte(1 + len(name)), byte(len(name))}, name...)
		paths[i] = filepath.Join(filepath.Dir(o.Modules[language]), fmt.Sprintf("%s-%02d.wasm", language, i))
		if err := os.WriteFile(paths[i], append(wasm[:len(wasm):len(wasm)], section...), 0o600); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

func (o *Options) loadPlugins(row LoadRow, modules []string) []config.Plugin {
	plugins := make([]config.Plugin, row.Plugins)
	id := rand.Uint32()
	for i := range plugins {
		p := o.pluginConf(fmt.Sprintf("load-%08x-%04d", id, i), "")
		p.Module, p.Start = modules[i%len(modules)], config.Start{At: config.StartAtEnd}
		p.Events = []string{"AccountOpened", "Deposited", "Withdrawn"}
		if !row.Wanted {
			p.Events = []string{"AccountClosed"}
		}
		plugins[i] = p
	}
	return plugins
}

// loadRun measures one row.
type loadRun struct {
	o       *Options
	count   *counter
	row     LoadRow
	plugins []config.Plugin
	hosts   []*running
}

func (m *loadRun) measure(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, m.stop()) }()
	w, err := newWriter(ctx, m.o.StoreURL)
	if err != nil {
		return err
	}
	defer w.close(ctx)
	if m.row.Hosts == 1 && m.row.Plugins >= 1000 && m.row.Wanted {
		if m.row.Restart, err = m.start(ctx); err != nil {
			return err
		}
		if err := m.stop(); err != nil {
			return err
		}
	}
	before := settledMemory()
	took, err := m.start(ctx)
	if err != nil {
		return err
	}
	if m.row.Start = took; m.row.Restart > 0 {
		m.row.Start, m.row.Restart = m.row.Restart, took
	}
	if err := m.handleOne(ctx, w); err != nil {
		return err
	}
	if m.row.Plugins >= enoughPlugins {
		m.row.Memory = mib(settledMemory()-before) / float64(m.row.Plugins)
	}
	if m.row.Idle, _, err = m.window(ctx, func(ctx context.Context) error { return pause(ctx, loadWindow) }); err != nil {
		return err
	}
	if m.row.Busy, m.row.Appended, err = m.window(ctx, w.appendFor); err != nil {
		return err
	}
	m.row.Behind = m.behind()
	if m.row.Appended > 0 {
		m.row.ReadsPerBatch = m.row.Busy.Reads / m.row.Appended / float64(m.row.Hosts)
	}
	return nil
}

// start starts the hosts and returns after how many seconds all plugins run.
func (m *loadRun) start(ctx context.Context) (float64, error) {
	began := time.Now()
	for range m.row.Hosts {
		r, err := m.o.startHost(ctx, m.plugins...)
		if err != nil {
			return 0, err
		}
		m.hosts = append(m.hosts, r)
	}
	for !m.reached(0) {
		if err := m.pause(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds(), nil
}

func (m *loadRun) stop() error {
	var errs []error
	for _, r := range m.hosts {
		errs = append(errs, r.stop())
	}
	m.hosts = nil
	return errors.Join(errs...)
}

// pause fails where a host has stopped.
func (m *loadRun) pause(ctx context.Context, d time.Duration) error {
	for _, r := range m.hosts {
		select {
		case err := <-r.done:
			r.done <- err
			return fmt.Errorf("the host stopped: %w", err)
		default:
		}
	}
	return pause(ctx, d)
}

// handleOne has every plugin handle an event, and waits until it has.
func (m *loadRun) handleOne(ctx context.Context, w *writer) error {
	at, err := w.append(ctx)
	if err != nil {
		return err
	}
	for m.row.Wanted && !m.reached(int64(at)) {
		if err := m.pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// reached reports whether every plugin's checkpoint is at a position or above it.
func (m *loadRun) reached(at int64) bool {
	n := 0
	m.running(func(p *admin.Plugin) {
		if p.Checkpoint >= at {
			n++
		}
	})
	return n >= len(m.plugins)
}

// behind is how many wanted events the plugin that is furthest behind has not handled.
func (m *loadRun) behind() (most int64) {
	m.running(func(p *admin.Plugin) {
		if p.LagEvents != nil {
			most = max(most, *p.LagEvents)
		}
	})
	return most
}

// running calls f for each plugin with the host that runs it.
func (m *loadRun) running(f func(p *admin.Plugin)) {
	for _, r := range m.hosts {
		s := r.host.Status()
		for i := range s.Plugins {
			if s.Plugins[i].State == "running" {
				f(&s.Plugins[i])
			}
		}
	}
}

// window counts what the hosts send while f runs, after a rest, and how much was appended, all by the second.
func (m *loadRun) window(ctx context.Context, f func(context.Context) error) (Statements, float64, error) {
	if err := m.rest(ctx); err != nil {
		return Statements{}, 0, err
	}
	before, inserted, err := m.count.count(ctx)
	if err != nil {
		return Statements{}, 0, err
	}
	began := time.Now()
	if err := f(ctx); err != nil {
		return Statements{}, 0, err
	}
	after, inserts, err := m.count.count(ctx)
	if err != nil {
		return Statements{}, 0, err
	}
	took := time.Since(began)
	return after.minus(before).per(took), (inserts - inserted) / took.Seconds(), nil
}

// rest waits until no plugin has committed anything for a while.
func (m *loadRun) rest(ctx context.Context) error {
	since, last := time.Now(), Statements{}
	for time.Since(since) < loadRest {
		now, _, err := m.count.count(ctx)
		if err != nil {
			return err
		}
		if now.Commits != last.Commits {
			since, last = time.Now(), now
		}
		if err := m.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settledMemory is the process's resident set once what is not used is given back.
func settledMemory() int64 {
	debug.FreeOSMemory()
	return resident()
}

// writer is an application that appends with plain INSERTs, on a connection of its own.
type writer struct {
	conn     *pgx.Conn
	bank     *bank.Bank
	id       uint64
	versions map[string]int
}

func newWriter(ctx context.Context, url string) (*writer, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	return &writer{conn: conn, bank: bank.New(100, rand.Uint64()), id: rand.Uint64(), versions: make(map[string]int)}, nil
}

func (w *writer) close(ctx context.Context) { _ = w.conn.Close(ctx) }

func (w *writer) append(ctx context.Context) (at event.Position, err error) {
	s := w.bank.Next()
	stream := fmt.Sprintf("load-%016x-%s", w.id, s.Stream)
	w.versions[stream]++
	err = w.conn.QueryRow(ctx, plainInsert+" RETURNING position", stream, w.versions[stream], s.Events[0].Type, s.Events[0].Data).Scan(&at)
	return at, err
}

// appendFor appends for the length of a window, at an even pace.
func (w *writer) appendFor(ctx context.Context) error {
	tick := time.NewTicker(time.Second / loadAppends)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < loadWindow; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := w.append(ctx); err != nil {
			return err
		}
	}
	return nil
}

// print writes the table.
func (l *Load) print(t io.Writer) {
	if l.Uncounted != "" {
		fmt.Fprintf(t, "\nload on the database\tnot measured: %s\n", l.Uncounted)
		return
	}
	fmt.Fprintf(t, "\nstatements/s, %s, %d modules\thosts\tevents\ttotal\tper host\tlog's end\treads\tcommits\tleases\tother\ttransactions of commits\treads per batch and host\tbehind\t\n", l.Language, l.Modules)
	line := func(r *LoadRow, events string, s Statements) {
		fmt.Fprintf(t, "%d plugins\t%d\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f", r.Plugins, r.Hosts, events,
			s.Total, s.Total/float64(r.Hosts), s.Ends, s.Reads, s.Commits, s.Leases, s.Other, s.Batches)
	}
	for i := range l.Rows {
		r := &l.Rows[i]
		line(r, "none", r.Idle)
		fmt.Fprint(t, "\t-\t-\t\n")
		wanted := fmt.Sprintf("%.0f/s, all wanted", r.Appended)
		if !r.Wanted {
			wanted = fmt.Sprintf("%.0f/s, none wanted", r.Appended)
		}
		line(r, wanted, r.Busy)
		fmt.Fprintf(t, "\t%.2f\t%d\t\n", r.ReadsPerBatch, r.Behind)
	}
	fmt.Fprint(t, "behind: wanted events that the plugin furthest behind had not handled when the appends ended\n")
	fmt.Fprintf(t, "\nplugins\thosts\tstart s\tstart again s\tMiB an idle plugin\t\n")
	for i := range l.Rows {
		r := &l.Rows[i]
		fmt.Fprintf(t, "%d\t%d\t%.2f\t%s\t%s\t\n", r.Plugins, r.Hosts, r.Start, orDash(r.Restart, "%.2f"), orDash(r.Memory, "%.2f"))
	}
}

func orDash(v float64, format string) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}
