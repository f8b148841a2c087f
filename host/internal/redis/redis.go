package redis

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"eshost/host/event"
)

// Options of New. URL, Scope, Host, Wake, SetMaxPoll and Seen must be given.
type Options struct {
	// URL is redis://USER:PASSWORD@HOST:PORT/DB, or rediss://… for TLS.
	URL string
	// Prefix begins the name of every key and channel. Defaults to "eshost".
	Prefix string
	// Scope names the database: hosts of one database share it, others have another one.
	Scope string
	// Host is this host's id, which no other host has.
	Host string
	// Timeout bounds connecting, and each command. Defaults to 1s.
	Timeout time.Duration
	// PollMax is the longest pause of an idle host between two polls. Defaults to 100ms.
	PollMax time.Duration
	// RarePoll is that pause while another host polls for all; not less than PollMax. Defaults to 1s.
	RarePoll time.Duration
	// Beat is how often the polling host says that it polls. Defaults to 250ms.
	Beat time.Duration
	// MaxBackoff is the longest pause between two tries to reach Redis. Defaults to 5s.
	MaxBackoff time.Duration
	// Changes publishes what Changed is told. Defaults to false.
	Changes bool

	// Wake makes this host look at the log's end at once. It must not block.
	Wake func()
	// SetMaxPoll sets the longest pause of this host between two polls. It must not block.
	SetMaxPoll func(time.Duration)
	// Seen is what this host last saw of the log's end. It must not block.
	Seen func() End

	// Logger defaults to a silent one.
	Logger *slog.Logger
}

// End is what a host saw of the log's end.
type End struct {
	Head, Watermark event.Position
	// Bell is the store's counter of changes that concern other hosts.
	Bell int64
	// Polled is when. Zero before the first poll.
	Polled time.Time
}

func (e End) beyond(o End) bool {
	return e.Head > o.Head || e.Watermark > o.Watermark || e.Bell > o.Bell
}

func (o Options) withDefaults() Options {
	o.Prefix = cmp.Or(o.Prefix, "eshost")
	o.Timeout = cmp.Or(o.Timeout, time.Second)
	o.PollMax = cmp.Or(o.PollMax, 100*time.Millisecond)
	o.RarePoll = max(cmp.Or(o.RarePoll, time.Second), o.PollMax)
	o.Beat = cmp.Or(o.Beat, 250*time.Millisecond)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// quietAfter is how long nothing may be heard of a host that polls for all.
func (o Options) quietAfter() time.Duration { return 3 * o.Beat }

// slowAfter is how long a command may take before polling is no slower, or before beats cannot be told from silence.
func (o Options) slowAfter() time.Duration { return max(20*time.Millisecond, min(o.PollMax, o.Beat)) }

// tokenTTL is how long a host that stops renewing keeps the token.
func (o Options) tokenTTL() time.Duration { return 8 * o.Beat }

// Client is this host's end of Redis. It is safe for concurrent use, and nothing of it waits for Redis but Run.
type Client struct {
	o       Options
	connect *goredis.Options
	name    string // of the server, without secrets
	pace    *pace
	feed    *feed

	say chan struct{} // something waits in pending

	mu      sync.Mutex
	pending message // what is to be said next, zero if nothing is
	status  Status

	polling   atomic.Bool // this host polls for all
	published atomic.Uint64
	received  atomic.Uint64
	ignored   atomic.Uint64
}

// New returns a client that connects when it is run. It fails for a URL that is none.
func New(o Options) (*Client, error) {
	o = o.withDefaults()
	connect, err := Connect(o.URL, o.Timeout)
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, connect: connect, name: describe(connect), pace: newPace(o), feed: newFeed(o), say: make(chan struct{}, 1)}
	c.status = Status{State: Checking, Since: time.Now()}
	return c, nil
}

// Connect returns how to connect to a URL's Redis: every step has a time limit, nothing is tried twice behind the
// caller's back, and the server is asked for nothing that an old one does not know. From then on the library says nothing
// on standard error.
func Connect(url string, timeout time.Duration) (*goredis.Options, error) {
	// What it has to say would come past the log; every error that matters is returned to us.
	logging.Disable()
	o, err := goredis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("the Redis URL is none: it must be redis://USER:PASSWORD@HOST:PORT/DB") // err may hold the password
	}
	o.Protocol = 2
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout, timeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = -1, 1
	o.PipelinePoolSize = -1
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

// describe names a server without secrets.
func describe(o *goredis.Options) string {
	scheme := "redis"
	if o.TLSConfig != nil {
		scheme = "rediss"
	}
	host, port, _ := net.SplitHostPort(o.Addr)
	return scheme + "://" + net.JoinHostPort(host, port) + "/" + strconv.Itoa(o.DB)
}

// Run keeps in touch with Redis until ctx ends.
func (c *Client) Run(ctx context.Context) {
	defer c.pace.stop()
	failures := 0
	for {
		began := time.Now()
		err := c.runOnce(ctx)
		c.polling.Store(false)
		c.pace.usual()
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 10*c.o.Timeout {
			failures = 0 // it was fine for a while
		}
		c.failed(err)
		c.feed.lose() // what was not told is not told later
		pause := min(100*time.Millisecond<<min(failures, 10), c.o.MaxBackoff)
		failures++
		if !sleep(ctx, pause/2+rand.N(pause/2+1)) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// runOnce uses Redis until something fails or ctx ends.
func (c *Client) runOnce(ctx context.Context) error {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return s.run(ctx)
}

// Appended tells the other hosts that this one has appended events.
func (c *Client) Appended(highest event.Position) { c.tell(message{Head: int64(highest)}) }

// Polled tells the other hosts what this one has seen, if it polls for all.
func (c *Client) Polled(e End) {
	if c.polling.Load() {
		c.tell(message{Head: int64(e.Head), Mark: int64(e.Watermark), Bell: e.Bell})
	}
}

// Look makes the other hosts look at the database at once: something has changed that is no event.
func (c *Client) Look() { c.tell(message{Look: true}) }

// tell adds to what is to be said next. There is never more than one message waiting.
func (c *Client) tell(m message) {
	c.mu.Lock()
	c.pending = c.pending.with(m)
	c.mu.Unlock()
	signal(c.say)
}

// signal wakes whoever waits for a channel of one, now or next.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// take returns what is to be said next.
func (c *Client) take() message {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.pending
	c.pending = message{}
	return m
}
