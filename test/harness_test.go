package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"eshost/host"
	"eshost/host/config"
	"eshost/host/store"
	"eshost/test/pgtest"
)

// patience is how long a test waits for what must come. It is long, so that a busy machine fails nothing.
const patience = 2 * time.Minute

// eventually waits until check has nothing to say against it any more.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still not after %s: %v", what, patience, err)
		}
		pause(t.Context(), 10*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// newSeed is a new number each time, or ESHOST_SEED. It is shown when the test fails.
func newSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("ESHOST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("ESHOST_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("run it again with ESHOST_SEED=%d", seed)
		}
	})
	return seed
}

func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// anyName is a name that nobody else has: prepared transactions share theirs with the whole server.
func anyName() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// upTo is a random time, mostly a short one.
func upTo(rng *rand.Rand, longest time.Duration) time.Duration {
	f := rng.Float64()
	return time.Duration(f * f * float64(longest))
}

// onEachStore runs a test on a fresh database of each kind.
func onEachStore(t *testing.T, test func(t *testing.T, storeURL string)) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, newDatabase(t, kind))
		})
	}
}

func newDatabase(t *testing.T, kind string) string {
	t.Helper()
	if kind == "postgres" {
		return pgtest.Database(t)
	}
	return "sqlite:" + filepath.Join(t.TempDir(), "events.db")
}

// openStore opens a store for the test's own use.
func openStore(t *testing.T, storeURL string) store.Store {
	t.Helper()
	s, err := host.OpenStore(t.Context(), storeURL, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// plugin is a section of hosts.toml.
type plugin struct {
	name, module string
	more         string // further lines of the section
}

// project is a folder with a hosts.toml.
type project struct {
	t   *testing.T
	dir string
}

// newProject writes a hosts.toml with a listener on a free port.
func newProject(t *testing.T, storeURL, hostName string, plugins ...plugin) *project {
	t.Helper()
	p := &project{t: t, dir: t.TempDir()}
	var toml strings.Builder
	fmt.Fprintf(&toml, "[host]\nname = %q\nlisten = \"127.0.0.1:0\"\ncache_dir = %q\n\n[store]\nurl = %q\n",
		hostName, cacheDir(), storeURL)
	for _, pl := range plugins {
		fmt.Fprintf(&toml, "\n[plugins.%s]\nmodule = %q\n%s\n", pl.name, pl.module, pl.more)
	}
	p.write("hosts.toml", toml.String())
	return p
}

func (p *project) write(name, content string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// set adds a line to a section of hosts.toml.
func (p *project) set(section, line string) {
	p.t.Helper()
	toml := string(read(p.t, filepath.Join(p.dir, "hosts.toml")))
	p.write("hosts.toml", strings.Replace(toml, section+"\n", section+"\n"+line+"\n", 1))
}

// config reads the project's hosts.toml, for a host inside the test's process.
func (p *project) config() *config.Config {
	p.t.Helper()
	conf, err := config.Load(filepath.Join(p.dir, "hosts.toml"), os.Getenv)
	if err != nil {
		p.t.Fatal(err)
	}
	return conf
}

// process is one run of the real binary.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr output
	done           chan struct{}
}

// start runs the binary in the project's folder. Nothing of it outlives the test.
func (p *project) start(stdin *os.File, args ...string) *process {
	p.t.Helper()
	pr := &process{t: p.t, cmd: exec.Command(eshost(p.t), args...), done: make(chan struct{})}
	pr.cmd.Dir, pr.cmd.Stdout, pr.cmd.Stderr = p.dir, &pr.stdout, &pr.stderr
	if stdin != nil {
		pr.cmd.Stdin = stdin
	}
	pr.cmd.SysProcAttr = childAttributes()
	if err := pr.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(pr.done)
		_ = pr.cmd.Wait() // the exit code is asked for by whom it concerns
	}()
	p.t.Cleanup(func() {
		pr.kill()
		if p.t.Failed() {
			p.t.Logf("eshost %s (process %d) said:\n%s%s", strings.Join(args, " "), pr.cmd.Process.Pid, pr.stdout.tail(), pr.stderr.tail())
		}
	})
	return pr
}

// host starts `eshost run`.
func (p *project) host() *process {
	p.t.Helper()
	return p.start(nil, "run")
}

// run runs a command to its end.
func (p *project) run(stdin string, args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	binary := eshost(p.t)
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.dir, strings.NewReader(stdin), &out, &errs
	cmd.SysProcAttr = childAttributes()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("eshost %v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// must runs a command that must succeed, and returns what it printed.
func (p *project) must(args ...string) string {
	p.t.Helper()
	code, out, errs := p.run("", args...)
	if code != 0 {
		p.t.Fatalf("eshost %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

var readyLine = regexp.MustCompile(`(?m)^eshost: ready, .*, (https?://\S+)$`)

// ready waits for the line that says that the host runs, and returns its listener's URL.
func (p *process) ready() string {
	p.t.Helper()
	var url string
	eventually(p.t, "start the host", func() error {
		if m := readyLine.FindStringSubmatch(p.stdout.String()); m != nil {
			url = m[1]
			return nil
		}
		select {
		case <-p.done:
			p.t.Fatalf("the host ended at its start: %v", p.cmd.ProcessState)
		default:
		}
		return errors.New("no ready line")
	})
	return url
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// signal sends a signal to a process that may be gone.
func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signal %v: %v", s, err)
	}
}

// stop asks the process to end, as timeout(1) does: twice at once. It expects that the process ends well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("a stopped host ended with code %d", code)
	}
}

// wait waits for the end and returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the process does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// output keeps what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) tail() string {
	const most = 8 << 10
	s := o.String()
	return s[max(0, len(s)-most):]
}
