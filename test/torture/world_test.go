package torture

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"eshost/host"
	"eshost/host/bank"
	"eshost/host/store"
	"eshost/test/pgtest"
	"eshost/test/redistest"
)

const (
	hosts = 3
	// ttl is the hosts' lease_ttl.
	ttl = 2 * time.Second
)

// world is one run: hosts, a database, what is between them, and what was found wrong so far.
type world struct {
	t     *testing.T
	o     options
	dir   string // everything that is kept of the run
	began time.Time
	nodes []*node
	sent  *sent
	store store.Store // for the run's own use

	// Of PostgreSQL.
	primary  *pgtest.Server
	database string // its URL, while nothing has happened yet
	standby  *pgtest.Server
	ours     *proxy // leads us and the applications to the server that is the primary

	// Of SQLite.
	disk *disk

	redis       *redistest.Server
	redisReader *redis.Client
	seen        map[string][]redisSnapshot // by plugin; the watch's

	mu         sync.Mutex
	timeline   *os.File
	found      verdict
	modules    map[string][]byte // as they are in their files
	swaps      int
	partitions int // of the plugin parts
}

// options are what a run is made of.
type options struct {
	seed   uint64
	store  string // sqlite or postgres
	binary string // the hosts'
	// reference is a binary that is trusted to replay the log.
	reference string
	lasts     time.Duration // the faults
	clocks    bool          // those of the binary can be set
	patience  time.Duration // how long what must come may take. Defaults to 90s
	keep      string        // a folder for the run's files; empty: a temporary one, kept if something is found
}

// note adds a line to the run's timeline.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.timeline, "%8.3f %s\n", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
}

// find adds something that is wrong.
func (w *world) find(k kind, format string, args ...any) {
	w.note("FOUND "+string(k)+": "+format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found.add(k, format, args...)
}

func (w *world) rand(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(w.o.seed, stream)) }

// newWorld builds everything and starts the hosts. close takes it down.
func newWorld(t *testing.T, o options) (w *world, err error) {
	o.patience = cmp.Or(o.patience, 90*time.Second)
	w = &world{t: t, o: o, began: time.Now(), sent: &sent{fates: map[string]fate{}}, modules: map[string][]byte{}, found: verdict{}, partitions: 3, seen: map[string][]redisSnapshot{}}
	if w.dir, err = os.MkdirTemp(o.keep, fmt.Sprintf("eshost-torture-%s-%d-", o.store, o.seed)); err != nil {
		return nil, err
	}
	if err := os.Chmod(w.dir, 0o755); err != nil {
		return nil, err
	}
	if w.timeline, err = os.Create(filepath.Join(w.dir, "timeline.log")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := w.openDatabase(t.Context()); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	w.redis = redistest.Start(t)
	w.redisReader = redis.NewClient(&redis.Options{Addr: w.redis.Addr(), MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true})
	if err := w.writeModules(); err != nil {
		return nil, err
	}
	for i := range hosts {
		n, err := w.newNode(fmt.Sprintf("h%d", i+1))
		if err != nil {
			return nil, err
		}
		w.nodes = append(w.nodes, n)
	}
	if err := os.Mkdir(w.desk(), 0o755); err != nil {
		return nil, err
	}
	if err := w.configureAll(); err != nil {
		return nil, err
	}
	// The tables first, so that triggers can be put on them before anything happens.
	if w.store, err = host.OpenStore(t.Context(), w.url(), "torture"); err != nil {
		return nil, err
	}
	if err := w.auditOn(t.Context()); err != nil {
		return nil, fmt.Errorf("put triggers on the tables: %w", err)
	}
	for _, n := range w.nodes {
		if err := n.start(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) openDatabase(ctx context.Context) error {
	if w.o.store == "sqlite" {
		var err error
		w.disk, err = newDisk(filepath.Join(w.dir, "disk"))
		return err
	}
	var err error
	w.primary, err = pgtest.Start(ctx, pgtest.Options{Settings: map[string]string{
		"wal_retrieve_retry_interval": "100ms", "max_wal_senders": "5", "track_commit_timestamp": "on"}})
	if err != nil {
		return err
	}
	if w.database, err = w.primary.Database(ctx); err != nil {
		return err
	}
	if w.ours, err = newProxy(w.primary.Address()); err != nil {
		return err
	}
	w.standby, err = w.primary.Standby(ctx)
	return err
}

// url is the database as we and the applications reach it.
func (w *world) url() string {
	if w.disk != nil {
		return "sqlite:" + w.disk.path("events.db")
	}
	return w.urlBy(w.ours)
}

// urlBy is the database behind a link.
func (w *world) urlBy(p *proxy) string {
	u, err := url.Parse(w.database)
	if err != nil {
		panic(err) // pgtest made it
	}
	u.Host = p.address()
	return u.String()
}

func (w *world) server() *pgtest.Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.primary
}

func (w *world) dial(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return pgx.Connect(ctx, w.url())
}

// newNode writes a host's folder.
func (w *world) newNode(name string) (*node, error) {
	n := &node{name: name, dir: filepath.Join(w.dir, name), binary: w.o.binary}
	n.ended = func(node, how string) { w.find(died, "%s: %s", node, how) }
	n.url = w.url()
	var err error
	if w.primary != nil {
		if n.database, err = newProxy(w.primary.Address()); err != nil {
			return nil, err
		}
		n.url = w.urlBy(n.database)
	}
	if n.redis, err = newProxy(w.redis.Addr()); err != nil {
		return nil, err
	}
	return n, os.Mkdir(n.dir, 0o755)
}

// configureAll writes every hosts.toml: the hosts', and that of people who run commands where no link fails.
func (w *world) configureAll() error {
	for _, n := range w.nodes {
		if err := w.configure(n.dir, n.name, n.url, n.redis.address()); err != nil {
			return err
		}
	}
	return w.configure(w.desk(), "desk", w.url(), w.redis.Addr())
}

// desk is the folder of people who run commands.
func (w *world) desk() string { return filepath.Join(w.dir, "desk") }

func (w *world) configure(dir, name, database, redisAddr string) error {
	var toml strings.Builder
	fmt.Fprintf(&toml, "[host]\nname = %q\nlisten = \"127.0.0.1:0\"\ncache_dir = %q\nlease_ttl = %q\nlog_level = \"debug\"\n\n[store]\nurl = %q\n\n[redis]\nurl = \"redis://%s/0\"\ntimeout = \"500ms\"\n",
		name, filepath.Join(built.Dir(), "cache"), ttl, database, redisAddr)
	for _, p := range w.plugins() {
		fmt.Fprintf(&toml, "\n[plugins.%s]\nmodule = %q\n%s", p.name, w.module(p.module), p.toml())
	}
	path := filepath.Join(dir, "hosts.toml")
	if err := os.WriteFile(path+".new", []byte(toml.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// module is the path of a module, which all hosts share.
func (w *world) module(name string) string { return filepath.Join(w.dir, "modules", name+".wasm") }

func (w *world) writeModules() error {
	if err := os.Mkdir(filepath.Dir(w.module("x")), 0o755); err != nil {
		return err
	}
	for name, from := range map[string]string{
		"ledger":   guest(w.t, "ledger"),
		"book":     guest(w.t, "book"),
		"balances": filepath.Join(root, "plugins", "examples", "balances", "assemblyscript", "balances.wasm"),
	} {
		wasm, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		w.modules[name] = wasm
		if err := os.WriteFile(w.module(name), wasm, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// swapModule puts another build of a module in its place, which does the same and has another digest.
func (w *world) swapModule(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swaps++
	label := []byte(fmt.Sprintf("torture-%03d", w.swaps))
	section := append([]byte{0, byte(len(label) + 1), byte(len(label))}, label...) // a custom section without content
	path := w.module(name)
	if err := os.WriteFile(path+".new", slices.Concat(w.modules[name], section), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// command runs the trusted binary, without links.
func (w *world) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.o.reference, args...)
	cmd.Dir = w.desk()
	cmd.SysProcAttr = childAttributes()
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("eshost %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return string(out), nil
}

// write starts the writers. Stop ends them and waits until each knows what became of its events, or has given up.
func (w *world) write() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	add := func(name string, run func(*writer)) {
		rng := w.rand(uint64(100 + len(name)*7 + int(name[len(name)-1])))
		writer := &writer{name: name, rng: rng, bank: bank.New(10, rng.Uint64()), sent: w.sent,
			found: func(format string, args ...any) { w.find(refused, format, args...) }}
		all.Go(func() { run(writer) })
	}
	for i := range 2 {
		add(fmt.Sprintf("http%d", i+1), func(wr *writer) { wr.sure(ctx, wr.overHTTP(w.nodes)) })
	}
	add("store1", func(wr *writer) { wr.sure(ctx, throughStore(w.store)) })
	if w.primary != nil {
		for i := range 4 {
			add(fmt.Sprintf("sql%d", i+1), func(wr *writer) { wr.overSQL(ctx, w.dial) })
		}
	}
	return func() { cancel(); all.Wait() }
}

// has is what the run can do that not every one can.
func (w *world) has() []need {
	var has []need
	if w.disk != nil && w.disk.mounted {
		has = append(has, fillable)
	}
	if w.o.clocks {
		has = append(has, settable)
	}
	return has
}

// close takes everything down. What the run has written is kept if anything was found.
func (w *world) close() {
	for _, n := range w.nodes {
		n.close()
		if n.redis != nil {
			n.redis.close()
		}
		if n.database != nil {
			n.database.close()
		}
	}
	if w.redisReader != nil {
		if err := w.redisReader.Close(); err != nil {
			w.t.Errorf("close the reader of Redis: %v", err)
		}
	}
	if w.store != nil {
		if err := w.store.Close(); err != nil {
			w.t.Errorf("close the store: %v", err)
		}
	}
	if w.ours != nil {
		w.ours.close()
	}
	for _, s := range []*pgtest.Server{w.primary, w.standby} {
		if s != nil {
			if err := s.Close(); err != nil {
				w.t.Errorf("close the server: %v", err)
			}
		}
	}
	if w.disk != nil {
		if err := w.disk.close(w.found.flawless()); err != nil {
			w.t.Errorf("close the disk: %v", err)
		}
	}
	if err := w.timeline.Close(); err != nil {
		w.t.Errorf("close the timeline: %v", err)
	}
	if w.found.flawless() && !w.t.Failed() {
		if err := os.RemoveAll(w.dir); err != nil {
			w.t.Errorf("remove the run's files: %v", err)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
