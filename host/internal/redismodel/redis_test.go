package redismodel_test

import (
	"context"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// server is a redis-server of a test's own, which keeps nothing on disk.
type server struct {
	t    *testing.T
	port int
	args []string
	cmd  *exec.Cmd
	db   *redis.Client
}

func startRedis(t *testing.T, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is missing: scripts/setup installs it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := &server{t: t, port: l.Addr().(*net.TCPAddr).Port, args: args}
	check(t, l.Close())
	s.db = s.client(2 * time.Second)
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *server) start() {
	s.t.Helper()
	args := append([]string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.t.TempDir()}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	check(s.t, s.cmd.Start())
	eventually(s.t, "Redis answers", func() bool { return s.db.Ping(context.Background()).Err() == nil })
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// hang has the server accept and never answer until goOn.
func (s *server) hang() { check(s.t, s.cmd.Process.Signal(syscall.SIGSTOP)) }
func (s *server) goOn() { check(s.t, s.cmd.Process.Signal(syscall.SIGCONT)) }

func (s *server) flush() { check(s.t, s.db.FlushAll(context.Background()).Err()) }

// client returns a client as the host has one: it gives up in time and tries nothing twice.
func (s *server) client(limit time.Duration) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), MaxRetries: -1, ContextTimeoutEnabled: true,
		DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit,
	})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	until := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(until) {
			t.Fatalf("still not so after a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
