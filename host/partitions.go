package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/store"
)

// halt is a position that a plugin's partitions stop at, so that all of them stand at the same one. The zero halt is none.
type halt struct{ at atomic.Int64 }

const noHalt = event.Position(0)

func (h *halt) set(at event.Position) { h.at.Store(int64(at)) }

// end returns the position to stop at, if there is one.
func (h *halt) end() (event.Position, bool) {
	at := event.Position(h.at.Load())
	return at, at != noHalt
}

// limited is a feed that goes no further than a position, which moves: the checkpoint of who leads, or a halt.
type limited struct {
	delivery.Feed
	log    store.Log
	filter event.Filter
	// end returns the position, and whether there is one now.
	end func() (event.Position, bool)
}

const (
	// limitLook is how often a feed looks whether its end has moved.
	limitLook = 50 * time.Millisecond
	// nearPositions is how far the end may be away for events to be read at once, without waiting for more to come.
	nearPositions = 20_000
)

// Next waits until the end is ahead, and returns nothing beyond it. Invariant 1: an end is a position that a checkpoint
// has reached, so all up to it is final.
func (f *limited) Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error) {
	var to event.Position
	for {
		var limited bool
		if to, limited = f.end(); !limited {
			return f.Feed.Next(ctx, after, limit, maxBytes)
		}
		if to > after {
			break
		}
		if !sleep(ctx, limitLook) {
			return event.Batch{}, ctx.Err()
		}
	}
	if to-after <= nearPositions {
		return f.near(ctx, after, to, limit, maxBytes)
	}
	b, err := f.Feed.Next(ctx, after, limit, maxBytes)
	if err != nil || b.UpTo <= to {
		return b, err
	}
	n := 0
	for n < len(b.Events) && b.Events[n].Position <= to {
		n++
	}
	b.Events, b.UpTo = b.Events[:n], to
	return b, nil
}

// near reads what is left. The store knows of types only.
func (f *limited) near(ctx context.Context, after, to event.Position, limit, maxBytes int) (event.Batch, error) {
	b, err := f.log.Read(ctx, store.ReadOptions{After: after, UpTo: to, Filter: f.filter, Limit: limit, MaxBytes: maxBytes})
	b.Events = f.filter.Partition.Own(b.Events)
	return b, err
}

// leases takes every partition's lease under a new epoch. The runners of all of them have ended.
func (p *hosted) leases(ctx context.Context, h *Host, rows []store.Generation) ([]store.Held, []event.Position, error) {
	var held []store.Held
	var at []event.Position
	for i := range rows {
		l, err := h.store.Acquire(ctx, rows[i].ID, h.self.ID)
		if err != nil {
			for _, taken := range held { // whoever has the others may need these
				err = errors.Join(err, h.store.Release(context.WithoutCancel(ctx), taken.Generation, taken.Epoch))
			}
			return nil, nil, fmt.Errorf("take the lease of partition %d: %w", rows[i].Partition, err)
		}
		held = append(held, store.Held{Generation: rows[i].ID, Epoch: l.Epoch})
		at = append(at, l.Position)
	}
	return held, at, nil
}

// rows are the partitions of the live generation.
func (p *hosted) rows() []store.Generation {
	var rows []store.Generation
	for _, u := range p.parts() {
		rows = append(rows, u.gen)
	}
	return rows
}

const (
	// alignPatience is how long partitions may take to come to one position.
	alignPatience = 10 * time.Second
	alignLook     = 20 * time.Millisecond
)

// aligned has all partitions stop at one position, the highest that one of them has reached, and then does something
// between two runners, when all leases are this host's. Whatever comes of it they go on then.
func (p *hosted) aligned(ctx context.Context, h *Host, do func(ctx context.Context) error) error {
	p.aligning.Lock() // one at a time: each takes the halt back when it is done
	defer p.aligning.Unlock()
	if len(p.parts()) > 1 {
		if err := p.apart(p.furthest()); err != nil {
			return err // all of them go on, as far as they can
		}
		if err := p.align(ctx, h); err != nil {
			return err
		}
		defer p.halt.set(noHalt)
	}
	return p.betweenRunners(ctx, do)
}

// betweenRunners does something between two runners, and waits for it.
func (p *hosted) betweenRunners(ctx context.Context, do func(ctx context.Context) error) error {
	done := make(chan error, 1)
	p.between(func(ctx context.Context) { done <- do(ctx) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-p.done:
	}
	select {
	case err := <-done:
		return err
	default:
		return context.Canceled
	}
}

// align brings all partitions to one position, where they stay until the halt is taken back.
func (p *hosted) align(ctx context.Context, h *Host) error {
	asked := ctx
	err := p.betweenRunners(ctx, func(ctx context.Context) error {
		_, at, err := p.leases(ctx, h, p.rows())
		if err != nil || asked.Err() != nil {
			return errors.Join(err, asked.Err()) // nobody would take the halt back
		}
		p.halt.set(slices.Max(at))
		return nil
	})
	to, halted := p.halt.end()
	if err != nil || !halted {
		p.halt.set(noHalt)
		return err
	}
	deadline := time.Now().Add(alignPatience)
	for {
		behind := p.behind(to)
		if behind == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil || p.apart(to) != nil {
			p.halt.set(noHalt)
			return behind
		}
		sleep(ctx, alignLook)
	}
}

// errApart says that partitions do not stand at one position.
var errApart = errors.New("its partitions have to come to one position first")

// behind says which partition has not come to a position yet.
func (p *hosted) behind(to event.Position) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.units {
		if st := u.status(); st.Position < to || !u.runs() {
			return fmt.Errorf("%w: partition %d, which is %s, was at %d, another one at %d", errApart, u.gen.Partition, st.State, st.Position, to)
		}
	}
	return nil
}

// apart says which partition does not get to a position, since it stands still before it.
func (p *hosted) apart(to event.Position) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.units {
		if st := u.status(); st.Position < to && stands(st.State) {
			return fmt.Errorf("%w: partition %d is %s", errApart, u.gen.Partition, st.State)
		}
	}
	return nil
}

// furthest is the position of the partition that has come furthest.
func (p *hosted) furthest() event.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	var at event.Position
	for _, u := range p.units {
		at = max(at, u.status().Position)
	}
	return at
}

// resize has the plugin have other partitions. The runners of all of them have ended at one position.
func (p *hosted) resize(ctx context.Context, h *Host, wanted store.Declared) error {
	rows := p.rows()
	held, at, err := p.leases(ctx, h, rows)
	if err != nil {
		return err
	}
	n := max(wanted.Partitions, 1)
	r := store.Repartition{Plugin: p.conf.Name, Owner: h.self.ID, From: held, Position: at[0], Partitions: n, OrderBy: wanted.OrderBy, Digest: p.digest()}
	order, err := delivery.ParseOrder(wanted.OrderBy)
	if err != nil {
		return err
	}
	waiting := placing{to: &r, order: order, index: make(map[string]int)}
	for i := range rows {
		if err := waiting.add(ctx, h.store, &rows[i]); err != nil {
			return err
		}
	}
	err = h.store.Repartition(ctx, r)
	p.goAstray() // also where it may have been done all the same
	if err == nil {
		h.log.Info("the plugin has other partitions", "plugin", p.conf.Name, "partitions", n, "before", len(rows), "position", r.Position, "waiting_events", len(r.Queue))
	}
	return err
}

// placing puts waiting events where they belong once the plugin is split anew.
type placing struct {
	to    *store.Repartition
	order delivery.Order
	index map[string]int // of to.Sequences, by key
}

// add places a partition's waiting events. Invariant 4: each waits behind the failed one of its key still.
func (w *placing) add(ctx context.Context, s store.State, row *store.Generation) error {
	sequences, err := s.Sequences(ctx, row.ID)
	if err != nil {
		return fmt.Errorf("read the sequences of partition %d: %w", row.Partition, err)
	}
	for i := range sequences {
		events, err := s.Queued(ctx, row.ID, sequences[i].Key, max(sequences[i].Waiting, 1))
		if err != nil {
			return fmt.Errorf("read the sequence %q: %w", sequences[i].Key, err)
		}
		for j := range events {
			w.place(&sequences[i], w.order(&events[j]), events[j].Position)
		}
	}
	return nil
}

// place puts one event of a sequence under its key of now. Where that is another one, since order_by has changed, the
// key's first event is tried again at once.
func (w *placing) place(from *store.Sequence, key string, at event.Position) {
	partition := event.PartitionOf(key, w.to.Partitions)
	w.to.Queue = append(w.to.Queue, store.PlacedEvent{Partition: partition, QueuedEvent: store.QueuedEvent{Key: key, Position: at}})
	i, known := w.index[key]
	if known && w.to.Sequences[i].Position <= at {
		return
	}
	moved := *from
	if key != from.Key || known || at != from.Position {
		moved = store.Sequence{Key: key, State: store.Retrying, Position: at, NextAttempt: time.Now(),
			Since: from.Since, Kind: from.Kind, Error: from.Error, Stack: from.Stack, Digest: from.Digest}
	}
	if !known {
		i = len(w.to.Sequences)
		w.index[key] = i
		w.to.Sequences = append(w.to.Sequences, store.PlacedSequence{})
	}
	w.to.Sequences[i] = store.PlacedSequence{Partition: partition, Sequence: moved}
}
