package host

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eshost/host/event"
	"eshost/host/internal/admin"
	"eshost/host/internal/delivery"
	"eshost/host/internal/redis"
	"eshost/host/internal/tail"
	"eshost/host/store"
)

// newPeers returns this host's end of the Redis that hosts.toml names, nil without one. It connects when it is run: a host
// neither waits for Redis nor fails without it.
func (h *Host) newPeers() (*redis.Client, error) {
	conf := h.conf.Redis
	if conf.URL == "" {
		return nil, nil
	}
	return redis.New(redis.Options{
		URL: conf.URL, Prefix: conf.Prefix, Timeout: conf.Timeout, Changes: conf.Changes,
		Scope: h.redis.database, Host: h.self.ID, PollMax: h.conf.Store.PollMax,
		Wake: h.tail.Wake, SetMaxPoll: h.tail.SetMaxPoll, Seen: h.seen,
		Logger: h.log,
	})
}

// seen is what this host last saw of the log's end.
func (h *Host) seen() redis.End { return endOf(h.tail.Status()) }

func endOf(s tail.Status) redis.End {
	return redis.End{Head: s.Head, Watermark: s.Watermark, Bell: s.Bell, Polled: s.Polled}
}

// tellSeen tells the other hosts of everything that this one sees first, until ctx ends. What they hear makes them look for
// themselves: the bell, too, is heard from the store alone.
func (h *Host) tellSeen(ctx context.Context) {
	var last tail.Status
	for {
		now, err := h.tail.Wait(ctx, func(s tail.Status) bool {
			return s.Head != last.Head || s.Watermark != last.Watermark || s.Bell != last.Bell
		})
		if err != nil {
			return
		}
		h.peers.Polled(endOf(now))
		last = now
	}
}

// appended has this host, and the others, look at what was appended.
func (h *Host) appended(highest event.Position) {
	h.tail.Wake()
	if h.peers != nil {
		h.peers.Appended(highest)
	}
}

// rang has this host, and the others, look at what it has just rung the store's bell for.
func (h *Host) rang() {
	h.tail.Wake()
	if h.peers != nil {
		h.peers.Look()
	}
}

// published tells who listens on Redis what a live read model's commits change.
func (h *Host) published(plugin string, state delivery.State) delivery.State {
	if h.peers == nil {
		return state
	}
	return publishedState{state, h, plugin}
}

type publishedState struct {
	delivery.State
	h      *Host
	plugin string
}

// Acquire is the store's. What the owner before has committed may not have been told, and another generation may be the
// live one now.
func (s publishedState) Acquire(ctx context.Context, generation int64, hostID string) (store.Lease, error) {
	lease, err := s.State.Acquire(ctx, generation, hostID)
	if err == nil {
		s.h.peers.Reset(s.plugin)
	}
	return lease, err
}

// Release is the store's. Whoever is to go on looks at once.
func (s publishedState) Release(ctx context.Context, generation, epoch int64) error {
	err := s.State.Release(ctx, generation, epoch)
	s.h.rang()
	return err
}

// Commit is the store's. One that may or may not have been applied is followed by an Acquire.
func (s publishedState) Commit(ctx context.Context, c store.Commit) error {
	err := s.State.Commit(ctx, c)
	if err == nil {
		s.h.peers.Changed(s.plugin, c.Position, c.Documents)
	}
	return err
}

// redisStatus is how Redis is used, nil without one.
func (h *Host) redisStatus() *admin.Redis {
	if h.peers == nil {
		return nil
	}
	s := h.peers.Status()
	return &admin.Redis{
		Server: s.Server, Version: s.Version, State: string(s.State), Reason: s.Reason, Hint: s.Hint, Since: s.Since,
		Role: string(s.Role), RoundTripSeconds: s.RoundTrip.Seconds(),
		Published: s.Published, Received: s.Received, Ignored: s.Ignored, Changed: s.Changed, Dropped: s.Dropped,
	}
}

var (
	redisUp        = describe("eshost_redis_up", "1 if this host uses Redis, else 0: then it polls the database as without it. No series without [redis].")
	redisSlow      = describe("eshost_redis_slow", "1 if Redis answers more slowly than polling the database finds an event, else 0.")
	redisPolls     = describe("eshost_redis_polls_for_all", "1 if this host polls the database for the others, else 0.")
	redisRoundTrip = describe("eshost_redis_round_trip_seconds", "How long the last command took.")
	redisPublished = describe("eshost_redis_published_total", "Messages to other hosts.")
	redisReceived  = describe("eshost_redis_received_total", "Messages from other hosts.")
	redisIgnored   = describe("eshost_redis_ignored_total", "Messages on the hosts' channel that were none of a host's.")
	redisChanges   = describe("eshost_redis_changes_total", "Messages about documents that were published.")
	redisDropped   = describe("eshost_redis_changes_dropped_total", "Messages about documents that were not published; their readers are told that something is missing.")
)

var redisMetrics = []*prometheus.Desc{redisUp, redisSlow, redisPolls, redisRoundTrip, redisPublished, redisReceived, redisIgnored, redisChanges, redisDropped}

func (l live) collectRedis(ch chan<- prometheus.Metric) {
	if l.h.peers == nil {
		return
	}
	s := l.h.peers.Status()
	gauge(ch, redisUp, flag(s.State == redis.OK || s.State == redis.Slow))
	gauge(ch, redisSlow, flag(s.State == redis.Slow))
	gauge(ch, redisPolls, flag(s.Role == redis.PollsForAll))
	if s.RoundTrip > 0 {
		gauge(ch, redisRoundTrip, s.RoundTrip.Round(time.Microsecond).Seconds())
	}
	counter(ch, redisPublished, s.Published)
	counter(ch, redisReceived, s.Received)
	counter(ch, redisIgnored, s.Ignored)
	counter(ch, redisChanges, s.Changed)
	counter(ch, redisDropped, s.Dropped)
}
