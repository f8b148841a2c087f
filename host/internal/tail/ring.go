package tail

import (
	"slices"
	"sort"

	"eshost/host/event"
)

// ring holds the events of (start, watermark], in spans as they were polled. A span's events are never
// changed once added, so readers may keep pointing to them.
type ring struct {
	maxEvents, maxBytes int

	start         event.Position
	spans         []span
	events, bytes int
}

type span struct {
	upTo   event.Position
	events []event.Event
	bytes  int
}

func (r *ring) restart(at event.Position) {
	r.start = at
	r.spans, r.events, r.bytes = nil, 0, 0
}

func (r *ring) add(events []event.Event, upTo event.Position) {
	if n := len(r.spans); len(events) == 0 && n > 0 {
		r.spans[n-1].upTo = upTo // of a hole in the positions nothing else is left
		return
	}
	s := span{upTo: upTo, events: events}
	for i := range events {
		s.bytes += events[i].Size()
	}
	r.spans = append(r.spans, s)
	r.events += len(events)
	r.bytes += s.bytes
	for r.events > r.maxEvents || r.bytes > r.maxBytes {
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

// after returns the spans that may hold events after a position. Nobody changes them any more.
func (r *ring) after(p event.Position) []span {
	first := sort.Search(len(r.spans), func(i int) bool { return r.spans[i].upTo > p })
	return slices.Clone(r.spans[first:])
}

// collect returns the wanted events after a position, within limits, from spans that cover everything
// up to end. The batch's UpTo is the end unless a limit came first.
func collect(spans []span, after, end event.Position, f event.Filter, limit, maxBytes int) event.Batch {
	b := event.Batch{UpTo: end}
	bytes := 0
	for _, s := range spans {
		for i := sort.Search(len(s.events), func(i int) bool { return s.events[i].Position > after }); i < len(s.events); i++ {
			e := &s.events[i]
			if !f.Match(e) {
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
