package tail

import (
	"sort"

	"eshost/host/event"
)

// ring holds the events of (start, end], in spans as they were polled. Spans are never changed once
// added, so readers may keep pointing into them.
type ring struct {
	maxEvents, maxBytes int

	start, end    event.Position
	spans         []span
	events, bytes int
}

type span struct {
	upTo   event.Position
	events []event.Event
	bytes  int
}

func (r *ring) restart(at event.Position) {
	r.start, r.end = at, at
	r.spans, r.events, r.bytes = nil, 0, 0
}

func (r *ring) add(events []event.Event, upTo event.Position) {
	s := span{upTo: upTo, events: events}
	for i := range events {
		s.bytes += events[i].Size()
	}
	r.spans = append(r.spans, s)
	r.end = upTo
	r.events += len(events)
	r.bytes += s.bytes
	for len(r.spans) > 0 && (r.events > r.maxEvents || r.bytes > r.maxBytes || len(r.spans) > r.maxEvents) {
		r.dropFirst()
	}
}

func (r *ring) dropFirst() {
	first := r.spans[0]
	r.start = first.upTo
	r.events -= len(first.events)
	r.bytes -= first.bytes
	r.spans[0] = span{} // let go of the events while the slice's array lives on
	r.spans = r.spans[1:]
}

// collect returns the wanted events after a position that the ring covers, within limits. The
// batch's UpTo is the ring's end unless a limit came first.
func (r *ring) collect(after event.Position, f event.Filter, limit, maxBytes int) event.Batch {
	b := event.Batch{UpTo: r.end}
	bytes := 0
	first := sort.Search(len(r.spans), func(i int) bool { return r.spans[i].upTo > after })
	for _, s := range r.spans[first:] {
		for i := range s.events {
			e := &s.events[i]
			if e.Position <= after || !f.Match(e) {
				continue
			}
			b.Events = append(b.Events, *e)
			bytes += e.Size()
			if len(b.Events) >= limit || maxBytes > 0 && bytes >= maxBytes {
				b.UpTo = e.Position
				return b
			}
		}
	}
	return b
}
