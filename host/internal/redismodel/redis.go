package redismodel

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/host/store"
)

var (
	//go:embed script/commit.lua
	commitSource string
	//go:embed script/open.lua
	openSource string
	//go:embed script/begin.lua
	beginSource string
	//go:embed script/reset.lua
	resetSource string
	//go:embed script/documents.lua
	documentsSource string
	//go:embed script/scan.lua
	scanSource string
	//go:embed script/sequences.lua
	sequencesSource string
	//go:embed script/waiting.lua
	waitingSource string
)

var (
	commitScript    = redis.NewScript(commitSource)
	openScript      = redis.NewScript(openSource)
	beginScript     = redis.NewScript(beginSource)
	resetScript     = redis.NewScript(resetSource)
	documentsScript = redis.NewScript(documentsSource)
	scanScript      = redis.NewScript(scanSource)
	sequencesScript = redis.NewScript(sequencesSource)
	waitingScript   = redis.NewScript(waitingSource)
)

// server is a Redis, with a time limit on every call.
type server struct {
	client redis.UniversalClient
	limit  time.Duration
}

func (s server) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("no answer from Redis within %s", s.limit))
}

// explain names Redis as the cause, and the time limit where it was that.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done() // the connection has the same deadline, and may notice it a moment sooner
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return &away{fmt.Errorf("%w: %w", cause, err)}
	}
	return &away{fmt.Errorf("ask Redis: %w", damage(err))}
}

// away is an error of Redis itself, for those who do not know what keeps the read model: see store.ErrAway.
type away struct{ error }

func (e *away) Unwrap() []error { return []error{store.ErrAway, e.error} }

// run runs a script, which answers with a list whose first element is a word.
func (s server) run(ctx context.Context, script *redis.Script, keys []string, args []any) ([]any, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	answer, err := script.Run(ctx, s.client, keys, args...).Slice()
	return answer, explain(ctx, err)
}

// together runs commands in one transaction.
func (s server) together(ctx context.Context, queue func(p redis.Pipeliner)) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error { queue(p); return nil })
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return explain(ctx, err)
}

// node is the server that has a key: in a cluster one of many.
func (s server) node(ctx context.Context, key string) (redis.Cmdable, error) {
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, key)
	}
	return s.client, nil
}

// evicts returns the policy by which the server that has a key may drop any key at all, "" if it does not.
// known is false where it does not say.
func (s server) evicts(ctx context.Context, key string) (policy string, known bool, err error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	node, err := s.node(ctx, key)
	if err != nil {
		return "", false, explain(ctx, err)
	}
	info, err := node.Info(ctx, "memory").Result()
	var refused redis.Error
	if errors.As(err, &refused) {
		return "", false, nil // not every account may ask
	}
	if err != nil {
		return "", false, explain(ctx, err)
	}
	limit := ""
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "maxmemory":
			limit = value
		case "maxmemory_policy":
			policy, known = value, true
		}
	}
	if limit == "0" || !strings.HasPrefix(policy, "allkeys-") {
		policy = "" // keys without an expiry stay
	}
	return policy, known, nil
}

// find lists all keys that match a pattern, on the server that has them.
func (s server) find(ctx context.Context, key, pattern string) ([]string, error) {
	node, err := s.node(ctx, key)
	if err != nil {
		return nil, explain(ctx, err)
	}
	var all []string
	for cursor := uint64(0); ; {
		page, next, err := s.scanOnce(ctx, node, cursor, pattern)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if cursor = next; cursor == 0 {
			return all, nil
		}
	}
}

func (s server) scanOnce(ctx context.Context, node redis.Cmdable, cursor uint64, pattern string) ([]string, uint64, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	page, next, err := node.Scan(ctx, cursor, pattern, 1000).Result()
	return page, next, explain(ctx, err)
}

// text is an element of a script's answer, "" if it is no text.
func text(answer []any, i int) string {
	if i >= len(answer) {
		return ""
	}
	s, _ := answer[i].(string)
	return s
}
