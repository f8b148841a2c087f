package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// session is one time that Redis is used, with two connections: one for commands, one that listens. When either breaks the
// session is over, so that nothing has to be guessed about what was missed.
type session struct {
	*Client
	client *goredis.Client
	sub    *goredis.PubSub
	hello  string

	listens chan struct{} // gets one when the subscription stands
	greeted chan struct{} // gets one when the session has heard itself
	free    chan struct{} // another host has given the token back
	broken  chan error    // of one
	read    chan struct{} // closed when the reader has returned
	heard   atomic.Int64  // when anything was last heard, in nanoseconds

	laps int // how many beats there were
	slow slowness
}

// open connects and finds out that it is Redis and can do what is wanted. Every step has a time limit.
func (c *Client) open(ctx context.Context) (*session, error) {
	if err := c.greet(ctx); err != nil {
		return nil, err
	}
	s := &session{
		Client:  c,
		hello:   rand.Text(),
		listens: make(chan struct{}, 1),
		greeted: make(chan struct{}, 1),
		free:    make(chan struct{}, 1),
		broken:  make(chan error, 1),
		read:    make(chan struct{}),
	}
	s.client = goredis.NewClient(s.connections())
	version, err := c.check(ctx, s.client)
	if err != nil {
		return nil, errors.Join(err, s.client.Close())
	}
	s.sub = s.client.Subscribe(ctx, c.channel())
	s.heard.Store(time.Now().UnixNano())
	go s.listen(ctx)
	if err := s.greetItself(ctx); err != nil {
		s.close()
		return nil, err
	}
	c.works(version)
	return s, nil
}

var (
	errOver     = errors.New("the session is over")
	errNotRedis = errors.New("what was heard is not what Redis says")
)

// connections allows two: a broken one is not replaced.
func (s *session) connections() *goredis.Options {
	o := *s.connect
	o.PoolSize = 1
	o.ConnMaxIdleTime = -1
	dial := goredis.NewDialer(&o)
	var dialled atomic.Int32
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dialled.Add(1) > 2 {
			return nil, errOver
		}
		return dial(ctx, network, addr)
	}
	return &o
}

func (c *Client) channel() string { return c.o.Prefix + ":" + c.o.Scope + ":wake" }

// greetItself publishes something and waits until the session hears it: only then does Redis do what it is for.
func (s *session) greetItself(ctx context.Context) error {
	if err := s.await(ctx, s.listens); err != nil {
		return err
	}
	begun := time.Now()
	if err := s.publish(ctx, message{Hello: s.hello}); err != nil {
		return s.cause(err)
	}
	if err := s.await(ctx, s.greeted); err != nil {
		return err
	}
	s.slow.first(time.Since(begun), s.o.slowAfter())
	return nil
}

// await waits for what the connection that listens must hear.
func (s *session) await(ctx context.Context, heard <-chan struct{}) error {
	timer := time.NewTimer(s.o.Timeout)
	defer timer.Stop()
	select {
	case <-heard:
		return nil
	case err := <-s.broken:
		return s.explain(err)
	case <-timer.C:
		return s.problem("takes messages and does not deliver them within %s", s.o.Timeout).
			hint("Redis must be one whose PUBLISH reaches its own subscribers; what is in between may not pass SUBSCRIBE on")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cause prefers what broke the connection that listens to what follows from it.
func (s *session) cause(err error) error {
	if errors.Is(err, errOver) {
		err = net.ErrClosed
	}
	select {
	case first := <-s.broken:
		if !errors.Is(first, errOver) {
			return s.explain(first)
		}
	default:
	}
	return s.explain(err)
}

func (s *session) close() {
	_ = s.sub.Close() // makes the reader return
	<-s.read
	_ = s.client.Close()
}

// run says and does what there is until something fails or ctx ends.
func (s *session) run(ctx context.Context) error {
	s.pace.allow(!s.slow.now)
	if s.slow.now {
		s.took(s.slow.last, true)
	}
	beat := time.NewTicker(s.o.Beat)
	defer beat.Stop()
	if err := s.beat(ctx); err != nil {
		return s.cause(err)
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			s.leave(ctx)
			return ctx.Err()
		case err = <-s.broken:
		case <-beat.C:
			err = s.beat(ctx)
		case <-s.free:
			err = s.wantToken(ctx)
		case <-s.say:
			err = s.publish(ctx, s.take())
		case <-s.feed.ready:
			err = s.publishChanges(ctx)
		}
		if err != nil {
			return s.cause(err)
		}
	}
}

// publish says something to the other hosts.
func (s *session) publish(ctx context.Context, m message) error {
	if m == (message{}) {
		return nil
	}
	if err := s.client.Publish(ctx, s.channel(), m.encode(s.o.Host)).Err(); err != nil {
		return err
	}
	s.published.Add(1)
	return nil
}

// beat keeps what must be kept: the token, the subscription, the others' trust that this host polls.
func (s *session) beat(ctx context.Context) error {
	if err := s.listening(ctx); err != nil {
		return err
	}
	s.laps++
	if s.laps%2 == 1 {
		if err := s.wantToken(ctx); err != nil {
			return err
		}
	}
	if !s.polling.Load() {
		return nil
	}
	end := s.o.Seen()
	return s.publish(ctx, message{Head: int64(end.Head), Mark: int64(end.Watermark), Bell: end.Bell, Poll: max(1, s.o.PollMax.Milliseconds())})
}

// listening finds out whether the connection that listens is alive.
func (s *session) listening(ctx context.Context) error {
	silent := time.Since(time.Unix(0, s.heard.Load()))
	switch {
	case silent > s.o.Timeout+s.o.quietAfter():
		return s.problem("keeps silent to the connection that listens, though it answers commands").
			hint("what is in between may drop idle connections")
	case silent > s.o.quietAfter():
		return s.sub.Ping(ctx)
	}
	return nil
}

// listen hears what is said until the connection breaks or is closed.
func (s *session) listen(ctx context.Context) {
	defer close(s.read)
	for {
		what, err := s.receive(ctx)
		if isTimeout(err) {
			continue // listening finds out whether that matters
		}
		if err != nil {
			s.broken <- err
			return
		}
		s.heard.Store(time.Now().UnixNano())
		switch what := what.(type) {
		case *goredis.Subscription:
			signal(s.listens)
		case *goredis.Message:
			s.hear(what.Payload)
		}
	}
}

// receive waits for the next thing that Redis says. The library takes for granted that it is Redis that speaks.
func (s *session) receive(ctx context.Context) (what any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errNotRedis, r)
		}
	}()
	return s.sub.ReceiveTimeout(ctx, time.Minute)
}

// hear takes in what another host said. It is a reason to look, whoever said it, and nothing else.
func (s *session) hear(text string) {
	m, ok := decode(text)
	switch {
	case !ok:
		s.ignored.Add(1)
		return
	case m.Hello != "":
		if m.Hello == s.hello && m.Host == s.o.Host {
			signal(s.greeted)
		}
		return
	case m.Host == s.o.Host:
		return
	}
	s.received.Add(1)
	if m.Free {
		s.pace.forget()
		signal(s.free)
	}
	// One that polls less often than this host would is not relied on.
	if m.Poll > 0 && m.Poll <= max(1, s.o.PollMax.Milliseconds()) && !s.polling.Load() {
		s.pace.beat()
	}
	if m.Look || m.end().beyond(s.o.Seen()) {
		s.o.Wake()
	}
}

// leave lets another host poll for all at once.
func (s *session) leave(ctx context.Context) {
	if !s.polling.Swap(false) {
		return
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Timeout/2)
	defer cancel()
	if s.giveToken(bye) == nil {
		_ = s.publish(bye, message{Free: true}) // else they find out when it expires
	}
}
