package redis

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const correctURL = "correct redis.url: it must name a Redis server"

const ping = "*1\r\n$4\r\nPING\r\n"

// greet finds out what listens where Redis should, before any password is sent there. It returns nil for something that
// answers as Redis does.
func (c *Client) greet(ctx context.Context) error {
	conn, err := c.dial(ctx, c.connect.TLSConfig)
	switch {
	case err != nil && c.connect.TLSConfig != nil && c.speaksPlainly(ctx):
		return c.wantsNoTLS()
	case err != nil:
		return c.explain(err)
	}
	defer conn.Close()
	line, err := ask(ctx, conn, ping, c.o.Timeout)
	switch {
	case err != nil && line == "" && isTimeout(err):
		return c.problem("accepts connections and does not answer within %s", c.o.Timeout).
			hint("if Redis is there it hangs or is cut off; if something else is, correct redis.url")
	case err != nil && line == "":
		return c.whoHangsUp(ctx)
	}
	return c.judge(line)
}

// judge says what is wrong with the answer to a PING.
func (c *Client) judge(line string) error {
	switch {
	case strings.HasPrefix(line, "+PONG"), strings.HasPrefix(line, "-NOAUTH"), strings.HasPrefix(line, "-NOPERM"):
		return nil
	case strings.HasPrefix(line, "-") && redisWord(line[1:]):
		return c.explain(goredisError(strings.TrimRight(line[1:], "\r\n")))
	case strings.HasPrefix(line, "HTTP/"), strings.HasPrefix(strings.TrimSpace(line), "<"):
		return c.problem("is no Redis but a web server; it answers %q", shorten(line)).hint(correctURL)
	case strings.HasPrefix(line, "SSH-"):
		return c.problem("is no Redis but an SSH server; it answers %q", shorten(line)).hint(correctURL)
	case strings.HasPrefix(line, "\x15\x03"): // a TLS alert
		return c.wantsTLS()
	}
	return c.problem("is no Redis; it answers %q", shorten(line)).hint(correctURL)
}

// whoHangsUp tells those apart who close a connection on a PING.
func (c *Client) whoHangsUp(ctx context.Context) error {
	if conn, err := c.dial(ctx, nil); err == nil {
		line, _ := ask(ctx, conn, "\x00\x00\x00\x08\x04\xd2\x16\x2f", c.o.Timeout/4) // PostgreSQL's SSLRequest
		conn.Close()
		if line == "S" || line == "N" {
			return c.problem("is no Redis but PostgreSQL").hint(correctURL)
		}
	}
	if c.connect.TLSConfig == nil {
		probe := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // nothing is sent: whether TLS is spoken is all that is asked
		if conn, err := c.dial(ctx, probe); err == nil {
			conn.Close()
			return c.wantsTLS()
		}
	}
	return c.problem("closes the connection without an answer").
		hint("if Redis is there its log says why; if something else is, correct redis.url")
}

// speaksPlainly reports whether Redis answers without TLS. One that does waits in silence for the end of what it takes for
// a long command, when it is greeted with TLS.
func (c *Client) speaksPlainly(ctx context.Context) bool {
	conn, err := c.dial(ctx, nil)
	if err != nil {
		return false
	}
	defer conn.Close()
	line, _ := ask(ctx, conn, ping, c.o.Timeout)
	return line != "" && c.judge(line) == nil
}

func (c *Client) wantsNoTLS() *Problem {
	return c.problem("does not speak TLS").hint("write redis:// instead of rediss:// in redis.url, or correct it")
}

func (c *Client) wantsTLS() error {
	return c.problem("speaks TLS").hint("write rediss:// instead of redis:// in redis.url")
}

// dial connects, with TLS where a configuration is given.
func (c *Client) dial(ctx context.Context, conf *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	if conf == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", c.connect.Addr)
	}
	d := tls.Dialer{Config: conf}
	return d.DialContext(ctx, "tcp", c.connect.Addr)
}

// ask writes a request and returns the beginning of the answer: its first line, or what came at once.
func ask(ctx context.Context, conn net.Conn, request string, timeout time.Duration) (string, error) {
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	const most = 256
	r := bufio.NewReaderSize(conn, most)
	first, err := r.Peek(1)
	if err != nil {
		return "", err
	}
	if first[0] != '+' && first[0] != '-' && first[0] != '<' && first[0] != 'H' {
		b, _ := r.Peek(r.Buffered())
		return string(b), nil
	}
	line, err := r.ReadSlice('\n') // no longer than the buffer
	return string(line), err
}

// check asks a server that answers as Redis does whether it can be used. It returns its version, "" if it may not say.
func (c *Client) check(ctx context.Context, client *goredis.Client) (version string, err error) {
	if err := client.Ping(ctx).Err(); err != nil {
		return "", c.explain(err)
	}
	info, err := client.Info(ctx).Result()
	if err != nil {
		if e := goredis.Error(nil); errors.As(err, &e) {
			return "", nil // a user who may not ask; what matters is found out by doing it
		}
		return "", c.explain(err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	switch {
	case fields["redis_version"] == "":
		return "", c.problem("answers a PING but says nothing of a Redis when asked what it is").hint(correctURL)
	case fields["loading"] == "1":
		return "", c.loading()
	case fields["role"] == "slave":
		return "", c.replica()
	}
	return shorten(fields["redis_version"]), nil
}

// goredisError is an error that Redis answered with, where it was read without the library.
type goredisError string

func (e goredisError) Error() string { return string(e) }
func (goredisError) RedisError()     {}

// redisWord reports whether an error begins as Redis's do, with a word in capitals.
func redisWord(text string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	return word != "" && word == strings.ToUpper(word) && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// shorten makes what somebody else said fit to be shown.
func shorten(text string) string {
	const most = 80
	text = strings.TrimSpace(text)
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// Problem is why Redis cannot be used.
type Problem struct {
	Reason string // a sentence without secrets
	Hint   string // what to do about it
}

func (p *Problem) Error() string { return p.Reason }

func (c *Client) problem(format string, args ...any) *Problem {
	return &Problem{Reason: c.connect.Addr + " " + fmt.Sprintf(format, args...)}
}

func (p *Problem) hint(text string) *Problem {
	p.Hint = text
	return p
}
