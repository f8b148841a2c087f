package redis

import (
	"fmt"
	"time"
)

// State is how Redis is used.
type State string

// States.
const (
	// Checking: whether there is a Redis is being found out, for the first time.
	Checking State = "checking"
	// OK: hosts wake each other.
	OK State = "ok"
	// Slow: hosts wake each other, but Redis answers more slowly than polling finds an event; so every host polls.
	Slow State = "slow"
	// Failing: Redis cannot be used; every host polls.
	Failing State = "failing"
)

// Role is what this host does for the others.
type Role string

// Roles.
const (
	// PollsForAll: the other hosts poll rarely.
	PollsForAll Role = "polls for all"
	// IsWoken: another host polls, and this one rarely.
	IsWoken Role = "is woken"
	// PollsForItself as without Redis.
	PollsForItself Role = "polls for itself"
)

// Status is how Redis is used, and why it is not.
type Status struct {
	// Server is the URL without user and password.
	Server string
	// Version is what the server calls its version, "" if it does not say.
	Version string
	State   State
	// Reason is why the state is not OK, and Hint what to do about it.
	Reason, Hint string
	// Since is when the state began.
	Since time.Time
	Role  Role
	// RoundTrip is how long the last command took. Zero before the first.
	RoundTrip time.Duration
	// Published and Received count messages to and from other hosts, Ignored those that were none of a host's.
	Published, Received, Ignored uint64
	// Changed counts messages about documents, Dropped those that were not sent: their readers are told that
	// something is missing.
	Changed, Dropped uint64
}

// Status returns what the client does now.
func (c *Client) Status() Status {
	s := c.now()
	s.Server = c.name
	switch {
	case c.polling.Load():
		s.Role = PollsForAll
	case c.pace.isRare():
		s.Role = IsWoken
	default:
		s.Role = PollsForItself
	}
	s.Published, s.Received, s.Ignored = c.published.Load(), c.received.Load(), c.ignored.Load()
	s.Changed, s.Dropped = c.feed.sent.Load(), c.feed.dropped.Load()
	return s
}

// now returns the state and what goes with it. Run alone changes it, and logs a change before anybody can see it.
func (c *Client) now() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// become changes the state.
func (c *Client) become(state State, reason, hint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.State != state {
		c.status.Since = time.Now()
	}
	c.status.State, c.status.Reason, c.status.Hint = state, reason, hint
}

// failed says once that Redis cannot be used, and again if the reason becomes another one.
func (c *Client) failed(err error) {
	p := c.explain(err)
	if before := c.now(); before.State != Failing || before.Reason != p.Reason {
		c.o.Logger.Warn("Redis cannot be used; this host polls the database as without it and keeps trying",
			"redis", c.name, "reason", p.Reason, "hint", p.Hint)
	}
	c.become(Failing, p.Reason, p.Hint)
}

// works says once that Redis is used.
func (c *Client) works(version string) {
	if before := c.now(); before.State == Failing {
		c.o.Logger.Info("Redis is used again", "redis", c.name, "version", version, "after", time.Since(before.Since).Round(time.Millisecond))
	} else {
		c.o.Logger.Info("using Redis to wake other hosts", "redis", c.name, "version", version)
	}
	c.become(OK, "", "")
	c.mu.Lock()
	c.status.Version = version
	c.mu.Unlock()
}

// took notes how long a command took, and says once when Redis has become slow or quick.
func (c *Client) took(d time.Duration, slow bool) {
	c.mu.Lock()
	c.status.RoundTrip = d
	before := c.status.State
	c.mu.Unlock()
	trip := d.Round(time.Millisecond)
	switch {
	case slow && before != Slow:
		c.o.Logger.Warn("Redis is slow; this host polls the database as without it", "redis", c.name, "round_trip", trip, "limit", c.o.slowAfter())
		c.become(Slow, fmt.Sprintf("Redis takes longer than %s to answer; polling the database finds events as soon", c.o.slowAfter()),
			"use a Redis that is nearer or has less to do")
	case !slow && before == Slow:
		c.o.Logger.Info("Redis is quick again", "redis", c.name, "round_trip", trip)
		c.become(OK, "", "")
	}
}
