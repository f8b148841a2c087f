package redistest

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// ask sends a command on a connection of its own.
func (s *Server) ask(command string) (string, error) {
	conn, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	if s.password != "" {
		if _, err := say(conn, r, "AUTH "+s.password); err != nil {
			return "", err
		}
	}
	return say(conn, r, command)
}

func say(conn net.Conn, r *bufio.Reader, command string) (string, error) {
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return "", err
	}
	line, err := r.ReadString('\n')
	return strings.TrimSpace(line), err
}

// Listen subscribes to a channel until the test ends, and returns what has been said there so far.
func (s *Server) Listen(channel string) (heard func() []string) {
	s.t.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		s.t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if _, err := say(conn, r, "SUBSCRIBE "+channel); err != nil {
		s.t.Fatal(err)
	}
	var mu sync.Mutex
	var all []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(r); lines.Scan(); { // of messages without line breaks
			if text := lines.Text(); strings.HasPrefix(text, "{") {
				mu.Lock()
				all = append(all, text)
				mu.Unlock()
			}
		}
	}()
	s.t.Cleanup(func() { conn.Close(); <-done })
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}
