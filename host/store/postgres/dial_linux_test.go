package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"eshost/host/store"
	"eshost/test/pgtest"
)

// TestCutWithoutAWord has a network drop all that a store sends on its connections, which nothing acknowledges any more. A
// statement without a deadline finds out, and one that follows goes on through a new connection.
func TestCutWithoutAWord(t *testing.T) {
	t.Parallel()
	network, through := between(t, pgtest.Database(t))
	s := opened(t, through)
	check(t, s.RegisterHost(t.Context(), store.Host{ID: "h", Name: "h", StartedAt: time.Now(), Weight: 1}, time.Hour))
	if _, err := s.Hosts(t.Context()); err != nil {
		t.Fatal(err)
	}
	network.drop(t)
	// Without a limit the system sends again for a quarter of an hour.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var steps sync.WaitGroup
	for name, step := range map[string]func() error{
		"hosts": func() error { _, err := s.Hosts(ctx); return err },
		"find":  func() error { _, err := s.FindPlugin(ctx, "p"); return err },
		"renew": func() error { return s.RenewHost(ctx, "h", time.Hour) },
	} {
		steps.Go(func() {
			if err := step(); err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s during the cut: %v", name, err)
			}
			if _, err := s.Hosts(ctx); err != nil {
				t.Errorf("after %s: %v", name, err)
			}
		})
	}
	steps.Wait()
}

// link is the network between a store and its server.
type link struct {
	mu    sync.Mutex
	conns []*net.TCPConn // from the store
}

// between puts a network before a database, and returns the URL that leads through it.
func between(t *testing.T, database string) (*link, string) {
	t.Helper()
	u, err := url.Parse(database)
	check(t, err)
	server := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	l := &link{}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.conns = append(l.conns, conn.(*net.TCPConn))
			l.mu.Unlock()
			all.Go(func() { lead(conn, server) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		l.mu.Lock()
		for _, conn := range l.conns {
			conn.Close()
		}
		l.mu.Unlock()
		all.Wait()
	})
	u.Host = listener.Addr().String()
	return l, u.String()
}

// lead carries what is said between a connection and a server, until one of them ends it.
func lead(conn net.Conn, server string) {
	defer conn.Close()
	back, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{conn: back, back: conn} {
		both.Go(func() {
			_, _ = io.Copy(to, from) // it ends as the connection does
			conn.Close()
			back.Close()
		})
	}
	both.Wait()
}

// drop has the system throw away every packet that comes on the connections there are, before anything acknowledges it.
func (l *link) drop(t *testing.T) {
	t.Helper()
	nothing := []syscall.SockFilter{{Code: syscall.BPF_RET | syscall.BPF_K, K: 0}} // how much of a packet is let through
	l.mu.Lock()
	defer l.mu.Unlock()
	cut := 0
	//lint:ignore SA1019 what it names instead only writes programs, and the program is one instruction
	filter := syscall.AttachLsf
	for _, conn := range l.conns {
		raw, err := conn.SyscallConn()
		check(t, err)
		if raw.Control(func(fd uintptr) { err = filter(int(fd), nothing) }) == nil { // else it has ended
			check(t, err)
			cut++
		}
	}
	if cut == 0 {
		t.Fatal("there is no connection to cut")
	}
}
