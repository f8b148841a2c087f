package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// changes streams what changes in a plugin's documents. Its events are
//
//	reset       {generation, position, reason}: what changed up to there is not told; read the documents
//	change      {collection, key, position, data} or {…, deleted}: what the document is now
//	checkpoint  {generation, position}: everything up to there has been told; its id is where to come back
//
// A stream begins with a reset unless the client comes back to where it was. Several writes of a document
// that are told at once are told as the last one. What another host's plugin changes this host does not
// hear, and partitions change documents out of order: such a stream is a reset whenever the read model has
// changed, at most one a second.
func (s *server) changes(w http.ResponseWriter, r *http.Request) error {
	p := query(r, "after")
	_, asked := p.text("after")
	after := p.position("after", 0)
	if p.err != nil {
		return p.err
	}
	gen, err := s.findPlugin(r.Context(), r.PathValue("plugin"))
	if err != nil {
		return err
	}
	f, live, err := s.openFeed(w, r)
	if !live {
		return err
	}
	defer s.feeds.leave()
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	c := &changeFeed{server: s, feed: f, gen: gen}
	if at, position, ok := parseCursor(r.Header.Get("Last-Event-ID")); ok {
		c.at = at
		c.gen.Position = position // which is all that the client has: another host may have gone on since
	} else if asked {
		c.at, _ = s.o.Changes.from(gen.ID, after)
	}
	if _, _, ok := s.o.Changes.since(gen.ID, c.at); !ok {
		if err := c.reset(ctx, "begin"); err != nil {
			return nil // the client comes back
		}
	}
	c.run(ctx)
	return nil
}

// changeFeed is one client's stream of changes.
type changeFeed struct {
	*server
	*feed
	gen store.Generation
	at  cursor
	// seen is what the read model of another host's plugin was when the client was last told.
	seen signature
}

// signature changes whenever a read model does.
type signature struct {
	generation int64
	position   event.Position
	updated    time.Time
}

// ownerLook is how often a stream looks whose the plugin is.
const ownerLook = time.Second

func (c *changeFeed) run(ctx context.Context) {
	look := time.NewTicker(ownerLook)
	defer look.Stop()
	silent := time.Now()
	for {
		moved := c.o.Changes.moved(c.gen.ID)
		list, next, ok := c.o.Changes.since(c.gen.ID, c.at)
		if !ok {
			if c.reset(ctx, "behind") != nil {
				return
			}
		} else if len(list) > 0 {
			c.tell(list, next)
		}
		if len(c.buf) > 0 {
			silent = time.Now()
		} else if time.Since(silent) >= c.o.Limits.Heartbeat {
			silent = time.Now()
			c.heartbeat()
		}
		if c.send() != nil {
			return
		}
		select {
		case <-moved:
		case <-look.C:
			if c.lookAtOwner(ctx) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// reset tells the client to read the documents, which hold at least what is told to be in them.
func (c *changeFeed) reset(ctx context.Context, reason string) error {
	c.at = c.o.Changes.end(c.gen.ID) // before the checkpoint is read: what comes in between is told, not missed
	gen, err := c.findPlugin(ctx, c.gen.Plugin)
	if err != nil {
		return err
	}
	if gen.ID != c.gen.ID {
		c.at = c.o.Changes.end(gen.ID)
	}
	c.gen = gen
	c.add("reset", map[string]any{"generation": gen.Number, "position": gen.Position, "reason": reason}, gen.Position)
	return nil
}

// tell adds what commits changed: of each document its last state.
func (c *changeFeed) tell(list []change, next cursor) {
	last := map[store.DocumentKey]*event.DocumentWrite{}
	for i := range list {
		for j := range list[i].writes {
			d := &list[i].writes[j]
			last[store.DocumentKey{Collection: d.Collection, Key: d.Key}] = d
		}
	}
	for i := range list {
		for j := range list[i].writes {
			d := &list[i].writes[j]
			if last[store.DocumentKey{Collection: d.Collection, Key: d.Key}] != d {
				continue
			}
			c.event("change", "", changeLine(d))
		}
	}
	c.at = next
	position := list[len(list)-1].position
	c.add("checkpoint", map[string]any{"generation": c.gen.Number, "position": position}, position)
}

// changeLine is a write as one line of JSON.
func changeLine(d *event.DocumentWrite) []byte {
	line := struct {
		Collection string          `json:"collection"`
		Key        string          `json:"key"`
		Position   event.Position  `json:"position"`
		Data       json.RawMessage `json:"data,omitempty"`
		Deleted    bool            `json:"deleted,omitempty"`
	}{d.Collection, d.Key, d.Position, d.Data, d.Data == nil}
	b, err := marshal(line)
	if err != nil {
		return []byte("{}") // cannot be: a document is JSON
	}
	return b
}

// add adds an event that a client can come back to.
func (c *changeFeed) add(name string, data map[string]any, position event.Position) {
	line, err := marshal(data)
	if err != nil {
		return // cannot be: numbers and texts
	}
	c.event(name, c.at.id(position), line)
}

// lookAtOwner tells of a read model that changes without this host's doing.
func (c *changeFeed) lookAtOwner(ctx context.Context) error {
	plugins, err := c.recent.plugins(ctx, c.o.Store)
	if err != nil {
		return nil // the next look tells; a store that is away is no reason to end
	}
	self := c.o.Host.Status().ID
	for i := range plugins {
		p := &plugins[i]
		if p.Plugin != c.gen.Plugin {
			continue
		}
		now := signature{p.ID, p.Position, p.UpdatedAt}
		switch {
		case p.ID != c.gen.ID:
			err = c.reset(ctx, "another generation")
		case len(p.Partitions) < 2 && (p.Owner == nil || p.Owner.ID == self):
			c.seen = signature{}
			return nil
		case c.seen != (signature{}) && now != c.seen:
			err = c.reset(ctx, "another host's plugin")
		case c.seen == (signature{}) && p.Position > c.gen.Position:
			err = c.reset(ctx, "another host's plugin")
		}
		c.seen = now
		return err
	}
	return nil
}

// recent keeps the store's plugins for a moment: however many streams look at them, the store is asked once.
type recent struct {
	mu   sync.Mutex
	at   time.Time
	list []store.PluginStatus
}

func (r *recent) plugins(ctx context.Context, s Store) ([]store.PluginStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) < ownerLook/2 {
		return r.list, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	list, err := s.Plugins(ctx)
	if err == nil {
		r.at, r.list = time.Now(), list
	}
	return list, err
}
