package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"eshost/host/config"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/store"
)

// locate finds the plugin's live generation and the module that it runs with, however long the store is away.
func (p *hosted) locate(ctx context.Context, h *Host) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		gen, err := p.place(ctx, h)
		if err != nil {
			return err
		}
		if gen, err = p.settleTarget(ctx, h, gen); err == nil {
			err = p.settleModule(ctx, h, gen)
		}
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		p.setReason(withHint(err))
		h.log.Warn("cannot find out where the read model is, or which module it is made with, trying again", "plugin", p.conf.Name, "error", withHint(err))
		sleep(ctx, pause)
	}
}

// settleModule finds out which generation is delivered to, and which module stands in for the declared one.
func (p *hosted) settleModule(ctx context.Context, h *Host, gen store.Generation) error {
	all, err := h.store.Generations(ctx, p.conf.Name)
	if err != nil {
		return fmt.Errorf("read the generations of plugin %q: %w", p.conf.Name, err)
	}
	digest := ""
	for _, g := range all {
		if g.ID == gen.ID {
			p.gen, p.heldUntil, digest = gen, g.HeldUntil, g.Digest
		}
	}
	in, err := h.store.FindStandIn(ctx, p.conf.Name)
	if err != nil {
		return fmt.Errorf("read what stands in for the module of plugin %q: %w", p.conf.Name, err)
	}
	declared := p.declaredDigest()
	rows, err := h.store.Partitions(ctx, gen.ID)
	if err != nil {
		return fmt.Errorf("read the partitions of plugin %q: %w", p.conf.Name, err)
	}
	p.setUnits(rows)
	defer h.lookAtLeases()
	if in.Digest != "" && in.InsteadOf == declared {
		return p.standIn(ctx, h, in.Digest)
	}
	if p.conf.OnChange == config.OnChangeRebuild {
		if err := p.keepDeclared(ctx, h, declared); err != nil {
			return err
		}
		if digest != "" && digest != declared {
			p.wantsBuild.Store(true)
			return p.standIn(ctx, h, digest)
		}
	}
	return p.useDeclared(ctx, h, declared)
}

// standIn has a stored module run in the place of the declared one. Where that cannot be the declared one goes on.
func (p *hosted) standIn(ctx context.Context, h *Host, digest string) error {
	if p.digest() == digest {
		return nil
	}
	m, err := p.storedModule(ctx, h, digest)
	if err == nil {
		if pin := p.conf.SHA256; pin != "" && pin != digest {
			h.log.Info("the module that made the read model goes on with it in the place of the pinned one", "plugin", p.conf.Name, "digest", digest, "pinned", pin)
		}
		p.setNext(ctx, m)
		return nil
	}
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, ErrModule) {
		return fmt.Errorf("read the module of plugin %q: %w", p.conf.Name, err)
	}
	h.log.Warn("the module that made the read model cannot be used any more: the declared one goes on with it", "plugin", p.conf.Name, "digest", digest, "error", withHint(err))
	return p.useDeclared(ctx, h, p.declaredDigest())
}

// useDeclared has the declared module run, where another one does.
func (p *hosted) useDeclared(ctx context.Context, h *Host, declared string) error {
	if p.digest() == declared {
		return nil
	}
	m, err := p.moduleOf(ctx, h, declared)
	if err != nil {
		return err
	}
	p.setNext(ctx, m)
	return nil
}

// keepDeclared stores the declared module, so that it can go on with its read model when its file holds another one.
func (p *hosted) keepDeclared(ctx context.Context, h *Host, declared string) error {
	wasm, _, err := readModule(p.conf.Module)
	if err != nil || digestOf(wasm) != declared {
		return nil // the file has changed again, which the next reload sees
	}
	return h.store.PutModule(ctx, declared, wasm)
}

// moduleOf loads a module by its digest where the store has it, else the declared one.
func (p *hosted) moduleOf(ctx context.Context, h *Host, digest string) (*plugin.Module, error) {
	if digest != "" {
		m, err := p.storedModule(ctx, h, digest)
		if !errors.Is(err, store.ErrNotFound) {
			return m, err
		}
	}
	wasm, _, err := readModule(p.conf.Module)
	if err != nil {
		return nil, fmt.Errorf("read the declared module: %w", err)
	}
	return compileModule(ctx, h.engine, p.conf, wasm)
}

// storedModule loads a module from the store. The pin of hosts.toml is for the module in the plugin's file; this one is
// held to the digest that was recorded of it.
func (p *hosted) storedModule(ctx context.Context, h *Host, digest string) (*plugin.Module, error) {
	wasm, err := h.store.Module(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("read a module from the store: %w", err)
	}
	if is := digestOf(wasm); is != digest {
		return nil, &Error{Subject: pluginSubject(p.conf.Name), Err: &unusable{fmt.Errorf("the module stored as %s has SHA-256 %s", digest, is)},
			hint: "the database is damaged, or somebody has changed it: put it in order"}
	}
	conf := p.conf
	conf.SHA256 = ""
	return compileModule(ctx, h.engine, conf, wasm)
}

// liveState is the store of the plugin's live generation.
//
// Invariant 2: nobody delivers to a generation that another host has put another one in the place of, nor to a partition
// that another host has given other events.
type liveState struct {
	delivery.State
	host *Host
	p    *hosted
	gen  store.Generation // the partition, as it was found
}

// Acquire takes the lease of a partition of the live generation. Once it is taken no other host can make another
// generation the live one, or split it anew.
func (s liveState) Acquire(ctx context.Context, generation int64, hostID string) (store.Lease, error) {
	lease, err := s.State.Acquire(ctx, generation, hostID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return lease, err
	}
	live, findErr := s.host.store.FindPlugin(ctx, s.p.conf.Name)
	if err == nil && findErr == nil && live.ID == s.gen.Root && sameSplit(&s.gen, lease.Partitions, lease.OrderBy) {
		return lease, nil
	}
	if err == nil {
		err = s.Release(ctx, generation, lease.Epoch)
	}
	if findErr != nil {
		return store.Lease{}, findErr
	}
	s.p.goAstray()
	return store.Lease{}, errors.Join(errors.New("another generation is live now, or it has other partitions"), err)
}

// sameSplit reports whether a partition has the same events as it had when it was found in the store.
func sameSplit(gen *store.Generation, partitions int, orderBy string) bool {
	return partitions == gen.Partitions && (partitions < 2 || orderBy == gen.OrderBy)
}

// goAstray says that the live generation may be another one: it is looked for as soon as the runner has ended.
func (p *hosted) goAstray() {
	p.astray.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endRunner()
}

// rollBack makes a retired generation the live one again, with the module that made it where that is known.
func (h *Host) rollBack(ctx context.Context, p *hosted, r store.Request) (string, error) {
	if p.inRedis() {
		return "", errors.New("its read model is in Redis, where there is no earlier one to go back to")
	}
	to, err := h.retired(ctx, p, r.Generation)
	if err != nil {
		return "", err
	}
	m, err := p.moduleOf(ctx, h, to.Digest) // now, while the live generation still moves
	if err != nil {
		return "", fmt.Errorf("load the module that made generation %d: %w", to.Number, err)
	}
	a := store.Answer{Request: r.ID, State: store.Done, Text: fmt.Sprintf("generation %d is live again, from position %d", to.Number, to.Position)}
	back := func(ctx context.Context) error { return p.goBack(ctx, h, to, m, a) }
	if p.conf.Emits() {
		err = p.aligned(ctx, h, back)
	} else {
		err = p.betweenRunners(ctx, back)
	}
	if err != nil {
		return "", errors.Join(err, m.Close(context.WithoutCancel(ctx)))
	}
	return a.Text, nil
}

// nothingWaits fails for a plugin that emits events while some wait behind failed ones: what they emit would be held
// back in the other generation and never be emitted by this one. The lease must be this host's, so that the store is right.
func (p *hosted) nothingWaits(ctx context.Context, h *Host) error {
	if !p.conf.Emits() {
		return nil
	}
	all, err := h.store.Generations(ctx, p.conf.Name)
	if err != nil {
		return err
	}
	for _, g := range all {
		if g.ID == p.gen.ID && g.Waiting > 0 {
			return fmt.Errorf("%d events wait behind failed ones, and the plugin emits events, which nobody would emit then: retry or skip them first, see eshost parked list %s",
				g.Waiting, p.conf.Name)
		}
	}
	return nil
}

// goBack is called between two runners: the lease of the live generation is this host's.
func (p *hosted) goBack(ctx context.Context, h *Host, to store.GenerationStatus, m *plugin.Module, a store.Answer) error {
	live, at, err := p.leases(ctx, h, p.rows())
	if err == nil {
		err = p.nothingWaits(ctx, h)
	}
	if err != nil {
		return err
	}
	if p.conf.Emits() && slices.Min(at) != slices.Max(at) {
		return fmt.Errorf("its partitions do not stand at one position: %v", at)
	}
	rows, err := h.store.Partitions(ctx, to.ID)
	if err != nil {
		return err
	}
	back, _, err := p.leases(ctx, h, rows)
	if err != nil {
		return err
	}
	// What was emitted once is not emitted again, whichever of the two is further.
	held := max(slices.Min(at), p.heldUntil, to.HeldUntil)
	err = h.store.SwitchGeneration(ctx, store.Switch{
		Plugin: p.conf.Name, Owner: h.self.ID, From: live, To: back, Rollback: true,
		HeldUntil: held, StandIn: p.standInFor(m.Digest()), Answers: []store.Answer{a},
	})
	if err != nil {
		p.goAstray()
		return err
	}
	p.become(ctx, h, to.Generation, rows, held, m)
	h.log.Info("an earlier generation is live again", "plugin", p.conf.Name, "generation", to.Number, "position", to.Position)
	return nil
}
