package delivery

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"eshost/host/event"
	"eshost/host/store"
)

// outcome is all that a batch changes.
type outcome struct {
	documents []event.DocumentWrite
	ids       []string // of documents, in the same order
	emitted   []event.Emitted
	failed    map[string]*failedKey
	queue     []store.QueuedEvent
	handled   int
}

// lanes splits batches by ordering key and joins what comes of it.
type lanes struct {
	o     *Options
	all   []*lane
	seed  maphash.Seed
	habit habits

	perEvent time.Duration // recent handling time of one event
	scanning bool          // the plugin scans
	// After a conflict the next serial batches are not split; their number doubles with each conflict
	// in a row.
	serial, penalty int
}

const maxPenalty = 1024

func newLanes(o *Options, module Module, c *cache) *lanes {
	ls := &lanes{o: o, seed: maphash.MakeSeed(), habit: make(habits), penalty: 8}
	for range o.Lanes {
		ls.all = append(ls.all, newLane(o, module, c))
	}
	return ls
}

func (ls *lanes) close(ctx context.Context) {
	for _, l := range ls.all {
		l.close(ctx)
	}
}

// run handles a batch and returns its outcome, as one lane would have made it.
func (ls *lanes) run(ctx context.Context, events []event.Event) (*outcome, error) {
	began := time.Now()
	n := ls.wanted(len(events))
	out, err := ls.split(ctx, events, n)
	if err != nil {
		return nil, err
	}
	if out == nil {
		// Invariant 5: what one lane did depends on what another did. Throw it away; one lane decides.
		ls.serial, ls.penalty = ls.penalty, min(2*ls.penalty, maxPenalty)
		ls.o.Metrics.conflicts.WithLabelValues(ls.o.Plugin).Inc()
		n = 1
		if out, err = ls.split(ctx, events, 1); err != nil {
			return nil, err
		}
	} else if n > 1 {
		ls.penalty = 8
	}
	if len(events) > 0 {
		each := time.Since(began) * time.Duration(n) / time.Duration(len(events))
		ls.perEvent = (3*ls.perEvent + each) / 4
	}
	return out, nil
}

// wanted is how many lanes a batch is worth.
func (ls *lanes) wanted(events int) int {
	if ls.serial > 0 {
		ls.serial--
		return 1
	}
	worth := int(time.Duration(events) * ls.perEvent / ls.o.LaneWork)
	return max(1, min(worth, len(ls.all), events))
}

// split runs a batch in n lanes. A nil outcome without an error is a conflict.
func (ls *lanes) split(ctx context.Context, events []event.Event, n int) (*outcome, error) {
	parts := ls.partition(events, n)
	g, gctx := errgroup.WithContext(ctx)
	for i, l := range ls.all[:n] {
		l.reset(n > 1)
		g.Go(func() error { return l.run(gctx, parts[i], ls.o.Order, 1) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if conflict(ls.all[:n]) {
		return nil, nil
	}
	return ls.join(ls.all[:n]), nil
}

// partition keeps the events of one key in one lane, in position order.
func (ls *lanes) partition(events []event.Event, n int) [][]*event.Event {
	parts := make([][]*event.Event, n)
	for i := range parts {
		parts[i] = make([]*event.Event, 0, len(events)/n+1)
	}
	for i := range events {
		e, p := &events[i], 0
		if n > 1 {
			p = int(maphash.String(ls.seed, ls.o.Order(e)) % uint64(n))
		}
		parts[p] = append(parts[p], e)
	}
	return parts
}

// conflict reports whether a lane read or wrote what another lane wrote. Invariant 5: if none did,
// any interleaving of the lanes, position order among them, gives the same outcome.
func conflict(ls []*lane) bool {
	if len(ls) == 1 {
		return false
	}
	writer := make(map[string]*lane)
	for _, l := range ls {
		for id, s := range l.overlay {
			if !s.written {
				continue
			}
			if writer[id] != nil {
				return true
			}
			writer[id] = l
		}
	}
	for _, l := range ls {
		for id := range l.overlay {
			if w := writer[id]; w != nil && w != l {
				return true
			}
		}
		for _, prefix := range l.scans {
			for id, w := range writer {
				if w != l && strings.HasPrefix(id, prefix) {
					return true
				}
			}
		}
	}
	return false
}

func (ls *lanes) join(from []*lane) *outcome {
	out := &outcome{failed: make(map[string]*failedKey)}
	for _, l := range from {
		for id, s := range l.overlay {
			if !s.written {
				continue
			}
			k := splitID(id)
			out.ids = append(out.ids, id)
			out.documents = append(out.documents, event.DocumentWrite{Collection: k.Collection, Key: k.Key, Data: s.value, Position: s.position})
		}
		out.emitted = append(out.emitted, l.emitted...)
		out.queue = append(out.queue, l.queue...)
		out.handled += l.handled
		for key, f := range l.failed {
			out.failed[key] = f
		}
		ls.scanning = ls.scanning || len(l.scans) > 0
		ls.habit.add(l.habits)
	}
	// Within one cause the lane kept the order of the calls.
	slices.SortStableFunc(out.emitted, func(a, b event.Emitted) int { return cmp.Compare(a.Cause, b.Cause) })
	slices.SortFunc(out.queue, func(a, b store.QueuedEvent) int { return cmp.Compare(a.Position, b.Position) })
	return out
}

func (h habits) add(more habits) {
	for collection, m := range more {
		if h[collection] == nil {
			h[collection] = &habit{}
		}
		h[collection].stream += m.stream
		h[collection].other += m.other
	}
}

// readAhead loads the documents that the handlers will most likely ask for in one statement.
func (ls *lanes) readAhead(ctx context.Context, c *cache, events []event.Event) error {
	const most = 20_000
	if c.knowsAll() {
		return nil
	}
	var ids []string
	for collection, h := range ls.habit {
		if h.stream <= h.other {
			continue
		}
		seen := make(map[string]bool)
		for i := range events {
			if stream := events[i].Stream; !seen[stream] && len(ids) < most {
				seen[stream] = true
				ids = append(ids, collection+"\x00"+stream)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if ids = c.missing(ids); len(ids) == 0 {
		return nil
	}
	_, err := c.load(ctx, ids)
	return err
}
