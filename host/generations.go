package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/store"
)

const (
	// sweepEvery is how often a host looks for generations that are built or kept, by one statement for all plugins.
	sweepEvery = 5 * time.Second
	// dropAtOnce is how many documents of a generation are deleted in one transaction.
	dropAtOnce = 2000
)

// watchGenerations goes on with what is being built and drops what has been kept long enough, until ctx ends.
func (h *Host) watchGenerations(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-h.sweep:
		}
		all, err := h.store.NotLive(ctx)
		if err != nil {
			continue // whoever needs the store says so
		}
		for i := range all {
			g := &all[i]
			p := h.find(g.Plugin)
			if p == nil || !p.owns() {
				continue
			}
			switch {
			case g.State == store.Building && !p.isBuilding():
				if err := p.startBuild(p.ctx, h, g.Generation, g.Module); err != nil && ctx.Err() == nil {
					h.log.Error("cannot go on building a generation", "plugin", g.Plugin, "generation", g.Number, "error", withHint(err))
				}
			case g.State == store.Retired && time.Since(g.RetiredAt) > p.conf.KeepOld:
				h.drop(ctx, g)
			}
		}
	}
}

// drop deletes a generation.
func (h *Host) drop(ctx context.Context, g *store.GenerationStatus) {
	for ctx.Err() == nil {
		gone, err := h.store.DropGeneration(ctx, g.ID, dropAtOnce)
		switch {
		case err != nil:
			h.log.Warn("cannot drop a generation", "plugin", g.Plugin, "generation", g.Number, "error", err)
			return
		case gone:
			h.log.Info("dropped a generation", "plugin", g.Plugin, "generation", g.Number)
			return
		}
	}
}

// owns reports whether this host delivers the plugin's events.
func (p *hosted) owns() bool {
	st := p.status()
	return st.Epoch != 0 && st.State != delivery.Waiting && st.State != delivery.Stopped
}

func (p *hosted) isBuilding() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.build != nil
}

// aboutGenerations carries out a request about a plugin's generations. It reports whether that is what it is.
func (h *Host) aboutGenerations(ctx context.Context, p *hosted, r store.Request) bool {
	var err error
	done := ""
	switch r.Action {
	case store.AskRebuild:
		done, err = p.rebuild(ctx, h, r.Digest)
	case store.AskRollback:
		p.askRollback(h, r)
		return true
	case store.AskDrop:
		done, err = h.dropOf(ctx, p, r.Generation)
	default:
		return false
	}
	a := store.Answer{Request: r.ID, State: store.Done, Text: done}
	if err != nil {
		a.State, a.Text = store.Refused, withHint(err)
	}
	h.answer(ctx, a)
	return true
}

func (h *Host) answer(ctx context.Context, a store.Answer) {
	if err := h.store.AnswerRequest(ctx, 0, 0, a); err != nil && !errors.Is(err, store.ErrAnswered) && ctx.Err() == nil {
		h.log.Warn("cannot answer a request", "request", a.Request, "error", err)
	}
}

// rebuild begins a generation from the plugin's start, with a stored module or the declared one.
func (p *hosted) rebuild(ctx context.Context, h *Host, digest string) (string, error) {
	wasm, _, err := readModule(p.conf.Module)
	if err != nil {
		return "", fmt.Errorf("read the declared module: %w", err)
	}
	// The declared one is kept too: it is what a rollback goes back to.
	declared := digestOf(wasm)
	if err := h.store.PutModule(ctx, declared, wasm); err != nil {
		return "", err
	}
	if digest == "" {
		digest = declared
	}
	if wasm, err = h.store.Module(ctx, digest); err != nil {
		return "", err
	}
	m, err := compileModule(ctx, h.engine, p.conf, wasm)
	if err != nil {
		return "", err
	}
	if err := errors.Join(tryStart(ctx, m), m.Close(ctx)); err != nil {
		return "", p.startError(err)
	}
	return p.beginBuild(ctx, h, digest)
}

func (p *hosted) beginBuild(ctx context.Context, h *Host, digest string) (string, error) {
	start, err := p.buildStart(ctx, h)
	if err != nil {
		return "", err
	}
	gen, err := h.store.BuildGeneration(ctx, p.conf.Name, start, digest)
	if err != nil {
		return "", err
	}
	if err := p.startBuild(p.ctx, h, gen, digest); err != nil {
		return "", err
	}
	return fmt.Sprintf("generation %d is being built from position %d", gen.Number, start+1), nil
}

// buildStart is where a read model begins: where it is declared, or at the first event.
func (p *hosted) buildStart(ctx context.Context, h *Host) (event.Position, error) {
	switch start := p.conf.Start; start.At {
	case config.StartAtPosition:
		return max(start.Position-1, 0), nil
	case config.StartAtTime:
		at, err := h.store.PositionBefore(ctx, start.Time)
		if err != nil {
			return 0, fmt.Errorf("find where to start: %w", err)
		}
		return min(at, p.status().Position), nil
	}
	return 0, nil
}

// rebuildWith begins a generation with a module that has just been put in the place of the declared one.
func (p *hosted) rebuildWith(ctx context.Context, h *Host, m *plugin.Module, wasm []byte) ReloadOutcome {
	digest := m.Digest()
	_ = m.Close(ctx) // it is loaded again for the build; closing a module cannot fail
	err := h.store.PutModule(ctx, digest, wasm)
	if err == nil {
		_, err = p.beginBuild(ctx, h, digest)
	}
	if err != nil {
		p.declare("") // so that it is tried again
		return p.refuse(ctx, h, digest, err)
	}
	p.setRefused(nil)
	o := ReloadOutcome{Plugin: p.conf.Name, Result: ReloadRebuilding, Digest: digest}
	h.record(ctx, p, o)
	return o
}

// changedAtStart is a plugin whose module was changed while no host ran, and that is to be rebuilt then. The module
// that made the read model goes on with it where the store has it.
func (p *hosted) changedAtStart(ctx context.Context, h *Host, before string) error {
	err := p.standIn(ctx, h, before)
	if errors.Is(err, store.ErrNotFound) {
		h.log.Warn("the module that made the read model is not at hand: the new one goes on with it while it is rebuilt", "plugin", p.conf.Name)
		err = nil
	}
	if err != nil {
		return err
	}
	all, err := h.store.Generations(ctx, p.conf.Name)
	if err != nil || slices.ContainsFunc(all, func(g store.GenerationStatus) bool { return g.State == store.Building }) {
		return err
	}
	wasm, _, err := readModule(p.conf.Module)
	if err != nil {
		return fmt.Errorf("read the module of plugin %q: %w", p.conf.Name, err)
	}
	if err := h.store.PutModule(ctx, digestOf(wasm), wasm); err != nil {
		return err
	}
	start, err := p.buildStart(ctx, h)
	if err == nil {
		_, err = h.store.BuildGeneration(ctx, p.conf.Name, start, digestOf(wasm)) // watchGenerations goes on with it
	}
	if errors.Is(err, store.ErrBuilding) {
		return nil
	}
	return err
}

// askRollback has the plugin go back to a retired generation between two runners.
func (p *hosted) askRollback(h *Host, r store.Request) {
	p.between(func(ctx context.Context) {
		to, err := h.retired(ctx, p, r.Generation)
		if err == nil {
			err = p.rollBack(ctx, h, to, r.ID)
		}
		if err != nil {
			h.answer(ctx, store.Answer{Request: r.ID, State: store.Refused, Text: withHint(err)})
		}
	})
}

// retired finds a retired generation by its number, or the newest for 0.
func (h *Host) retired(ctx context.Context, p *hosted, number int) (store.GenerationStatus, error) {
	all, err := h.store.Generations(ctx, p.conf.Name)
	if err != nil {
		return store.GenerationStatus{}, err
	}
	for _, g := range all {
		if g.State == store.Retired && (number == 0 || g.Number == number) {
			return g, nil
		}
	}
	if number != 0 {
		return store.GenerationStatus{}, fmt.Errorf("there is no retired generation %d", number)
	}
	return store.GenerationStatus{}, errors.New("there is no retired generation to go back to")
}

// dropOf drops a retired generation, all of them for 0, or one that is being built by its number.
func (h *Host) dropOf(ctx context.Context, p *hosted, number int) (string, error) {
	all, err := h.store.Generations(ctx, p.conf.Name)
	if err != nil {
		return "", err
	}
	var dropped []int
	for i := range all {
		g := &all[i]
		if g.State == store.Live || number != 0 && g.Number != number || number == 0 && g.State != store.Retired {
			continue
		}
		if g.State == store.Building {
			p.abandon()
		}
		h.drop(ctx, g)
		dropped = append(dropped, g.Number)
	}
	if len(dropped) == 0 {
		return "", errors.New("there is no such generation to drop; the live one cannot be dropped")
	}
	return fmt.Sprintf("dropped generation %v", dropped), nil
}

// abandon stops the build and waits for its end.
func (p *hosted) abandon() {
	p.mu.Lock()
	b := p.build
	p.mu.Unlock()
	if b != nil {
		b.stop(nil)
		<-b.done
	}
}
