package redismodel_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/test/redistest"
)

// server is a Redis of a test's own, with a client for the test to look at it.
type server struct {
	*redistest.Server
	t  *testing.T
	db *redis.Client
}

func startRedis(t *testing.T, settings ...string) *server {
	t.Helper()
	s := &server{Server: redistest.Start(t, settings...), t: t}
	s.db = s.client(10 * time.Second)
	return s
}

func (s *server) flush() { check(s.t, s.db.FlushAll(context.Background()).Err()) }

// client returns a client as the host has one: it gives up in time and tries nothing twice.
func (s *server) client(limit time.Duration) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: s.Addr(), MaxRetries: -1, ContextTimeoutEnabled: true, DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit,
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
	until := time.Now().Add(2 * time.Minute)
	for !ok() {
		if time.Now().After(until) {
			t.Fatalf("still not so after two minutes: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
