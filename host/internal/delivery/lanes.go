package delivery

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
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
	queue     []store.QueuedEvent // in position order
	done      int                 // tasks it covers, from the first
	handled   int                 // events whose handler ran
	size      int                 // in bytes
}

// lanes splits batches by ordering key and joins what comes of it.
type lanes struct {
	o     *Options
	all   []*lane
	habit habits

	perEvent time.Duration // recent handling time of one event
	crowded  int           // bytes an event kept in lanes that were full in this batch, 0 if none was
	// After a conflict the next serial batches are not split; their number doubles with each conflict
	// in a row.
	serial, penalty int
}

const firstPenalty, maxPenalty = 8, 1024

func newLanes(o *Options, module Module, c *cache) *lanes {
	ls := &lanes{o: o, habit: make(habits), penalty: firstPenalty}
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

// rest closes the instances and lets go of the lanes' scratch memory. No batch is being handled.
func (ls *lanes) rest(ctx context.Context) {
	ls.close(ctx)
	for i, l := range ls.all {
		ls.all[i] = newLane(l.o, l.module, l.cache)
	}
}

// run handles a batch and returns its outcome, as one lane would have made it. The outcome may cover
// less than all tasks, where bounds ended it.
func (ls *lanes) run(ctx context.Context, tasks []task, b bounds) (*outcome, error) {
	began := time.Now()
	n := ls.wanted(len(tasks))
	ls.crowded = 0
	var out *outcome
	if n > 1 {
		var err error
		if out, err = ls.split(ctx, tasks, n, b); err != nil {
			return nil, err
		}
	}
	if out == nil {
		n, began = 1, time.Now()
		var err error
		if out, err = ls.alone(ctx, tasks, 1, b); err != nil {
			return nil, err
		}
		out.size = max(out.size, ls.crowded*out.done) // so that the next batch fits into lanes
	}
	if out.handled > 0 {
		each := time.Since(began) * time.Duration(n) / time.Duration(out.handled)
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

// alone runs a batch, or what of it the bounds allow, in one lane.
func (ls *lanes) alone(ctx context.Context, tasks []task, attempt int, b bounds) (*outcome, error) {
	var late atomic.Bool
	defer time.AfterFunc(slowBatch, func() { late.Store(true) }).Stop()
	b.alone, b.late = true, &late
	l := ls.all[0]
	defer l.forget()
	l.bounds = b
	if err := l.run(ctx, tasks, attempt); err != nil {
		return nil, err
	}
	return ls.join(ls.all[:1]), nil
}

// split runs a batch in n lanes. A nil outcome without an error says that one lane must do it: lanes
// have met, or did more than the bounds allow.
func (ls *lanes) split(ctx context.Context, tasks []task, n int, b bounds) (*outcome, error) {
	var late atomic.Bool // only when it is worth throwing everything away
	defer time.AfterFunc(4*slowBatch, func() { late.Store(true) }).Stop()
	b.bytes, b.late = max(b.bytes/n, 1), &late
	ls.deal(tasks, n)
	defer func() {
		for _, l := range ls.all[:n] {
			l.forget()
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	for _, l := range ls.all[:n] {
		l.bounds = b
		g.Go(func() error { return l.run(gctx, l.tasks, 1) })
	}
	err := g.Wait()
	switch {
	case errors.Is(err, errFull):
		full := slices.MaxFunc(ls.all[:n], func(a, b *lane) int { return cmp.Compare(a.size, b.size) })
		ls.crowded = full.size / max(full.done, 1)
		return nil, nil
	case err != nil:
		return nil, err
	case conflict(ls.all[:n]):
		// Invariant 5: what one lane did depends on what another did. Throw it away; one lane decides.
		ls.serial, ls.penalty = ls.penalty, min(2*ls.penalty, maxPenalty)
		ls.o.Metrics.conflicts.WithLabelValues(ls.o.Plugin).Inc()
		return nil, nil
	}
	ls.penalty = firstPenalty
	if out := ls.join(ls.all[:n]); len(out.queue) <= b.room {
		return out, nil
	}
	return nil, nil
}

// deal keeps the events of one key in one lane, in position order. Modulo the number of partitions the hash is the same for
// all keys of a partition, or nearly, so the lane is what is left of it.
func (ls *lanes) deal(tasks []task, n int) {
	for i := range tasks {
		l := ls.all[hash(tasks[i].key)/uint64(ls.o.Partitions)%uint64(n)]
		l.tasks = append(l.tasks, tasks[i])
	}
}

// hash is FNV-1a, so that the same batch is always split the same way.
func hash(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return h
}

func (ls *lanes) join(from []*lane) *outcome {
	out := &outcome{failed: make(map[string]*failedKey)}
	n := 0
	for _, l := range from {
		n += len(l.written)
	}
	out.documents, out.ids = make([]event.DocumentWrite, 0, n), make([]string, 0, n)
	for _, l := range from {
		for _, s := range l.written {
			k := splitID(s.id)
			out.ids = append(out.ids, s.id)
			out.documents = append(out.documents, event.DocumentWrite{Collection: k.Collection, Key: k.Key, Data: s.value, Position: s.position})
		}
		out.emitted = append(out.emitted, l.emitted...)
		out.queue = append(out.queue, l.queue...)
		out.done += l.done
		out.handled += l.handled
		out.size += l.size
		for key, f := range l.failed {
			out.failed[key] = f
		}
		ls.habit.add(l.habits)
	}
	if len(from) > 1 {
		// Within one cause the lane kept the order of the calls.
		slices.SortStableFunc(out.emitted, func(a, b event.Emitted) int { return cmp.Compare(a.Cause, b.Cause) })
		slices.SortFunc(out.queue, func(a, b store.QueuedEvent) int { return cmp.Compare(a.Position, b.Position) })
	}
	return out
}

// unbounded is for a sequence that is gone through: its events wait already.
func unbounded(bytes int) bounds { return bounds{bytes: bytes, room: math.MaxInt} }
