package torture

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between one host and one server, and can do to their connections what a network does.
type proxy struct {
	listener net.Listener
	wait     sync.WaitGroup

	mu     sync.Mutex
	target string
	state  link
	delay  time.Duration
	open   chan struct{} // closed while bytes may pass
	conns  map[net.Conn]bool
	closed bool
}

// link is how a proxy treats connections.
type link int

const (
	passing link = iota
	cut          // connections are reset, and new ones too
	hung         // connections are made and kept, and no byte passes until it passes again
	mute         // what clients send passes, and no answer comes back: when that ends, the connections do
)

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.open)
	p.wait.Go(p.serve)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// set changes how connections are treated from now on. What was held back by a hung link then arrives late.
func (p *proxy) set(state link, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == hung && state != hung {
		close(p.open)
	}
	if p.state != hung && state == hung {
		p.open = make(chan struct{})
	}
	silent := p.state == mute && state != mute
	p.state, p.delay = state, delay
	if state == cut || silent {
		p.resetLocked()
	}
}

// point makes new connections lead elsewhere.
func (p *proxy) point(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// reset breaks the connections that there are.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resetLocked()
}

func (p *proxy) resetLocked() {
	for c := range p.conns {
		abort(c)
	}
}

// abort closes a connection with a reset: the other side learns of it at once, and what was under way is gone.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it is closed either way
	}
	_ = c.Close()
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.resetLocked()
	p.mu.Unlock()
	p.set(passing, 0) // let go of those that wait
	_ = p.listener.Close()
	p.wait.Wait()
}

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wait.Go(func() { p.join(c) })
	}
}

// join connects a client with the server until either ends.
func (p *proxy) join(client net.Conn) {
	defer abort(client)
	if !p.keep(client) {
		return
	}
	defer p.forget(client)
	target, ok := p.pass()
	if !ok {
		return
	}
	server, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		return
	}
	defer abort(server)
	if !p.keep(server) {
		return
	}
	defer p.forget(server)
	var both sync.WaitGroup
	both.Go(func() { p.pump(server, client, false) })
	both.Go(func() { p.pump(client, server, true) })
	both.Wait()
}

// pump moves bytes one way.
func (p *proxy) pump(to, from net.Conn, answers bool) {
	defer abort(to)
	defer abort(from)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, ok := p.pass(); !ok {
				return
			}
			if answers && p.isMute() {
				continue
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until bytes may pass, and as long as they take.
func (p *proxy) pass() (target string, ok bool) {
	for {
		p.mu.Lock()
		open, delay, state, target, closed := p.open, p.delay, p.state, p.target, p.closed
		p.mu.Unlock()
		switch {
		case closed || state == cut:
			return "", false
		case state == hung:
			<-open
			continue
		}
		time.Sleep(delay)
		return target, true
	}
}

func (p *proxy) isMute() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == mute
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.state == cut {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// tally counts bytes.
type tally struct{ n atomic.Int64 }

func (t *tally) Write(b []byte) (int, error) {
	t.n.Add(int64(len(b)))
	return len(b), nil
}

// TestProxy holds the proxy to what the faults are made of: a fault that does nothing proves nothing.
func TestProxy(t *testing.T) {
	t.Parallel()
	var arrived tally
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, io.TeeReader(c, &arrived)) }()
		}
	}()
	p, err := newProxy(echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	say := func(c net.Conn, patience time.Duration) error {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	c := dial()
	if err := say(c, time.Minute); err != nil {
		t.Fatalf("through a proxy that passes: %v", err)
	}
	p.set(hung, 0)
	if err := say(c, 50*time.Millisecond); err == nil {
		t.Error("a byte came through a hung link")
	}
	p.set(passing, 0)
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("what a hung link held back did not come: %v", err)
	}
	p.reset()
	if err := say(c, time.Minute); err == nil {
		t.Error("a connection outlived a reset")
	}
	if err := say(dial(), time.Minute); err != nil {
		t.Errorf("after a reset: %v", err)
	}
	p.set(cut, 0)
	if c, err := net.Dial("tcp", p.address()); err == nil { // else it was reset at once
		if err := say(c, time.Minute); err == nil {
			t.Error("a cut link answers")
		}
		c.Close()
	}
	p.set(passing, 0)
	c, before := dial(), arrived.n.Load()
	p.set(mute, 0)
	if err := say(c, 50*time.Millisecond); err == nil {
		t.Error("an answer came over a mute link")
	}
	for began := time.Now(); arrived.n.Load() == before; pause(t.Context(), time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("what was sent over a mute link does not arrive")
		}
	}
	p.set(passing, 0)
	if err := say(c, time.Minute); err == nil {
		t.Error("a connection outlived a mute link")
	}
	const slow = 30 * time.Millisecond
	p.set(passing, slow)
	began := time.Now()
	if err := say(dial(), time.Minute); err != nil || time.Since(began) < 2*slow {
		t.Errorf("a slow link took %s: %v", time.Since(began), err)
	}
}
