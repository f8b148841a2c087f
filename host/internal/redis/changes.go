package redis

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"eshost/host/event"
)

const (
	maxNamed   = 100  // documents of one commit that are named one by one
	maxWaiting = 4096 // messages that wait to be published
	atOnce     = 256  // messages in one round trip
)

// change is one message about documents. doc.go shows its shapes.
type change struct {
	Scope       string   `json:"scope"`
	Plugin      string   `json:"plugin"`
	Collection  string   `json:"collection,omitempty"`
	Key         string   `json:"key,omitempty"`
	Position    int64    `json:"position,omitempty"`
	Deleted     bool     `json:"deleted,omitempty"`
	Many        bool     `json:"many,omitempty"`
	Collections []string `json:"collections,omitempty"`
	Reset       bool     `json:"reset,omitempty"`
}

// feed is what waits to be said of documents. It is bounded: what does not fit is dropped, and the plugin's readers are told
// that something was.
type feed struct {
	o     Options
	ready chan struct{}

	mu      sync.Mutex
	queue   []change
	resets  map[string]bool // plugins of which something was dropped
	sent    atomic.Uint64
	dropped atomic.Uint64
}

func newFeed(o Options) *feed {
	return &feed{o: o, ready: make(chan struct{}, 1), resets: make(map[string]bool)}
}

// Changed says which documents of a plugin a commit up to a position has written. It never blocks.
func (c *Client) Changed(plugin string, position event.Position, writes []event.DocumentWrite) {
	if !c.o.Changes || len(writes) == 0 {
		return
	}
	if len(writes) > maxNamed {
		var collections []string
		for i := range writes {
			if !slices.Contains(collections, writes[i].Collection) {
				collections = append(collections, writes[i].Collection)
			}
		}
		if len(collections) > maxNamed {
			c.Reset(plugin)
			return
		}
		c.feed.add(change{Plugin: plugin, Position: int64(position), Many: true, Collections: collections})
		return
	}
	changes := make([]change, len(writes))
	for i := range writes {
		d := &writes[i]
		changes[i] = change{Plugin: plugin, Collection: d.Collection, Key: d.Key, Position: int64(d.Position), Deleted: d.Data == nil}
	}
	c.feed.add(changes...)
}

// Reset says that any document of a plugin may have changed. It never blocks.
func (c *Client) Reset(plugin string) {
	if !c.o.Changes {
		return
	}
	c.feed.mu.Lock()
	c.feed.resets[plugin] = true
	c.feed.mu.Unlock()
	signal(c.feed.ready)
}

// add queues messages; the oldest ones make room.
func (f *feed) add(changes ...change) {
	f.mu.Lock()
	f.queue = append(f.queue, changes...)
	if more := len(f.queue) - maxWaiting; more > 0 {
		f.drop(f.queue[:more])
		f.queue = slices.Delete(f.queue, 0, more)
	}
	f.mu.Unlock()
	signal(f.ready)
}

// lose drops all that waits.
func (f *feed) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(f.queue)
	f.queue = nil
}

// drop notes that messages are not sent. The lock is held.
func (f *feed) drop(changes []change) {
	f.dropped.Add(uint64(len(changes)))
	for i := range changes {
		f.resets[changes[i].Plugin] = true
	}
}

// take returns the next messages, those about what was dropped first, and whether more wait.
func (f *feed) take() (next []change, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for plugin := range f.resets {
		next = append(next, change{Plugin: plugin, Reset: true})
	}
	clear(f.resets)
	n := min(len(f.queue), atOnce)
	next = append(next, f.queue[:n]...)
	f.queue = slices.Delete(f.queue, 0, n)
	return next, len(f.queue) > 0
}

// publishChanges publishes the next messages in one round trip.
func (s *session) publishChanges(ctx context.Context) error {
	next, more := s.feed.take()
	if len(next) == 0 {
		return nil
	}
	_, err := s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range next {
			next[i].Scope = s.o.Scope
			b, err := json.Marshal(next[i])
			if err != nil {
				return err
			}
			p.Publish(ctx, s.o.Prefix+":changes:"+next[i].Plugin, b)
		}
		return nil
	})
	if err != nil {
		s.feed.mu.Lock()
		s.feed.drop(next) // some may have been sent
		s.feed.mu.Unlock()
		return err
	}
	s.feed.sent.Add(uint64(len(next)))
	if more {
		signal(s.feed.ready)
	}
	return nil
}
