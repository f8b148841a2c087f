package redis

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer serves each connection as it is told, until the test ends.
func fakeServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			all.Go(func() { defer conn.Close(); serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// silent reads and says nothing.
func silent(c net.Conn) { _, _ = bufio.NewReader(c).WriteTo(discard{}) }

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// greeting says something first.
func greeting(text string) func(net.Conn) {
	return func(c net.Conn) { fmt.Fprint(c, text); silent(c) }
}

// answering says the same to whatever it is asked.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		b := make([]byte, 4096)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			if _, err := fmt.Fprint(c, text); err != nil {
				return
			}
		}
	}
}

// redisLike answers commands, by their first words, as Redis would, and "+OK" where it knows none.
func redisLike(answers map[string]string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			command, err := readCommand(r)
			if err != nil {
				return
			}
			answer, ok := answers[strings.ToUpper(command[0])]
			if !ok {
				answer = "+OK\r\n"
			}
			if _, err := fmt.Fprint(c, answer); err != nil {
				return
			}
		}
	}
}

// readCommand reads an array of texts, of at least one.
func readCommand(r *bufio.Reader) ([]string, error) {
	var n int
	if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	words := make([]string, max(n, 1))
	for i := range n {
		var size int
		if _, err := fmt.Fscanf(r, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		words[i] = string(b[:size])
	}
	return words, nil
}

// deafening is a Redis that delivers messages until it is told not to. Then it says nothing more to who listens, and goes on
// answering commands.
type deafening struct {
	mu        sync.Mutex
	deaf      bool
	listeners map[net.Conn]string
}

func (d *deafening) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		words, err := readCommand(r)
		if err != nil {
			d.mu.Lock()
			delete(d.listeners, c)
			d.mu.Unlock()
			return
		}
		if answer := d.answer(c, words); answer != "" {
			fmt.Fprint(c, answer)
		}
	}
}

func (d *deafening) answer(c net.Conn, words []string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, listens := d.listeners[c]
	switch command := strings.ToUpper(words[0]); {
	case command == "SUBSCRIBE":
		d.listeners[c] = words[1]
		return "*3\r\n" + bulk("subscribe") + bulk(words[1]) + ":1\r\n"
	case command == "PUBLISH":
		for l, channel := range d.listeners {
			if channel == words[1] && !d.deaf {
				fmt.Fprint(l, "*3\r\n"+bulk("message")+bulk(words[1])+bulk(words[2]))
			}
		}
		return ":1\r\n"
	case command == "PING" && listens && d.deaf:
		return ""
	case command == "PING" && listens:
		return "*2\r\n" + bulk("pong") + bulk("")
	case command == "PING":
		return "+PONG\r\n"
	case command == "INFO":
		return bulk("redis_version:7.0.0\r\n")
	case command == "EVALSHA", command == "EVAL":
		return ":0\r\n" // another host has the token
	}
	return "-ERR unknown command\r\n"
}

func (d *deafening) set(deaf bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deaf = deaf
}

// postgresLike answers what PostgreSQL answers: one byte to who asks for TLS, and nothing to who does not speak its protocol.
func postgresLike(c net.Conn) {
	b := make([]byte, 8)
	if n, err := c.Read(b); err == nil && n == 8 && b[3] == 8 && b[4] == 4 {
		fmt.Fprint(c, "N")
		silent(c)
	}
}

// certificate is one that nobody trusts.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"redis.invalid"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsLike speaks TLS and closes the connection on everything else, with an alert or without.
func tlsLike(t *testing.T, alert string) func(net.Conn) {
	conf := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		if first, err := r.Peek(1); err != nil || first[0] != 0x16 {
			fmt.Fprint(c, alert)
			return
		}
		conn := tls.Server(readFirst{c, r}, conf)
		if conn.Handshake() == nil {
			silent(conn)
		}
	}
}

// readFirst is a connection of which a part has been read already.
type readFirst struct {
	net.Conn
	r *bufio.Reader
}

func (c readFirst) Read(b []byte) (int, error) { return c.r.Read(b) }

func webServer(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
