package torture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// node is one host: its folder, its links and its process, of which it may have many one after another.
type node struct {
	name, dir string
	binary    string
	url       string // of the database, as the host reaches it
	database  *proxy // nil where the database is a file
	redis     *proxy
	ended     func(node, how string)

	mu     sync.Mutex
	proc   *process // nil while none runs
	starts int
	closed bool // nothing starts it any more
}

// process is one run of `eshost run`.
type process struct {
	cmd   *exec.Cmd
	out   string // path of what it prints
	done  chan struct{}
	asked bool // to end, by us
}

// start starts the host's process.
func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil || n.closed {
		return nil
	}
	n.starts++
	p := &process{done: make(chan struct{}), out: filepath.Join(n.dir, fmt.Sprintf("run-%02d.log", n.starts))}
	log, err := os.OpenFile(p.out, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(n.binary, "run")
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = n.dir, log, log
	p.cmd.SysProcAttr = childAttributes()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	n.proc = p
	go n.watch(p)
	return nil
}

// watch reports a process that ends unasked.
func (n *node) watch(p *process) {
	_ = p.cmd.Wait() // how it ended is in ProcessState
	n.mu.Lock()
	asked := p.asked
	if n.proc == p {
		n.proc = nil
	}
	n.mu.Unlock()
	close(p.done)
	text := read(p.out)
	for _, sign := range []string{"WARNING: DATA RACE", "\npanic: ", "fatal error: "} {
		if i := strings.Index(text, sign); i >= 0 {
			n.ended(n.name, text[i:min(len(text), i+1500)])
			return
		}
	}
	switch {
	case asked:
	case p.cmd.ProcessState.ExitCode() == 3 && !readyLine.MatchString(text):
		// Whoever starts a host while its database is away is told so, and starts it again.
		time.Sleep(300 * time.Millisecond)
		if err := n.start(); err != nil {
			n.ended(n.name, err.Error())
		}
	default:
		n.ended(n.name, fmt.Sprintf("%v: %s", p.cmd.ProcessState, lastLines(text, 3)))
	}
}

// read returns a log, or why it cannot be read.
func read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// signal sends a signal to the process if there is one; one that ends it says so.
func (n *node) signal(s syscall.Signal) *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.proc
	if p == nil {
		return nil
	}
	if s == syscall.SIGKILL || s == syscall.SIGTERM {
		p.asked = true
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		n.ended(n.name, fmt.Sprintf("signal %v: %v", s, err))
	}
	return p
}

// close ends the process for good.
func (n *node) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.kill()
}

// kill ends the process as a power cut would.
func (n *node) kill() {
	if p := n.signal(syscall.SIGKILL); p != nil {
		<-p.done
	}
}

// stop ends the process as an operator does, and takes more than patience for a fault of the host.
func (n *node) stop(patience time.Duration) {
	p := n.signal(syscall.SIGTERM)
	if p == nil {
		return
	}
	select {
	case <-p.done:
		// One that has hardly begun to start is interrupted, or ended by the signal itself.
		status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
		interrupted := status.ExitStatus() == 130 || status.Signaled() && status.Signal() == syscall.SIGTERM
		if !p.cmd.ProcessState.Success() && !(interrupted && !readyLine.MatchString(read(p.out))) {
			n.ended(n.name, fmt.Sprintf("a stopped host ended with %v", p.cmd.ProcessState))
		}
	case <-time.After(patience):
		n.ended(n.name, fmt.Sprintf("a stopped host has not ended within %s", patience))
		n.kill()
	}
}

var readyLine = regexp.MustCompile(`(?m)^eshost: ready, .*, (https?://\S+)$`)

// listener is the URL of the host's listener, empty while it is not ready.
func (n *node) listener() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return ""
	}
	if m := readyLine.FindStringSubmatch(read(n.proc.out)); m != nil {
		return m[1]
	}
	return ""
}
