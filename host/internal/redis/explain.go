package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	goredis "github.com/redis/go-redis/v9"
)

// explain makes an error of the network's or of Redis's a sentence and a hint.
func (c *Client) explain(err error) *Problem {
	var known *Problem
	if errors.As(err, &known) {
		return known
	}
	if answered := goredis.Error(nil); errors.As(err, &answered) {
		return c.explainAnswer(answered.Error())
	}
	var (
		dns         *net.DNSError
		header      tls.RecordHeaderError
		certificate *tls.CertificateVerificationError
		unknown     x509.UnknownAuthorityError
		op          *net.OpError
	)
	switch {
	case errors.As(err, &dns):
		return c.problem("cannot be found: no such host as %q", dns.Name).hint("correct redis.url")
	case errors.Is(err, syscall.ECONNREFUSED):
		return c.problem("refuses connections").hint("start Redis there, or correct redis.url")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return c.problem("cannot be reached: there is no way to it from here").hint("look for a firewall in between, or correct redis.url")
	case errors.Is(err, errNotRedis), strings.HasPrefix(err.Error(), "redis: can't parse"):
		return c.problem("does not speak as Redis does: %s", shorten(err.Error())).hint(correctURL)
	case errors.As(err, &header):
		return c.wantsNoTLS()
	case errors.As(err, &certificate), errors.As(err, &unknown):
		return c.problem("has a certificate that cannot be trusted: %s", shorten(err.Error())).
			hint("install its authority on this machine, or correct the host's name in redis.url")
	case isTimeout(err) && errors.As(err, &op) && op.Op == "dial":
		return c.problem("cannot be reached within %s", c.o.Timeout).hint("look for a firewall in between, or correct redis.url")
	case isTimeout(err):
		return c.problem("does not answer within %s", c.o.Timeout).
			hint("Redis hangs, is cut off or the link is slow; redis.timeout is how long it may take")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return c.problem("has closed the connection").hint("its log says why")
	}
	return c.problem("cannot be used: %s", shorten(err.Error())).hint(correctURL)
}

// explainAnswer explains an error that Redis answered with.
func (c *Client) explainAnswer(text string) *Problem {
	word, _, _ := strings.Cut(text, " ")
	switch {
	case word == "NOAUTH" || strings.Contains(text, "HELLO must be called with the client already authenticated"):
		return c.problem("wants a password").hint("write it into redis.url, as redis://:${REDIS_PASSWORD}@" + c.connect.Addr)
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "invalid password"):
		return c.problem("refuses the password or the user").hint("correct the user and the password in redis.url")
	case strings.Contains(text, "without any password configured"), strings.Contains(text, "no password is set"):
		return c.problem("has no password, and redis.url names one").hint("leave the password out of redis.url, or set one in Redis")
	case word == "NOPERM":
		return c.problem("lets this user do too little: %s", shorten(text)).
			hint("the user needs PING, INFO, PUBLISH, SUBSCRIBE, EVAL, EVALSHA, GET, SET and DEL on keys and channels that begin with redis.prefix")
	case word == "LOADING":
		return c.loading()
	case word == "READONLY", word == "MASTERDOWN":
		return c.replica()
	case word == "DENIED":
		return c.problem("is in protected mode and takes connections of its own machine only").hint("set a password in Redis, or bind it to a network")
	case word == "MOVED", word == "CLUSTERDOWN", word == "CROSSSLOT":
		return c.problem("is a node of a Redis Cluster, which cannot be used").hint("name a single Redis in redis.url")
	case strings.Contains(text, "max number of clients"):
		return c.problem("has no room for another client").hint("raise maxclients in Redis, or find who holds so many connections")
	case word == "OOM":
		return c.problem("is full: %s", shorten(text)).hint("raise maxmemory in Redis, or have it evict")
	}
	return c.problem("answers with an error: %s", shorten(text))
}

func (c *Client) loading() *Problem {
	return c.problem("is still loading its data").hint("it will be used when that is done")
}

func (c *Client) replica() *Problem {
	return c.problem("is a replica, which cannot be written to").hint("name the primary in redis.url")
}
