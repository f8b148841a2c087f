package redistest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between clients and a server, and can be as bad as a network.
type Proxy struct {
	t   testing.TB
	l   net.Listener
	all sync.WaitGroup

	mu     sync.Mutex
	target string
	delay  time.Duration
	cut    bool
	conns  map[net.Conn]struct{}
	moved  chan struct{} // closed and replaced when cut ends
	over   bool
}

// NewProxy starts a proxy before an address.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, l: l, target: target, conns: make(map[net.Conn]struct{}), moved: make(chan struct{})}
	p.all.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Lead leads new connections to another address, and breaks those that are.
func (p *Proxy) Lead(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.Reset()
}

// Delay holds back what is sent from now on, in either direction.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Cut lets nothing through any more and says nothing of it, as a cable that is pulled. Connections are still accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
}

// Mend ends a cut. What was sent meanwhile arrives.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
	close(p.moved)
	p.moved = make(chan struct{})
}

// Reset breaks all connections.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *Proxy) close() {
	p.l.Close()
	p.mu.Lock()
	p.over = true
	close(p.moved)
	p.moved = make(chan struct{})
	p.mu.Unlock()
	p.Reset()
	p.all.Wait()
}

func (p *Proxy) accept() {
	for {
		from, err := p.l.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		to, err := net.Dial("tcp", target)
		if err != nil || !p.keep(from, to) {
			from.Close()
			continue
		}
		p.all.Go(func() { p.carry(from, to) })
		p.all.Go(func() { p.carry(to, from) })
	}
}

func (p *Proxy) keep(from, to net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		to.Close()
		return false
	}
	p.conns[from], p.conns[to] = struct{}{}, struct{}{}
	return true
}

type piece struct {
	bytes []byte
	due   time.Time
}

// carry brings what one end sends to the other. A delay holds back every piece by the same time, as a long cable does.
func (p *Proxy) carry(from, to net.Conn) {
	pieces := make(chan piece, 1024)
	p.all.Go(func() {
		defer to.Close()
		for b := range pieces {
			time.Sleep(time.Until(b.due))
			if !p.open() {
				break
			}
			if _, err := to.Write(b.bytes); err != nil {
				break
			}
		}
		for range pieces { // let the reader end
		}
	})
	defer close(pieces)
	defer from.Close()
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		if n > 0 {
			p.mu.Lock()
			due := time.Now().Add(p.delay)
			p.mu.Unlock()
			pieces <- piece{buf[:n], due}
		}
		if err != nil {
			return
		}
	}
}

// open waits until there is no cut, and reports false if the proxy has ended.
func (p *Proxy) open() bool {
	for {
		p.mu.Lock()
		cut, over, moved := p.cut, p.over, p.moved
		p.mu.Unlock()
		if over || !cut {
			return !over
		}
		<-moved
	}
}
