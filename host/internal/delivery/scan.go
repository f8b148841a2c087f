package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"eshost/host/event"
	"eshost/host/store"
)

// Scan lists documents as the event sees them: the database's, with what the batch in flight, this
// lane and this event have changed since.
func (l *lane) Scan(ctx context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error) {
	idPrefix := string(appendID(nil, collection, prefix))
	afterID := string(appendID(nil, collection, after))
	l.scans = append(l.scans, idPrefix)

	changed := l.changed(idPrefix, func(id string) bool { return len(after) == 0 || id > afterID })
	deleted := 0
	for _, s := range changed {
		if !s.exists {
			deleted++
		}
	}
	// The database may list up to deleted documents that are gone by now: ask for as many more.
	docs, err := l.cache.state.Scan(ctx, l.cache.generation, store.ScanOptions{
		Collection: string(collection),
		Prefix:     string(prefix),
		After:      string(after),
		Limit:      limit + deleted,
	})
	if err != nil {
		return nil, l.trouble(fmt.Errorf("scan documents: %w", err))
	}
	return merge(docs, changed, limit), nil
}

// changed returns what differs from the database below a prefix of ids, the newest of each.
func (l *lane) changed(idPrefix string, wanted func(id string) bool) map[string]slot {
	out := make(map[string]slot)
	take := func(id string, value []byte, exists bool) {
		if strings.HasPrefix(id, idPrefix) && wanted(id) {
			out[id] = slot{value: value, exists: exists}
		}
	}
	l.cache.pending(idPrefix, take)
	for id, s := range l.overlay {
		if s.written {
			take(id, s.value, s.exists)
		}
	}
	for _, w := range l.writes {
		take(w.id, w.value, w.value != nil)
	}
	return out
}

func merge(docs []event.Document, changed map[string]slot, limit int) []event.Document {
	out := docs[:0]
	for _, d := range docs {
		if _, ok := changed[d.Collection+"\x00"+d.Key]; !ok {
			out = append(out, d)
		}
	}
	for id, s := range changed {
		if s.exists {
			k := splitID(id)
			out = append(out, event.Document{Collection: k.Collection, Key: k.Key, Data: s.value})
		}
	}
	slices.SortFunc(out, func(a, b event.Document) int { return strings.Compare(a.Key, b.Key) })
	return out[:min(len(out), limit)]
}
