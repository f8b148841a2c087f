package delivery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"eshost/host/event"
	"eshost/host/store"
)

// cache is a bounded view of a generation's documents as the lanes of the next batch must see them:
// what is committed, and above it what the batch in flight writes. It is valid as long as the lease
// is held, since nobody else may write what a partition may read.
//
// A document's id is its collection, a zero byte, and its key: neither may contain one.
type cache struct {
	state      State
	generation int64
	maxBytes   int

	mu      sync.Mutex
	entries map[string]*cached
	newest  *cached // of a ring in order of use; newest.prev is the oldest. What is in flight is not in it
	bytes   int     // of all entries
	// complete says that what has no entry does not exist: true as long as the generation was empty
	// when the session began and nothing has been forgotten since. What other partitions write meanwhile
	// is nothing that this one may ask for.
	complete bool
	// inFlight holds the entries that the batch now committing wrote. They may not be in the database
	// yet, so they must not be forgotten.
	inFlight []*cached
}

type cached struct {
	id         string
	value      []byte
	exists     bool
	pinned     bool // in inFlight, not in the ring
	prev, next *cached
}

const cachedOverhead = 160 // of an entry and its place in the map, in bytes

func (c *cached) size() int { return cachedOverhead + len(c.id) + len(c.value) }

func newCache(state State, generation int64, maxBytes int) *cache {
	return &cache{state: state, generation: generation, maxBytes: maxBytes, entries: make(map[string]*cached)}
}

func appendID(b, collection, key []byte) []byte {
	b = append(b, collection...)
	b = append(b, 0)
	return append(b, key...)
}

func splitID(id string) store.DocumentKey {
	collection, key, _ := strings.Cut(id, "\x00")
	return store.DocumentKey{Collection: collection, Key: key}
}

// known is what the cache says of a document.
type known struct {
	id     string
	value  []byte
	exists bool
}

// get returns a document, from the database if need be.
func (c *cache) get(ctx context.Context, id []byte) (known, error) {
	if k, ok := c.lookup(id); ok {
		return k, nil
	}
	k := known{id: string(id)}
	docs, err := c.load(ctx, []string{k.id})
	if err == nil && len(docs) > 0 {
		k.value, k.exists = docs[0].Data, true
	}
	return k, err
}

// lookup returns a document if it need not be read from the database for that.
func (c *cache) lookup(id []byte) (known, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[string(id)]; e != nil {
		c.touch(e)
		return known{e.id, e.value, e.exists}, true
	}
	if c.complete {
		return known{id: string(id)}, true
	}
	return known{}, false
}

// load reads documents that have no entry and remembers them, and also which do not exist.
//
// A commit that lands meanwhile does not matter: what it writes has entries, and keeps them until
// after the lanes are done.
func (c *cache) load(ctx context.Context, ids []string) ([]event.Document, error) {
	keys := make([]store.DocumentKey, len(ids))
	for i, id := range ids {
		keys[i] = splitID(id)
	}
	docs, err := c.state.Documents(ctx, c.generation, keys)
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range docs {
		c.remember(d.Collection+"\x00"+d.Key, d.Data, true)
	}
	for _, id := range ids {
		c.remember(id, nil, false) // does nothing to those just read
	}
	c.shrink()
	return docs, nil
}

// knowsAll reports whether no document needs to be read from the database.
func (c *cache) knowsAll() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.complete
}

// missing returns those ids that only the database knows about. It reuses the slice.
func (c *cache) missing(ids []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := ids[:0]
	for _, id := range ids {
		if c.entries[id] == nil {
			out = append(out, id)
		}
	}
	return out
}

// remember adds an entry unless there is one: what is there is at least as new.
func (c *cache) remember(id string, value []byte, exists bool) {
	if c.entries[id] != nil {
		return
	}
	e := &cached{id: id, value: value, exists: exists}
	c.entries[id] = e
	c.bytes += e.size()
	c.link(e)
}

// begin makes a batch's writes visible before its commit, and keeps them until settled.
func (c *cache) begin(writes []event.DocumentWrite, ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range writes {
		w := &writes[i]
		e := c.entries[ids[i]]
		if e == nil {
			e = &cached{id: ids[i]}
			c.entries[e.id] = e
			c.bytes += e.size()
		} else {
			c.unlink(e)
		}
		c.bytes += len(w.Data) - len(e.value)
		e.value, e.exists, e.pinned = w.Data, w.Data != nil, true
		c.inFlight = append(c.inFlight, e)
	}
}

// settled says that the batch in flight is committed.
func (c *cache) settled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range c.inFlight {
		e.pinned = false
		c.link(e)
		c.inFlight[i] = nil
	}
	c.inFlight = c.inFlight[:0]
	c.shrink()
}

// pendingIDs appends the ids of the documents that the batch in flight writes.
func (c *cache) pendingIDs(ids []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.inFlight {
		ids = append(ids, e.id)
	}
	return ids
}

// pending returns what the batch in flight writes to a document; known is false if it does not.
func (c *cache) pending(id string) (value []byte, exists, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[id]; e != nil && e.pinned {
		return e.value, e.exists, true
	}
	return nil, false, false
}

// shrink forgets the entries least recently used until the cache fits. What is in flight stays.
func (c *cache) shrink() {
	for c.bytes > c.maxBytes && c.newest != nil {
		oldest := c.newest.prev
		c.unlink(oldest)
		delete(c.entries, oldest.id)
		c.bytes -= oldest.size()
		c.complete = false
	}
}

// restBytes is how much of its cache an idle plugin keeps.
const restBytes = 64 << 10

// rest forgets all but what was used last, about so many bytes of it.
func (c *cache) rest(keep int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes <= keep {
		return
	}
	most := c.maxBytes
	c.maxBytes = min(most, keep)
	c.shrink()
	c.maxBytes = most
	c.entries, c.inFlight = maps.Clone(c.entries), slices.Clone(c.inFlight) // these never get smaller by themselves
}

func (c *cache) touch(e *cached) {
	if c.newest != e && !e.pinned {
		c.unlink(e)
		c.link(e)
	}
}

func (c *cache) link(e *cached) {
	if c.newest == nil {
		e.prev, e.next = e, e
	} else {
		e.next, e.prev = c.newest, c.newest.prev
		e.prev.next, e.next.prev = e, e
	}
	c.newest = e
}

func (c *cache) unlink(e *cached) {
	if e.next == e {
		c.newest = nil
	} else {
		e.prev.next, e.next.prev = e.next, e.prev
		if c.newest == e {
			c.newest = e.next
		}
	}
	e.prev, e.next = nil, nil
}
