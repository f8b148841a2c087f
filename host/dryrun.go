package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/internal/plugin"
	"eshost/host/store"
)

const (
	dryRunEvents = 50
	dryRunReach  = 10_000 // positions back from the checkpoint
	dryRunTime   = 2 * time.Second
)

// dryRun gives a new module some of the last events up to the plugin's checkpoint, of the types that it is to get, on the
// documents of now, and throws away what it does. It fails if the module crashes on one that the module before does not
// crash on.
func (p *hosted) dryRun(ctx context.Context, h *Host, m *plugin.Module, types []string) error {
	ctx, cancel := context.WithTimeout(ctx, dryRunTime)
	defer cancel()
	gen, err := h.store.FindPlugin(ctx, p.conf.Name)
	if err != nil {
		return nil // nothing was handled yet, or the database is away: that is no reason against the module
	}
	b, err := h.store.Read(ctx, store.ReadOptions{After: max(0, gen.Position-dryRunReach), UpTo: gen.Position,
		Filter: event.Filter{Types: types}, Limit: dryRunReach, MaxBytes: 4 << 20})
	if err != nil {
		return nil
	}
	events := b.Events[max(0, len(b.Events)-dryRunEvents):]
	p.mu.Lock()
	running := p.module
	p.mu.Unlock()
	next, before := &rehearsal{module: m}, &rehearsal{module: running}
	defer next.close()
	defer before.close()
	for i := range events {
		e := &events[i]
		failure := asFailure(next.handle(ctx, h.store, gen.ID, e))
		if failure == nil || !failure.Crashed() || ctx.Err() != nil {
			continue
		}
		err := before.handle(ctx, h.store, gen.ID, e)
		old := asFailure(err)
		if err != nil && old == nil {
			continue // that one has just been given up: nothing to compare with
		}
		if old == nil || !old.Crashed() {
			return fmt.Errorf("tried on events that were handled already, it crashed on event %d (%s), which the module before handles: %w", e.Position, e.Type, failure)
		}
	}
	return nil
}

// rehearsal runs a module's events without effect.
type rehearsal struct {
	module   *plugin.Module
	instance *plugin.Instance
}

// handle returns what the instance does, or the error of starting one.
func (r *rehearsal) handle(ctx context.Context, s store.State, generation int64, e *event.Event) error {
	if r.instance == nil || r.instance.Spent() {
		r.close()
		in, err := r.module.NewInstance(ctx)
		if err != nil {
			return err
		}
		in.Mute()
		r.instance = in
	}
	return r.instance.Handle(ctx, e, 1, &dryEffects{store: s, generation: generation, written: make(map[store.DocumentKey][]byte)})
}

func asFailure(err error) *event.Failure {
	var f *event.Failure
	errors.As(err, &f)
	return f
}

func (r *rehearsal) close() {
	if r.instance != nil {
		_ = r.instance.Close(context.Background()) // nothing of it is kept
		r.instance = nil
	}
}

// dryEffects reads the plugin's documents and keeps what is written to itself.
type dryEffects struct {
	store      store.State
	generation int64
	written    map[store.DocumentKey][]byte // nil was deleted
}

func (d *dryEffects) Get(ctx context.Context, collection, key []byte) ([]byte, bool, error) {
	k := store.DocumentKey{Collection: string(collection), Key: string(key)}
	if value, ok := d.written[k]; ok {
		return value, value != nil, nil
	}
	docs, err := d.store.Documents(ctx, d.generation, []store.DocumentKey{k})
	if err != nil || len(docs) == 0 {
		return nil, false, err
	}
	return docs[0].Data, true, nil
}

func (d *dryEffects) Set(collection, key, value []byte) error {
	d.written[store.DocumentKey{Collection: string(collection), Key: string(key)}] = append([]byte{}, value...)
	return nil
}

func (d *dryEffects) Delete(collection, key []byte) error {
	d.written[store.DocumentKey{Collection: string(collection), Key: string(key)}] = nil
	return nil
}

// Scan lists what is stored. It leaves out what the same event has written, which is good enough to see a crash.
func (d *dryEffects) Scan(ctx context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error) {
	return d.store.Scan(ctx, d.generation, store.ScanOptions{Collection: string(collection), Prefix: string(prefix), After: string(after), Limit: limit})
}

func (*dryEffects) Emit(event.Emitted) error { return nil }
