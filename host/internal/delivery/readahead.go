package delivery

import "context"

// habits counts, by collection, how often a handler asked for the document whose key is the event's
// stream, and how often for another: documents of the first kind can be read ahead.
type habits map[string]*habit

type habit struct{ stream, other int }

const maxHabits = 64 // collections; a guest can make up as many as it likes

func (l *lane) learn(collection, key []byte) {
	h := l.habits[string(collection)]
	if h == nil {
		if len(l.habits) >= maxHabits {
			return
		}
		if l.habits == nil {
			l.habits = make(habits)
		}
		h = &habit{}
		l.habits[string(collection)] = h
	}
	if string(key) == l.current.Stream {
		h.stream++
	} else {
		h.other++
	}
}

func (h habits) add(more habits) {
	for collection, m := range more {
		if h[collection] == nil {
			if len(h) >= maxHabits {
				continue
			}
			h[collection] = &habit{}
		}
		h[collection].stream += m.stream
		h[collection].other += m.other
	}
}

// readAhead loads the documents that the handlers will most likely ask for, in few statements. It
// stops when they have filled half of the cache, so that it does not push out what it has just read.
func (ls *lanes) readAhead(ctx context.Context, c *cache, tasks []task) error {
	const first, most = 64, 8192 // documents in a statement; they may be large
	if c.knowsAll() {
		return nil
	}
	ids := c.missing(ls.likely(tasks))
	room := c.maxBytes / 2
	n := min(first, 1+room/cachedOverhead)
	for len(ids) > 0 && room > 0 {
		n = min(n, len(ids))
		docs, err := c.load(ctx, ids[:n])
		if err != nil {
			return err
		}
		bytes := n * cachedOverhead
		for i := range docs {
			bytes += len(docs[i].Key) + len(docs[i].Data)
		}
		ids, room = ids[n:], room-bytes
		n = min(4*n, most, max(1, room/(bytes/n)))
	}
	return nil
}

// likely lists the documents that are named like their events' streams, in the order they will be asked for.
func (ls *lanes) likely(tasks []task) []string {
	var ids []string
	for collection, h := range ls.habit {
		if h.stream <= h.other {
			continue
		}
		seen := make(map[string]bool)
		for i := range tasks {
			if stream := tasks[i].e.Stream; !seen[stream] {
				seen[stream] = true
				ids = append(ids, collection+"\x00"+stream)
			}
		}
	}
	return ids
}
