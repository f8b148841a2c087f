// Package redistest starts Redis servers that belong to a test: on ports of their own, and without anything on disk.
package redistest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to start or to end.
const patience = time.Minute

// Server is a Redis server that a test owns. It is gone when the test ends.
type Server struct {
	t        testing.TB
	binary   string
	port     string
	settings []string
	password string

	mu      sync.Mutex
	cmd     *exec.Cmd
	out     *strings.Builder
	done    chan struct{}
	stopped bool // by SIGSTOP
}

// Start starts a server and waits until it answers. Settings are further ones of redis.conf, name and value by turns.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("no redis-server: run scripts/setup, or install Redis: %v", err)
	}
	s := &Server{t: t, binary: binary, settings: settings}
	for i := 0; i+1 < len(settings); i += 2 {
		if settings[i] == "requirepass" {
			s.password = settings[i+1]
		}
	}
	t.Cleanup(s.Kill)
	// A port that is free now may not be a moment later.
	for try := 0; ; try++ {
		s.port = freePort(t)
		if err = s.start(); err == nil {
			return s
		}
		if try == 10 {
			t.Fatalf("start redis-server: %v\n%s", err, s.out)
		}
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// Addr is where the server listens.
func (s *Server) Addr() string { return "127.0.0.1:" + s.port }

// URL is the server's, with its password if it has one.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr(), Path: "/0"}
	if s.password != "" {
		u.User = url.UserPassword("", s.password)
	}
	return u.String()
}

// Start starts the server again on its port, empty.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("start redis-server again: %v\n%s", err, s.out)
	}
}

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := s.t.TempDir()
	args := []string{"--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir, "--daemonize", "no"}
	for i := 0; i+1 < len(s.settings); i += 2 {
		args = append(args, "--"+s.settings[i], s.settings[i+1])
	}
	s.cmd, s.out, s.done, s.stopped = exec.Command(s.binary, args...), &strings.Builder{}, make(chan struct{}), false
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.SysProcAttr = attributes()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		_ = cmd.Wait() // how a server that is no longer wanted ends does not matter
	}(s.cmd, s.done)
	for deadline := time.Now().Add(patience); ; {
		select {
		case <-s.done:
			return errors.New("the server ended at its start")
		case <-time.After(5 * time.Millisecond):
		}
		answer, err := s.ask("PING")
		if err == nil && answer == "+PONG" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer within %s: %s %w", patience, answer, err)
		}
	}
}

// Do sends a command of words without spaces and returns the first line of the answer.
func (s *Server) Do(command string) string {
	s.t.Helper()
	answer, err := s.ask(command)
	if err != nil {
		s.t.Fatalf("redis %s: %v", command, err)
	}
	return answer
}

// Pause stops the server where it is: it accepts connections and does not answer.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal redis-server: %v", err)
	}
}

// Kill ends the server as a power cut would, if it runs.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill() // or it is gone
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Errorf("redis-server does not end; its process is %d", s.cmd.Process.Pid)
	}
}
