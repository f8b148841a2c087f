package redis

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/test/redistest"
)

// TestWhatIsNoRedisIsNamed starts a host with each thing that may listen where Redis should. The host polls as without Redis, says
// once what is wrong and what to do, and never sends its password.
func TestWhatIsNoRedisIsNamed(t *testing.T) {
	t.Parallel()
	replica := "# Replication\r\nredis_version:7.0.0\r\nrole:slave\r\n"
	for name, c := range map[string]struct {
		addr func(t *testing.T) string
		says string
		hint string
	}{
		"nobody":                   {closedPort, "refuses connections", "start Redis"},
		"no such host":             {func(*testing.T) string { return "redis.invalid:6379" }, "cannot be found", "correct redis.url"},
		"a black hole":             {func(t *testing.T) string { return fakeServer(t, silent) }, "does not answer", "hangs"},
		"a web server":             {webServer, "web server", "correct redis.url"},
		"a web server of old":      {func(t *testing.T) string { return fakeServer(t, answering("<html>400</html>\n")) }, "web server", "correct"},
		"SSH":                      {func(t *testing.T) string { return fakeServer(t, greeting("SSH-2.0-OpenSSH_9.2\r\n")) }, "SSH server", "correct"},
		"MySQL":                    {func(t *testing.T) string { return fakeServer(t, greeting("J\x00\x00\x00\n8.0.36\x00")) }, "is no Redis", "correct"},
		"mail":                     {func(t *testing.T) string { return fakeServer(t, greeting("220 mail ESMTP\r\n")) }, `is no Redis; it answers "220 mail ESMTP"`, "correct"},
		"POP3":                     {func(t *testing.T) string { return fakeServer(t, greeting("+OK POP3 ready\r\n")) }, `is no Redis; it answers "+OK`, "correct"},
		"memcached":                {func(t *testing.T) string { return fakeServer(t, answering("ERROR\r\n")) }, "is no Redis", "correct"},
		"garbage":                  {func(t *testing.T) string { return fakeServer(t, greeting(strings.Repeat("\xff\x00", 1<<16))) }, "is no Redis", "correct"},
		"PostgreSQL":               {func(t *testing.T) string { return fakeServer(t, postgresLike) }, "PostgreSQL", "correct"},
		"who hangs up":             {func(t *testing.T) string { return fakeServer(t, func(net.Conn) {}) }, "closes the connection without an answer", "log"},
		"TLS":                      {func(t *testing.T) string { return fakeServer(t, tlsLike(t, "")) }, "speaks TLS", "rediss://"},
		"TLS with an alert":        {func(t *testing.T) string { return fakeServer(t, tlsLike(t, "\x15\x03\x01\x00\x02\x02\x46")) }, "speaks TLS", "rediss://"},
		"an echo":                  {func(t *testing.T) string { return fakeServer(t, echo) }, "is no Redis", "correct"},
		"who says PONG to all":     {func(t *testing.T) string { return fakeServer(t, answering("+PONG\r\n")) }, "does not speak as Redis does", "correct"},
		"who says nothing of it":   {redisLikeAt(map[string]string{"PING": "+PONG\r\n", "HELLO": "-ERR unknown command\r\n", "INFO": bulk("x:1\r\n")}), "says nothing of a Redis", "correct"},
		"a replica":                {redisLikeAt(map[string]string{"PING": "+PONG\r\n", "HELLO": "-ERR unknown command\r\n", "INFO": bulk(replica)}), "replica", "primary"},
		"who does not deliver":     {redisLikeAt(map[string]string{"PING": "+PONG\r\n", "HELLO": "-ERR x\r\n", "INFO": bulk("redis_version:7\r\n"), "PUBLISH": ":0\r\n", "SUBSCRIBE": ""}), "does not deliver", "PUBLISH"},
		"who subscribes to dirt":   {redisLikeAt(map[string]string{"PING": "+PONG\r\n", "HELLO": "-ERR x\r\n", "INFO": bulk("redis_version:7\r\n"), "PUBLISH": ":0\r\n", "SUBSCRIBE": "*0\r\n"}), "does not speak as Redis does", "correct"},
		"who subscribes to an int": {redisLikeAt(map[string]string{"PING": "+PONG\r\n", "HELLO": "-ERR x\r\n", "INFO": bulk("redis_version:7\r\n"), "PUBLISH": ":0\r\n", "SUBSCRIBE": "*1\r\n:1\r\n"}), "does not speak as Redis does", "correct"},
		"who is loading":           {redisLikeAt(map[string]string{"PING": "-LOADING Redis is loading the dataset in memory\r\n"}), "still loading", "used when"},
		"who protects itself": {func(t *testing.T) string {
			return fakeServer(t, greeting("-DENIED Redis is running in protected mode because\r\n"))
		}, "protected mode", "password"},
		"who is full of clients": {func(t *testing.T) string { return fakeServer(t, greeting("-ERR max number of clients reached\r\n")) }, "no room for another client", "maxclients"},
		"a cluster's node": {redisLikeAt(map[string]string{"PING": "-CLUSTERDOWN The cluster is down\r\n"}),
			"Redis Cluster", "single"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := c.addr(t)
			begun := time.Now()
			h := newHost(t, "a", "redis://app:hunter2@"+addr+"/0", func(o *Options) { o.Timeout = 300 * time.Millisecond })
			h.await(Failing, c.says)
			s := h.client.Status()
			if !strings.Contains(s.Hint, c.hint) || !strings.Contains(s.Reason, addr) && !strings.Contains(s.Reason, "redis.invalid") {
				t.Errorf("reason %q, hint %q", s.Reason, s.Hint)
			}
			t.Logf("after %s: %s; %s", time.Since(begun).Round(time.Millisecond), s.Reason, s.Hint)
			if strings.Contains(h.said()+fmt.Sprint(s), "hunter2") {
				t.Error("the password is shown")
			}
			h.awaitRole(PollsForItself)
			h.client.Appended(1)               // nobody waits for Redis
			time.Sleep(300 * time.Millisecond) // some more tries, which are not logged
			if n := countLines(h.said(), "msg="); n != 1 {
				t.Errorf("%d lines were logged:\n%s", n, h.said())
			}
			h.end()
		})
	}
}

func redisLikeAt(answers map[string]string) func(t *testing.T) string {
	return func(t *testing.T) string { return fakeServer(t, redisLike(answers)) }
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

func echo(c net.Conn) {
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// TestNoPasswordIsSentToStrangers listens to what a host sends to something that is no Redis.
func TestNoPasswordIsSentToStrangers(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var heard strings.Builder
	addr := fakeServer(t, func(c net.Conn) {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			mu.Lock()
			heard.Write(b[:n])
			mu.Unlock()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 mail ESMTP\r\n")
		}
	})
	h := newHost(t, "a", "redis://app:hunter2@"+addr)
	h.await(Failing, "is no Redis")
	h.end()
	mu.Lock()
	defer mu.Unlock()
	if got := heard.String(); !strings.Contains(got, "PING") || strings.Contains(got, "hunter2") {
		t.Errorf("it was sent %q", got)
	}
}

// TestTLS connects to a server whose certificate nobody has signed, and to things that speak no TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ addr, says string }{
		"untrusted":    {fakeServer(t, tlsLike(t, "")), "certificate that cannot be trusted"},
		"no TLS":       {redistest.Start(t).Addr(), "does not speak TLS"},
		"web server":   {webServer(t), "does not speak TLS"},
		"a black hole": {fakeServer(t, silent), "does not answer"},
		"nobody":       {closedPort(t), "refuses connections"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newHost(t, "a", "rediss://:hunter2@"+c.addr, func(o *Options) { o.Timeout = 500 * time.Millisecond }).await(Failing, c.says)
		})
	}
}

// TestPasswords are checked with a real server.
func TestPasswords(t *testing.T) {
	t.Parallel()
	locked, open := redistest.Start(t, "requirepass", "right"), redistest.Start(t)
	for url, want := range map[string]string{
		"redis://" + locked.Addr():                 "wants a password",
		"redis://:wrong@" + locked.Addr():          "refuses the password",
		"redis://nobody:right@" + locked.Addr():    "refuses the password",
		"rediss://:right@" + locked.Addr():         "does not speak TLS",
		"redis://:right@" + locked.Addr() + "/99":  "DB index is out of range",
		"redis://someone:secret@" + open.Addr():    "refuses the password",
		"redis://:right@" + locked.Addr():          "",
		"redis://default:right@" + locked.Addr():   "",
		"redis://:unneeded@" + open.Addr() + "/15": "",
	} {
		t.Run(strings.ReplaceAll(url, "/", "_"), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, "a", url)
			if want == "" {
				h.await(OK, "")
			} else {
				h.await(Failing, want)
			}
		})
	}
}

// TestAUserWhoMayDoLittle is one with exactly what doc.go asks for, and with less.
func TestAUserWhoMayDoLittle(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do("ACL SETUSER app on >pw ~eshost:* &eshost:* -@all +ping +info +publish +subscribe +eval +evalsha +get +set +del")
	s.Do("ACL SETUSER quiet on >pw ~eshost:* &eshost:* -@all +ping +publish +subscribe +eval +evalsha +get +set +del")
	s.Do("ACL SETUSER other on >pw ~other:* &other:* +@all")
	newHost(t, "a", "redis://app:pw@"+s.Addr()).await(OK, "")
	newHost(t, "b", "redis://quiet:pw@"+s.Addr()).await(OK, "")
	newHost(t, "c", "redis://other:pw@"+s.Addr()).await(Failing, "too little")
}

func TestARealReplicaIsRefused(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	replica := redistest.Start(t)
	h := newHost(t, "a", replica.URL())
	h.await(OK, "")
	_, port, _ := net.SplitHostPort(primary.Addr())
	replica.Do("REPLICAOF 127.0.0.1 " + port) // as in a failover
	h.await(Failing, "replica")
	h.awaitRole(PollsForItself)
	replica.Do("REPLICAOF NO ONE")
	h.await(OK, "")
}

func TestNoURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "http://:hunter2@x", "redis://:hunter2@x/zero", "redis://:hunter2\x00@x"} {
		_, err := New(Options{URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
