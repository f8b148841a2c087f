package delivery

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"eshost/host/event"
	"eshost/host/store"
)

const (
	scanPage  = 64       // documents the first statement lists; they may be large
	scanBytes = 32 << 20 // see Effects.Scan
)

// Scan lists documents as the event sees them: the database's, with what the batch in flight, this
// lane and this event have changed since.
func (l *lane) Scan(ctx context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error) {
	if err := l.reach.Scan(collection, prefix); err != nil {
		return nil, l.tooFar(err)
	}
	idPrefix := string(appendID(nil, collection, prefix))
	if _, again := l.scans[idPrefix]; !again && !l.bounds.alone {
		l.scans[idPrefix] = struct{}{}
		l.size += slotOverhead + len(idPrefix)
	}
	m := merge{lane: l, from: len(collection) + 1, limit: limit, touched: l.touchedIn(idPrefix, string(appendID(nil, collection, after)), len(after) > 0)}
	o := store.ScanOptions{Collection: string(collection), Prefix: string(prefix), After: string(after), Limit: min(limit, scanPage)}
	for !m.full() {
		docs, err := l.cache.state.Scan(ctx, l.cache.generation, o)
		if err != nil {
			return nil, l.trouble(fmt.Errorf("scan documents: %w", err))
		}
		m.page(docs)
		if len(docs) < o.Limit {
			m.rest()
			break
		}
		o.After = docs[len(docs)-1].Key
		o.Limit = m.nextPage(o.Limit)
	}
	return m.out, nil
}

// findTouched lists the documents that may differ from the database's, once in a batch; touch adds to it.
func (l *lane) findTouched() {
	if l.touched != nil {
		return
	}
	l.touched = l.cache.pendingIDs(make([]string, 0, len(l.written)+len(l.writes.list)+1))
	for _, s := range l.written {
		l.touched = append(l.touched, s.id)
	}
	for i := range l.writes.list {
		l.touched = append(l.touched, l.writes.list[i].id)
	}
	slices.Sort(l.touched)
	l.touched = slices.Compact(l.touched)
}

// touch says that an event writes a document.
func (l *lane) touch(id string) {
	if l.touched == nil {
		return // nobody has scanned
	}
	if i, there := slices.BinarySearch(l.touched, id); !there {
		l.touched = slices.Insert(l.touched, i, id)
	}
}

// touchedIn returns the touched documents whose ids have a prefix and are, if bounded, above after.
func (l *lane) touchedIn(prefix, after string, bounded bool) []string {
	l.findTouched()
	from := sort.Search(len(l.touched), func(i int) bool { return l.touched[i] >= prefix && (!bounded || l.touched[i] > after) })
	ids := l.touched[from:]
	return ids[:sort.Search(len(ids), func(i int) bool { return !strings.HasPrefix(ids[i], prefix) })]
}

// newer returns what the event sees in a document if that is not what the database has. An event that
// failed leaves documents in touched which nothing has changed.
func (l *lane) newer(id string) (value []byte, exists, known bool) {
	if w := l.writes.find([]byte(id)); w != nil {
		return w.value, w.value != nil, true
	}
	if s := l.overlay[id]; s != nil && s.written {
		return s.value, s.exists, true
	}
	return l.cache.pending(id)
}

// merge joins the database's documents with the touched ones, both in byte order.
type merge struct {
	lane    *lane
	touched []string // ids, not yet taken
	from    int      // where in an id the key begins
	limit   int
	out     []event.Document
	bytes   int
}

func (m *merge) full() bool { return len(m.out) >= m.limit || m.bytes >= scanBytes }

// nextPage is how many documents the next statement lists: more, as long as they are small.
func (m *merge) nextPage(page int) int {
	each := m.bytes/max(len(m.out), 1) + 1
	return max(1, min(4*page, m.limit, (scanBytes-m.bytes)/each))
}

// page takes the next documents of the database, and the touched ones among them.
func (m *merge) page(docs []event.Document) {
	for i := range docs {
		d := &docs[i]
		for len(m.touched) > 0 && m.touched[0][m.from:] < d.Key && !m.full() {
			m.step(nil)
		}
		switch {
		case m.full():
			return
		case len(m.touched) > 0 && m.touched[0][m.from:] == d.Key:
			m.step(d)
		default:
			m.add(*d)
		}
	}
}

// rest takes the touched documents behind the database's last.
func (m *merge) rest() {
	for len(m.touched) > 0 && !m.full() {
		m.step(nil)
	}
}

// step takes the next touched document as it is now, unless it is gone; old is what the database has.
func (m *merge) step(old *event.Document) {
	id := m.touched[0]
	m.touched = m.touched[1:]
	switch value, exists, known := m.lane.newer(id); {
	case exists:
		k := splitID(id)
		m.add(event.Document{Collection: k.Collection, Key: k.Key, Data: value})
	case !known && old != nil:
		m.add(*old)
	}
}

func (m *merge) add(d event.Document) {
	m.out = append(m.out, d)
	m.bytes += len(d.Key) + len(d.Data)
}
