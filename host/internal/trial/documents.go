package trial

import (
	"bytes"
	"slices"
	"sort"
	"strings"

	"eshost/host/event"
)

// documents is a read model in memory. Writes take effect at once and are undone if their event fails.
type documents struct {
	collections map[string]*collection
	changes     []change // of the event that is being handled
}

// collection holds its documents by key, and the keys in order for who scans it.
type collection struct {
	values map[string][]byte
	sorted []string // keys in byte order; some may have been deleted since
	fresh  []string // keys that came later, in no order
}

// change is what a write replaced.
type change struct {
	collection, key string
	before          []byte // nil where there was no document
}

func newDocuments() documents { return documents{collections: make(map[string]*collection)} }

func (d *documents) get(collection, key string) (value []byte, ok bool) {
	c := d.collections[collection]
	if c == nil {
		return nil, false
	}
	value, ok = c.values[key]
	return value, ok
}

// put sets a document, or deletes it where the value is nil. It keeps the value.
func (d *documents) put(collection, key string, value []byte) {
	before, _ := d.get(collection, key)
	d.changes = append(d.changes, change{collection, key, before})
	d.store(collection, key, value)
}

func (d *documents) store(name, key string, value []byte) {
	c := d.collections[name]
	if c == nil {
		c = &collection{values: make(map[string][]byte)}
		d.collections[name] = c
	}
	_, known := c.values[key]
	switch {
	case value == nil:
		delete(c.values, key)
		return
	case !known:
		c.fresh = append(c.fresh, key)
	}
	c.values[key] = value
}

// accept ends an event whose effects stay.
func (d *documents) accept() { d.changes = d.changes[:0] }

// undo ends an event that failed. Invariant 3: it leaves no effect.
func (d *documents) undo() {
	for _, c := range slices.Backward(d.changes) {
		d.store(c.collection, c.key, c.before)
	}
	d.accept()
}

// scan returns at most limit documents whose keys begin with prefix and are greater than after, in byte order.
func (d *documents) scan(name, prefix, after string, limit int) []event.Document {
	c := d.collections[name]
	if c == nil {
		return nil
	}
	c.sort()
	var out []event.Document
	from := sort.Search(len(c.sorted), func(i int) bool {
		return c.sorted[i] >= prefix && (after == "" || c.sorted[i] > after)
	})
	for _, key := range c.sorted[from:] {
		if len(out) == limit || !strings.HasPrefix(key, prefix) {
			break
		}
		if value, ok := c.values[key]; ok {
			out = append(out, event.Document{Collection: name, Key: key, Data: value})
		}
	}
	return out
}

// sort takes in the keys that came since the last scan.
func (c *collection) sort() {
	if len(c.fresh) == 0 && len(c.sorted) <= 2*len(c.values) {
		return
	}
	c.sorted = append(c.sorted, c.fresh...)
	c.fresh = c.fresh[:0]
	slices.Sort(c.sorted)
	c.sorted = slices.Compact(c.sorted) // a key that was deleted and came back is there twice
	c.sorted = slices.DeleteFunc(c.sorted, func(key string) bool { return c.values[key] == nil })
}

// all lists every document by collection and key, in byte order.
func (d *documents) all() []event.Document {
	var out []event.Document
	for name, c := range d.collections {
		for key, value := range c.values {
			out = append(out, event.Document{Collection: name, Key: key, Data: value})
		}
	}
	slices.SortFunc(out, func(a, b event.Document) int {
		if a.Collection != b.Collection {
			return strings.Compare(a.Collection, b.Collection)
		}
		return strings.Compare(a.Key, b.Key)
	})
	return out
}

// ownedCopy is a value that outlives the guest's memory. It is never nil, which would delete.
func ownedCopy(value []byte) []byte {
	if len(value) == 0 {
		return []byte{}
	}
	return bytes.Clone(value)
}
