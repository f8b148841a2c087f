package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// take sets the token if nobody else has it, and keeps it for some milliseconds from now on. After a FLUSHALL or a restart
// whoever asks first has it.
var takeToken = goredis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

// dropToken deletes the token if this host has it.
var dropToken = goredis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)

func (c *Client) token() string { return c.o.Prefix + ":" + c.o.Scope + ":poller" }

// wantToken takes, keeps or gives up the token, and measures how quick Redis is.
func (s *session) wantToken(ctx context.Context) error {
	if !s.fit() {
		if s.polling.Swap(false) {
			if err := s.giveToken(ctx); err != nil {
				return err
			}
			if err := s.publish(ctx, message{Free: true}); err != nil {
				return err
			}
		}
		begun := time.Now()
		if err := s.client.Ping(ctx).Err(); err != nil {
			return err
		}
		s.measure(time.Since(begun))
		return nil
	}
	begun := time.Now()
	mine, err := takeToken.Run(ctx, s.client, []string{s.token()}, s.o.Host, s.o.tokenTTL().Milliseconds()).Int()
	if err != nil {
		return err
	}
	s.polling.Store(mine == 1)
	if mine == 1 {
		s.pace.usual()
		s.pace.allow(!s.slow.now)
	}
	s.measure(time.Since(begun))
	return nil
}

// fit reports whether others may rely on this host to poll for them: it must see the database, and be heard soon.
func (s *session) fit() bool {
	polled, pause := s.o.Seen().Polled, s.o.PollMax
	if s.pace.isRare() {
		pause = s.o.RarePoll
	}
	return !s.slow.now && !polled.IsZero() && time.Since(polled) < pause+s.o.quietAfter()
}

func (s *session) giveToken(ctx context.Context) error {
	return dropToken.Run(ctx, s.client, []string{s.token()}, s.o.Host).Err()
}

// measure notes how long a command took.
func (s *session) measure(d time.Duration) {
	before := s.slow.now
	s.slow.note(d, s.o.slowAfter())
	s.took(d, s.slow.now)
	if s.slow.now != before {
		s.pace.allow(!s.slow.now)
	}
}

// slowness changes when commands took too long, or not, three times in a row.
type slowness struct {
	now   bool
	last  time.Duration
	other int // in a row that say otherwise
}

func (s *slowness) first(d, limit time.Duration) { s.now, s.last = d > limit, d }

func (s *slowness) note(d, limit time.Duration) {
	s.last = d
	if (d > limit) == s.now {
		s.other = 0
		return
	}
	if s.other++; s.other >= 3 {
		s.now, s.other = !s.now, 0
	}
}
