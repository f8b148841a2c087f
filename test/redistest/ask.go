package redistest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
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
