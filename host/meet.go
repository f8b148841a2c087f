package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/store"
)

// meet makes a built generation the live one. The live one's runner has ended and left its lease to this host; it goes on
// if meet fails.
func (p *hosted) meet(ctx context.Context, h *Host, b *build) error {
	log := h.log.With("plugin", p.conf.Name, "generation", b.gen.Number)
	began := time.Now()
	err := p.switchTo(ctx, h, b)
	switch {
	case errors.Is(err, errEdited):
		log.Info("building the generation anew: an event was edited since it was begun")
		return p.buildAnew(ctx, h, b)
	case err != nil:
		if ctx.Err() == nil {
			log.Warn("the new generation cannot take over yet", "error", err)
		}
		return err
	}
	log.Info("the new generation is live", "position", p.gen.Position, "parked", b.status().Parked, "pause", time.Since(began).Round(time.Millisecond))
	return nil
}

// errEdited says that a build has handled an event, or may have, before somebody put other data in its place.
var errEdited = errors.New("an event was edited meanwhile")

func (p *hosted) switchTo(ctx context.Context, h *Host, b *build) error {
	b.fate.Lock()
	defer b.fate.Unlock()
	if b.over {
		return errors.New("its build has ended")
	}
	if why := p.notYet(p.status(), b.status()); why != "" { // nothing is committed to the live one any more
		return errors.New(why)
	}
	old, at, err := p.leases(ctx, h, p.rows())
	if err == nil {
		err = p.nothingWaits(ctx, h)
	}
	if err != nil {
		return err
	}
	if err := b.reach(ctx, at); err != nil {
		return err
	}
	switch edited, err := b.outdated(ctx, h); {
	case err != nil:
		return err
	case edited:
		return errEdited
	}
	b.stop(delivery.ErrReplaced)
	<-b.ended
	next, reached, err := p.leases(ctx, h, b.rows)
	if err == nil && !slices.Equal(reached, at) {
		err = fmt.Errorf("it is at %v, the live one at %v", reached, at)
	}
	if err != nil {
		return err
	}
	held := max(slices.Min(at), p.heldUntil)
	m, standIn := b.module, p.standInFor(b.module.Digest())
	if b.declared && standIn.Digest != "" { // the file has another module by now, which goes on with what this one made
		if m, err = p.moduleOf(ctx, h, p.declaredDigest()); err != nil {
			return err
		}
		standIn = store.StandIn{}
	}
	err = h.store.SwitchGeneration(ctx, store.Switch{
		Plugin: p.conf.Name, Owner: h.self.ID, From: old, To: next, HeldUntil: held, StandIn: standIn,
	})
	if err != nil {
		p.goAstray() // it may have been made all the same
		return err
	}
	b.live.Store(m == b.module)
	gen := b.gen.Generation
	gen.Position = slices.Min(at)
	p.become(ctx, h, gen, b.rows, held, m)
	return nil
}

// reach waits until each partition has come to where the live one's stands.
func (b *build) reach(ctx context.Context, at []event.Position) error {
	until := time.Now().Add(meetPatience)
	for i, r := range b.parts {
		for r.Status().Position < at[i] {
			if ctx.Err() != nil || time.Now().After(until) {
				return fmt.Errorf("it is at %d of %d after %s", r.Status().Position, at[i], meetPatience)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// outdated reports whether an event was edited since the build was begun.
func (b *build) outdated(ctx context.Context, h *Host) (bool, error) {
	all, err := h.store.Replacements(ctx, b.gen.Plugin)
	return slices.ContainsFunc(all, func(r store.Replacement) bool { return r.At.After(b.gen.CreatedAt) }), err
}

// buildAnew puts a new build in the place of one that has made something else than it would now.
func (p *hosted) buildAnew(ctx context.Context, h *Host, b *build) error {
	b.stop(nil)
	<-b.ended
	held, _, err := p.leases(ctx, h, p.rows())
	if err != nil {
		return err
	}
	by := store.Leader{Owner: h.self.ID, Held: held[0]}
	// The rest of it goes later: the live generation stands still meanwhile.
	if _, err := h.store.DropGeneration(ctx, store.Drop{Generation: b.gen.ID, By: by, Limit: 1}); err != nil {
		return err
	}
	_, err = p.beginBuild(ctx, h, by, b.gen.Module)
	return err
}

// standInFor says what a module is beside the declared one.
func (p *hosted) standInFor(digest string) store.StandIn {
	declared := p.declaredDigest()
	if digest == declared {
		return store.StandIn{}
	}
	return store.StandIn{Digest: digest, InsteadOf: declared}
}

// become makes another generation the one that this host delivers to, with its module. Its leases are this host's.
func (p *hosted) become(ctx context.Context, h *Host, gen store.Generation, rows []store.Generation, heldUntil event.Position, m *plugin.Module) {
	p.setNext(ctx, m)
	p.gen, p.heldUntil = gen, heldUntil
	p.setUnits(rows)
	for _, u := range p.parts() {
		u.decide(true, "")
	}
	h.lookAtLeases()
}
