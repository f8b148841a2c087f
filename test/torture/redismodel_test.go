package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/host/event"
)

// redisSnapshot is a plugin's read model in Redis at one moment, read as any program reads it that knows the layout, which
// is in host/internal/redismodel/doc.go.
type redisSnapshot struct {
	at        time.Duration                  // of the run
	meta      map[string]string              // empty if there is none
	documents map[string]map[string]document // by collection and key
	counts    map[string]string              // documents of each collection, as meta is written
	index     map[string][]string            // the keys of each collection
	sequences map[string]redisSequence       // by key
	waiting   map[string][]event.Position    // by key of their sequence
}

// redisSequence is a failing or parked one.
type redisSequence struct {
	State    string
	Position event.Position
	Kind     string // how its first event has failed; empty if it only waits for its turn
}

// bookCollections are those that the module book may write, and the one that it must leave no document in.
var bookCollections = []string{"ledger", "shared", "junk"}

// lookRedis reads a read model in one transaction: all of it is of one commit.
func (w *world) lookRedis(ctx context.Context, plugin string) (redisSnapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s := redisSnapshot{at: time.Since(w.began), documents: map[string]map[string]document{}, index: map[string][]string{},
		sequences: map[string]redisSequence{}, waiting: map[string][]event.Position{}}
	name := func(key string) string { return "eshost:{" + plugin + "}:" + key }
	tx := w.redisReader.TxPipeline()
	meta, counts := tx.HGetAll(ctx, name("meta")), tx.HGetAll(ctx, name("collections"))
	sequences, waiting := tx.HGetAll(ctx, name("sequences")), tx.ZRange(ctx, name("waiting"), 0, -1)
	documents, index := map[string]*redis.MapStringStringCmd{}, map[string]*redis.StringSliceCmd{}
	for _, c := range bookCollections {
		documents[c], index[c] = tx.HGetAll(ctx, name("documents:"+c)), tx.ZRange(ctx, name("index:"+c), 0, -1)
	}
	if _, err := tx.Exec(ctx); err != nil {
		return s, fmt.Errorf("read %s in Redis: %w", plugin, err)
	}
	s.meta, s.counts = meta.Val(), counts.Val()
	for _, c := range bookCollections {
		s.index[c], s.documents[c] = index[c].Val(), map[string]document{}
		for key, data := range documents[c].Val() {
			s.documents[c][key] = document{data: data}
		}
	}
	return s, s.readSequences(sequences.Val(), waiting.Val())
}

func (s *redisSnapshot) readSequences(sequences map[string]string, waiting []string) error {
	for key, encoded := range sequences {
		var q redisSequence
		if err := json.Unmarshal([]byte(encoded), &q); err != nil {
			return fmt.Errorf("sequence %s in Redis is %.200q: %w", key, encoded, err)
		}
		s.sequences[key] = q
	}
	for _, member := range waiting {
		key, digits, _ := strings.Cut(member, "\x00")
		p, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return fmt.Errorf("a waiting event in Redis is %q: %w", member, err)
		}
		s.waiting[key] = append(s.waiting[key], event.Position(p))
	}
	return nil
}

// number is one of meta's, -1 if it is none.
func (s *redisSnapshot) number(field string) int64 {
	n, err := strconv.ParseInt(s.meta[field], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (s *redisSnapshot) position() event.Position { return event.Position(s.number("position")) }

// watchRedis reads the read models in Redis again and again, as pages and caches do, until stop is called. What could be
// read is then in w.seen.
func (w *world) watchRedis() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	plugins := w.plugins()
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; pause(ctx, 50*time.Millisecond) {
			for _, p := range plugins {
				if p.inRedis {
					w.sight(ctx, p.name)
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}

// sight looks once. Whoever reads while Redis is away, or lives through its end, is told nothing that could be checked.
func (w *world) sight(ctx context.Context, plugin string) {
	s, err := w.lookRedis(ctx, plugin)
	if err != nil {
		return
	}
	if seen := w.seen[plugin]; len(seen) > 0 && maps.Equal(seen[len(seen)-1].meta, s.meta) {
		return // every commit changes it
	}
	w.seen[plugin] = append(w.seen[plugin], s)
}

// settledInRedis reports a read model in Redis that is not done, by what is in Redis.
func (w *world) settledInRedis(ctx context.Context, plugin string, head event.Position) error {
	s, err := w.lookRedis(ctx, plugin)
	switch {
	case err != nil:
		return err
	case len(s.meta) == 0:
		return fmt.Errorf("%s has no read model in Redis", plugin)
	case s.meta["state"] != "ready" || s.position() < head:
		return fmt.Errorf("%s is %s in Redis, at %d of %d", plugin, s.meta["state"], s.position(), head)
	}
	for key, q := range s.sequences {
		if q.State != "parked" {
			return fmt.Errorf("%s has sequence %s in Redis, which is %s", plugin, key, q.State)
		}
	}
	return nil
}

// readRedis reads what a plugin has in Redis at the end, by its layout and by each host's API.
func (w *world) readRedis(ctx context.Context, generation int64, p *pluginRecord) error {
	p.generation, p.seen = generation, w.seen[p.name]
	s, err := w.lookRedis(ctx, p.name)
	if err != nil {
		return err
	}
	p.seen = append(p.seen, s)
	p.documents = s.documents
	for key, q := range s.sequences {
		p.parked[key] = parked{q.Position, len(s.waiting[key])}
	}
	if p.strays, err = w.store.Collections(ctx, generation); err != nil {
		return err
	}
	p.served = map[string]map[string]map[string]string{}
	for _, n := range w.nodes {
		if p.served[n.name], err = n.served(ctx, p.name); err != nil {
			return fmt.Errorf("ask %s: %w", n.name, err)
		}
	}
	return nil
}

// served is what the host's API says of a plugin's documents, by collection and key.
func (n *node) served(ctx context.Context, plugin string) (map[string]map[string]string, error) {
	path := "/v1/plugins/" + url.PathEscape(plugin) + "/documents"
	var names struct{ Collections []string }
	if err := n.get(ctx, path, &names); err != nil {
		return nil, err
	}
	all := map[string]map[string]string{}
	for _, c := range names.Collections {
		all[c] = map[string]string{}
		for next := path + "/" + url.PathEscape(c) + "?limit=1000"; next != ""; {
			var page struct {
				Documents []struct {
					Key  string
					Data json.RawMessage
				}
				Next string
			}
			if err := n.get(ctx, next, &page); err != nil {
				return nil, err
			}
			for _, d := range page.Documents {
				all[c][d.Key] = string(d.Data)
			}
			next = page.Next
		}
	}
	return all, nil
}

// get asks the host's API.
func (n *node) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	base := n.listener()
	if base == "" {
		return errors.New("it is not ready")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// usesRedis reports a host that does not use Redis: it is not ready, or Redis is no good to it.
func (n *node) usesRedis(ctx context.Context) error {
	var status struct {
		Redis struct{ State, Reason string }
	}
	if err := n.get(ctx, "/v1/status", &status); err != nil {
		return fmt.Errorf("ask %s: %w", n.name, err)
	}
	if s := status.Redis.State; s != "ok" && s != "slow" {
		return fmt.Errorf("%s: Redis is %q: %s", n.name, status.Redis.State, status.Redis.Reason)
	}
	return nil
}
