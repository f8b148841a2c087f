package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"eshost/host"
	"eshost/host/bank"
	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/store"
)

// patience is how long a test waits for what must come. It is long, so that a busy machine fails nothing.
const patience = 5 * time.Minute

// module is a section of hosts.toml and the bytes of its module.
type module struct {
	name string
	wasm []byte
	more string // further lines of the section
}

const healthy = "healthy"

// world is one host inside this process: the healthy plugin, perhaps others, and somebody who appends.
type world struct {
	t    *testing.T
	host *host.Host
	log  *lines
	url  string
	dir  string // of hosts.toml and the modules

	mu      sync.Mutex
	at      map[string]event.Position
	commits []time.Time // of the healthy plugin
	moved   chan struct{}
	head    event.Position // the last the feeder appended
}

// project writes the modules and a hosts.toml with a store of its own.
func project(t *testing.T, storeURL string, modules ...module) string {
	t.Helper()
	dir := t.TempDir()
	var toml strings.Builder
	fmt.Fprintf(&toml, "[host]\nname = \"sandbox\"\nlisten = \"off\"\nshutdown_timeout = \"2s\"\ncache_dir = %q\n\n[store]\nurl = %q\n", filepath.Join(files.Dir(), "cache"), storeURL)
	for _, m := range modules {
		write(t, filepath.Join(dir, m.name+".wasm"), m.wasm)
		fmt.Fprintf(&toml, "\n[plugins.%s]\nmodule = %q\n%s\n", m.name, m.name+".wasm", m.more)
	}
	write(t, filepath.Join(dir, "hosts.toml"), []byte(toml.String()))
	return dir
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open opens a host on a project.
func open(t *testing.T, dir string, o host.Options) (*host.Host, error) {
	t.Helper()
	conf, err := config.Load(filepath.Join(dir, "hosts.toml"), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return host.Open(t.Context(), conf, o)
}

// newWorld starts a host with the healthy plugin and others, and the feeder. It ends with the test.
func newWorld(t *testing.T, others ...module) *world {
	t.Helper()
	w := &world{t: t, log: new(lines), at: make(map[string]event.Position), moved: make(chan struct{}, 1)}
	w.url = "sqlite:" + filepath.Join(t.TempDir(), "events.db")
	good := module{healthy, read(t, filepath.Join(root, "plugins/examples/balances/rust/balances.wasm")),
		`events = ["AccountOpened", "Deposited", "Withdrawn"]
config.currency = "EUR"
config.token = "` + secret + `"`}
	var err error
	w.dir = project(t, w.url, append([]module{good}, others...)...)
	w.host, err = open(t, w.dir, host.Options{Logger: w.log.logger(), Committed: w.committed})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.host.Run(ctx) }()
	stop := make(chan struct{})
	var feeder sync.WaitGroup
	feeder.Go(func() { w.feed(stop) })
	t.Cleanup(func() {
		close(stop)
		feeder.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the host ended with: %v", err)
		}
		if err := w.host.Close(); err != nil {
			t.Errorf("close the host: %v", err)
		}
		if t.Failed() {
			t.Logf("the host's log:\n%s", w.log.tail())
		}
	})
	return w
}

// feed appends events for the healthy plugin without end.
func (w *world) feed(stop chan struct{}) {
	b := bank.New(100, 1)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		recorded, err := w.host.Append(context.Background(), store.AppendRequest{Streams: []store.StreamAppend{b.Next()}})
		if err != nil {
			w.log.logger().Warn("an append took too long", "error", err) // on a machine that is very busy
			continue
		}
		w.mu.Lock()
		w.head = recorded[0].Position
		w.mu.Unlock()
	}
}

func (w *world) committed(plugin string, position event.Position) {
	w.mu.Lock()
	w.at[plugin] = position
	if plugin == healthy {
		w.commits = append(w.commits, time.Now())
	}
	w.mu.Unlock()
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// until waits for a condition, looked at after each commit and now and then.
func (w *world) until(what string, condition func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not after %v; status %+v", what, patience, w.host.Status())
		}
		select {
		case <-w.moved:
		case <-tick.C:
		}
	}
}

// reached waits until a plugin's checkpoint is at a position.
func (w *world) reached(plugin string, position event.Position) {
	w.t.Helper()
	w.until(fmt.Sprintf("plugin %s reaches %d", plugin, position), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.at[plugin] >= position
	})
}

// goesOn waits until the healthy plugin has handled what has been appended by now.
func (w *world) goesOn() {
	w.t.Helper()
	w.mu.Lock()
	head := w.head
	w.mu.Unlock()
	w.reached(healthy, head+1)
}

// append appends events to a stream and returns the last one's position. On a machine that is very busy it tries again, with
// the same ids.
func (w *world) append(stream string, events ...store.NewEvent) event.Position {
	w.t.Helper()
	for i := range events {
		events[i].ID = uuid.NewString()
	}
	var last event.Position
	w.until("append to stream "+stream, func() bool {
		recorded, err := w.host.Append(w.t.Context(), store.AppendRequest{Streams: []store.StreamAppend{{
			Stream: stream, Expected: store.AnyVersion, Events: events}}})
		if err == nil {
			last = recorded[len(recorded)-1].Position
		}
		return err == nil
	})
	return last
}

// longestPause is the longest time between two of the healthy plugin's commits from a moment on.
func (w *world) longestPause(since time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	longest, last := time.Duration(0), since
	for _, at := range append(w.commits[:len(w.commits):len(w.commits)], time.Now()) {
		if at.After(since) {
			longest, last = max(longest, at.Sub(last)), at
		}
	}
	return longest
}

// status is what the host says about a plugin.
func (w *world) state(plugin string) (state, reason string) {
	for _, p := range w.host.Status().Plugins {
		if p.Name == plugin {
			return p.State, p.Reason
		}
	}
	w.t.Fatalf("no plugin %s", plugin)
	return "", ""
}

// stored is what the store knows of a plugin.
func (w *world) stored(plugin string) store.PluginStatus {
	w.t.Helper()
	all, err := w.host.Store().Plugins(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range all {
		if p.Plugin == plugin {
			return p
		}
	}
	w.t.Fatalf("the store does not know plugin %s", plugin)
	return store.PluginStatus{}
}

// documentsOf is a plugin's read model, by collection and key.
func (w *world) documentsOf(plugin string) map[string]string {
	w.t.Helper()
	gen := w.stored(plugin).ID
	collections, err := w.host.Store().Collections(w.t.Context(), gen)
	if err != nil {
		w.t.Fatal(err)
	}
	all := make(map[string]string)
	for _, c := range collections {
		docs, err := w.host.Store().Scan(w.t.Context(), gen, store.ScanOptions{Collection: c, Limit: 1000})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, d := range docs {
			all[c+"/"+d.Key] = string(d.Data)
		}
	}
	return all
}

// lines keeps what a host logs.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) tail() string {
	s := l.String()
	return s[max(0, len(s)-4<<10):]
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
