package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/plugin"
	"eshost/host/store"
)

const (
	// sweepEvery is how often a host looks for generations that are built or kept, by one statement for all plugins.
	sweepEvery = 5 * time.Second
	// dropAtOnce is how many documents of a generation are deleted in one transaction.
	dropAtOnce = 2000
)

// watchGenerations goes on with what is being built and drops what has been kept long enough, until ctx ends. It alone
// starts builds.
func (h *Host) watchGenerations(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		h.sweepGenerations(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-h.sweep:
		}
	}
}

func (h *Host) sweepGenerations(ctx context.Context) {
	look, cancel := h.soon(ctx)
	all, err := h.store.NotLive(look)
	cancel()
	if err != nil {
		return // whoever needs the store says so
	}
	for _, p := range h.list() {
		h.endStrayBuild(p, all)
		if p.leads() && p.wantsBuild.Swap(false) {
			h.rebuildChanged(ctx, p)
		}
	}
	for i := range all {
		g := &all[i]
		p := h.find(g.Plugin)
		if p == nil || !p.leads() {
			continue
		}
		switch {
		case g.State == store.Building && p.owns() && p.current() == nil && !h.isLive(ctx, g):
			err := p.startBuild(p.ctx, h, g)
			p.tellBuildError(ctx, h, g, err)
		case g.State == store.Dropping, g.State == store.Retired && g.RetiredFor > p.conf.KeepOld:
			_ = h.drop(ctx, g, store.Drop{KeptFor: p.conf.KeepOld}) // it is logged, and tried again
		}
	}
}

// isLive reports whether a generation has become the live one since it was listed.
func (h *Host) isLive(ctx context.Context, g *store.GenerationStatus) bool {
	live, err := h.store.FindPlugin(ctx, g.Plugin)
	return err != nil || live.ID == g.ID
}

// endStrayBuild ends a build whose generation is none any more.
func (h *Host) endStrayBuild(p *hosted, all []store.GenerationStatus) {
	b := p.current()
	if b == nil || b.live.Load() {
		return
	}
	there := slices.ContainsFunc(all, func(g store.GenerationStatus) bool { return g.ID == b.gen.ID && g.State == store.Building })
	if !there {
		b.stop(nil) // a switch has stopped it already
	}
}

// tellBuildError says why a generation cannot be built, where everybody sees it. Invariant 9.
func (p *hosted) tellBuildError(ctx context.Context, h *Host, g *store.GenerationStatus, err error) {
	if err == nil || ctx.Err() != nil || withHint(err) == g.Condition.Reason {
		return
	}
	h.log.Error("cannot go on building a generation", "plugin", g.Plugin, "generation", g.Number, "error", withHint(err))
	lease, leaseErr := h.store.Acquire(ctx, g.ID, h.self.ID)
	if leaseErr == nil {
		leaseErr = errors.Join(
			h.store.SetCondition(ctx, g.ID, lease.Epoch, store.Condition{State: store.BackingOff, Reason: withHint(err), Since: time.Now()}),
			h.store.Release(ctx, g.ID, lease.Epoch))
	}
	if leaseErr != nil {
		h.log.Debug("cannot record why a generation is not built", "plugin", g.Plugin, "error", leaseErr)
	}
}

// lookAtOnce has watchGenerations look without delay.
func (h *Host) lookAtOnce() { signal(h.sweep) }

// drop deletes a generation as d says.
func (h *Host) drop(ctx context.Context, g *store.GenerationStatus, d store.Drop) error {
	d.Generation, d.Limit = g.ID, dropAtOnce
	for {
		gone, err := h.store.DropGeneration(ctx, d)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				h.log.Warn("cannot drop a generation", "plugin", g.Plugin, "generation", g.Number, "error", err)
			}
			return err
		case gone:
			h.log.Info("dropped a generation", "plugin", g.Plugin, "generation", g.Number)
			return nil
		}
		d.By = store.Leader{} // it is begun, which anybody may bring to its end
	}
}

// current is the build beside the live generation, nil if there is none.
func (p *hosted) current() *build {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.build
}

func (p *hosted) beginBuild(ctx context.Context, h *Host, by store.Leader, digest string) (store.Generation, error) {
	start, err := p.buildStart(ctx, h)
	if err != nil {
		return store.Generation{}, err
	}
	defer h.lookAtOnce()
	return h.store.BuildGeneration(ctx, by, p.conf.Name, start, digest)
}

// buildStart is where a read model begins: where it is declared, or at the first event.
func (p *hosted) buildStart(ctx context.Context, h *Host) (event.Position, error) {
	at, err := BuildStart(ctx, h.store, &p.conf)
	if err != nil {
		return 0, err
	}
	live, err := h.store.FindPlugin(ctx, p.conf.Name)
	return min(at, live.Position), err
}

// BuildStart returns the position after which a rebuild of a plugin begins: its declared start if that is a position or
// a time, else the log's beginning.
func BuildStart(ctx context.Context, log store.Log, conf *config.Plugin) (event.Position, error) {
	switch start := conf.Start; start.At {
	case config.StartAtPosition:
		return max(start.Position-1, 0), nil
	case config.StartAtTime:
		at, err := log.PositionBefore(ctx, start.Time)
		if err != nil {
			return 0, fmt.Errorf("find where to start: %w", err)
		}
		return at, nil
	}
	return 0, nil
}

// rebuildDeclared begins a generation with the module in the plugin's file, in the place of a build of an older one.
func (p *hosted) rebuildDeclared(ctx context.Context, h *Host, wasm []byte) error {
	digest := digestOf(wasm)
	if err := h.store.PutModule(ctx, digest, wasm); err != nil {
		return err
	}
	by, err := p.leader(h)
	if err != nil {
		return err
	}
	_, err = p.beginBuild(ctx, h, by, digest)
	if !errors.Is(err, store.ErrBuilding) {
		return err
	}
	all, err := h.store.Generations(ctx, p.conf.Name)
	if err != nil {
		return err
	}
	for i := range all {
		if g := &all[i]; g.State == store.Building {
			if g.Module == digest {
				return nil // by a host before this one
			}
			p.abandon()
			if err := p.giveUp(ctx, h, g); err != nil {
				return err
			}
		}
	}
	if by, err = p.leader(h); err == nil {
		_, err = p.beginBuild(ctx, h, by, digest)
	}
	return err
}

// rebuildWith begins a generation with a module that has just been put in the place of the declared one.
func (p *hosted) rebuildWith(ctx context.Context, h *Host, m *plugin.Module, wasm []byte) ReloadOutcome {
	digest := m.Digest()
	_ = m.Close(ctx) // it is loaded again for the build; closing a module cannot fail
	err := store.ErrLeaseLost
	if p.leads() {
		err = p.rebuildDeclared(ctx, h, wasm)
	}
	if errors.Is(err, store.ErrLeaseLost) {
		p.wantsBuild.Store(true) // as soon as it leads, if the owner does not build it
	} else if err != nil {
		p.declare("") // so that it is tried again
		return p.refuse(ctx, h, digest, err)
	}
	p.setRefused(nil)
	o := ReloadOutcome{Plugin: p.conf.Name, Result: ReloadRebuilding, Digest: digest}
	h.record(ctx, p, o)
	return o
}

// rebuildChanged begins a generation with a module that was put in the place of the declared one while no host ran, or
// while another one had the plugin.
func (h *Host) rebuildChanged(ctx context.Context, p *hosted) {
	all, err := h.store.Generations(ctx, p.conf.Name)
	if err == nil && slices.ContainsFunc(all, func(g store.GenerationStatus) bool { return g.State == store.Live && g.Digest == p.declaredDigest() }) {
		return // the owner before has
	}
	var wasm []byte
	if err == nil {
		wasm, _, err = readModule(p.conf.Module)
	}
	if err == nil {
		err = p.rebuildDeclared(ctx, h, wasm)
	}
	if err != nil && ctx.Err() == nil {
		p.wantsBuild.Store(true)
		h.log.Warn("cannot begin to rebuild with the new module, trying again", "plugin", p.conf.Name, "error", withHint(err))
	}
}

// retired finds a retired generation by its number, or the newest for 0.
func (h *Host) retired(ctx context.Context, p *hosted, number int) (store.GenerationStatus, error) {
	all, err := h.store.Generations(ctx, p.conf.Name)
	if err != nil {
		return store.GenerationStatus{}, err
	}
	found := -1
	for i, g := range all {
		if g.State == store.Retired && (g.Number == number || number == 0 && (found < 0 || g.RetiredAt.After(all[found].RetiredAt))) {
			found = i
		}
	}
	switch {
	case found >= 0:
		return all[found], nil
	case number != 0:
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
	var dropped []string
	for i := range all {
		g := &all[i]
		if g.State == store.Live || number != 0 && g.Number != number || number == 0 && g.State == store.Building {
			continue
		}
		if g.State == store.Building {
			p.abandon()
		}
		if err := p.giveUp(ctx, h, g); err != nil {
			return "", err
		}
		dropped = append(dropped, strconv.Itoa(g.Number))
	}
	switch {
	case len(dropped) > 0:
		return fmt.Sprintf("dropped generation %s", strings.Join(dropped, ", ")), nil
	case number != 0:
		return "", fmt.Errorf("there is no generation %d to drop; the live one cannot be dropped", number)
	}
	return "", errors.New("there is no retired generation to drop")
}

// giveUp drops a generation, as the plugin's leader.
func (p *hosted) giveUp(ctx context.Context, h *Host, g *store.GenerationStatus) error {
	by, err := p.leader(h)
	if err != nil {
		return err
	}
	return h.drop(ctx, g, store.Drop{By: by})
}

// abandon stops the build and waits for its end.
func (p *hosted) abandon() {
	if b := p.current(); b != nil {
		b.stop(nil)
		<-b.done
	}
}
