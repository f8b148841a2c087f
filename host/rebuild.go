package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/store"
)

// build is a generation of a plugin on its way to become the live one. Its runner goes no further than the live one's,
// so that both can be made to meet at one position: there the new one takes over what the old one has emitted so far.
type build struct {
	gen    store.Generation
	module *plugin.Module
	runner *delivery.Runner
	stop   context.CancelCauseFunc
	done   chan struct{} // closed when the runner has stopped
	live   atomic.Bool   // it has become the live one: the module is the plugin's now
}

const (
	// meetPatience is how long the live generation may stand still for the new one to reach it.
	meetPatience = 10 * time.Second
	// meetWithin is how close the new one must be before that, in positions.
	meetWithin = 2000
	buildLook  = 50 * time.Millisecond
)

// startBuild goes on with a generation that is being built, until it is live or ctx ends.
func (p *hosted) startBuild(ctx context.Context, h *Host, gen store.Generation, digest string) error {
	wasm, err := h.store.Module(ctx, digest)
	if err != nil {
		return fmt.Errorf("read the module to build with: %w", err)
	}
	m, err := compileModule(ctx, h.engine, p.conf, wasm)
	if err != nil {
		return err
	}
	reader := h.tail.NewReader(event.Filter{Types: p.conf.Events})
	o := p.options(h, gen.ID)
	o.HeldUntil, o.Committed = math.MaxInt64, nil
	o.Metrics = nil // they are the live generation's
	o.Logger = o.Logger.With("generation", gen.Number)
	b := &build{gen: gen, module: m, done: make(chan struct{})}
	b.runner = delivery.NewRunner(toldState{h.store, &h.changes}, &following{Feed: reader, leader: p}, module{m, p.conf.Limits.Memory, &p.guests}, o)
	run, stop := context.WithCancelCause(ctx)
	b.stop = stop
	p.mu.Lock()
	p.build = b
	p.mu.Unlock()
	h.log.Info("building a generation beside the live one", "plugin", p.conf.Name, "generation", gen.Number, "digest", digest)
	h.group.Go(func() error {
		defer reader.Close()
		b.runner.Run(run)
		close(b.done)
		return nil
	})
	h.group.Go(func() error {
		p.awaitMeeting(run, h, b)
		<-b.done
		p.endBuild(b)
		return nil
	})
	return nil
}

// endBuild forgets a build that has ended. One that is not live is found again in the store, by whoever owns the plugin.
func (p *hosted) endBuild(b *build) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.build == b {
		p.build, p.hold = nil, ""
	}
	if !b.live.Load() {
		_ = b.module.Close(context.Background()) // nobody has it any more; closing a module cannot fail
	}
}

// awaitMeeting has the live generation's runner end when the new one is close behind it.
func (p *hosted) awaitMeeting(ctx context.Context, h *Host, b *build) {
	ticker := time.NewTicker(buildLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		live, next := p.status(), b.runner.Status()
		behind := live.Position - next.Position
		if next.Epoch == 0 || live.Epoch == 0 || behind > meetWithin || next.State != delivery.Running || live.State == delivery.Waiting {
			continue
		}
		if why := p.notYet(live); why != "" {
			p.setHold(why)
			continue
		}
		p.setHold("")
		met := make(chan bool, 1)
		p.between(func(ctx context.Context) { met <- p.meet(ctx, h, b) })
		select {
		case <-ctx.Done():
			return
		case ok := <-met:
			if ok {
				return
			}
		}
	}
}

// between ends the plugin's runner, does something, and has the next runner begin.
func (p *hosted) between(do func(ctx context.Context)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interludes = append(p.interludes, do)
	if p.replace != nil {
		p.replace(delivery.ErrReplaced)
	}
}

// interlude does what was asked for between two runners.
func (p *hosted) interlude(ctx context.Context) {
	p.mu.Lock()
	todo := p.interludes
	p.interludes = nil
	p.mu.Unlock()
	for _, do := range todo {
		do(ctx)
	}
}

// notYet says why a new generation must not take over although it has caught up.
func (p *hosted) notYet(live delivery.Status) string {
	if live.Waiting == 0 || !p.conf.Emits() {
		return ""
	}
	// What these events emit would be held back in the new generation and never be emitted by the old one.
	return fmt.Sprintf("%d events wait behind failed ones in the live generation, and the plugin emits events: retry or skip them first", live.Waiting)
}

// following is a feed that stays behind the live generation.
type following struct {
	delivery.Feed
	leader *hosted
}

// Next waits until the live generation is ahead, and returns nothing that it has not passed.
func (f *following) Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error) {
	var to event.Position
	for {
		if to = f.leader.status().Position; to > after {
			break
		}
		select {
		case <-ctx.Done():
			return event.Batch{}, ctx.Err()
		case <-time.After(buildLook):
		}
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

// meet makes a built generation the live one. The live one's runner has ended and left its lease to this host. It
// reports false if that one must go on for now.
func (p *hosted) meet(ctx context.Context, h *Host, b *build) bool {
	began := time.Now()
	err := p.switchTo(ctx, h, b)
	log := h.log.With("plugin", p.conf.Name, "generation", b.gen.Number)
	if err != nil {
		if ctx.Err() == nil {
			log.Warn("the new generation cannot take over yet", "error", err)
		}
		return false
	}
	log.Info("the new generation is live", "pause", time.Since(began).Round(time.Millisecond))
	return true
}

func (p *hosted) switchTo(ctx context.Context, h *Host, b *build) error {
	old, err := h.store.Acquire(ctx, p.gen.ID, h.self.ID)
	if err != nil {
		return err
	}
	for until := time.Now().Add(meetPatience); b.runner.Status().Position < old.Position; {
		if ctx.Err() != nil || time.Now().After(until) {
			return fmt.Errorf("it is at %d of %d after %s", b.runner.Status().Position, old.Position, meetPatience)
		}
		time.Sleep(time.Millisecond)
	}
	b.stop(delivery.ErrReplaced)
	<-b.done
	next, err := h.store.Acquire(ctx, b.gen.ID, h.self.ID)
	if err == nil && next.Position != old.Position {
		err = fmt.Errorf("it is at %d, the live one at %d", next.Position, old.Position)
	}
	if err == nil {
		err = h.store.SwitchGeneration(ctx, store.Switch{
			Plugin: p.conf.Name, From: p.gen.ID, FromEpoch: old.Epoch, To: b.gen.ID, ToEpoch: next.Epoch,
			HeldUntil: old.Position, StandIn: p.standInFor(b.module.Digest()),
		})
	}
	if err != nil {
		return err
	}
	b.live.Store(true)
	p.become(ctx, store.Generation{ID: b.gen.ID, Plugin: p.conf.Name, Number: b.gen.Number, Position: old.Position}, old.Position, b.module)
	return nil
}

// standInFor says what a module is beside the declared one.
func (p *hosted) standInFor(digest string) store.StandIn {
	declared := p.declaredDigest()
	if digest == declared {
		return store.StandIn{}
	}
	return store.StandIn{Digest: digest, InsteadOf: declared}
}

// become makes another generation the one that this host delivers to, with its module.
func (p *hosted) become(ctx context.Context, gen store.Generation, heldUntil event.Position, m *plugin.Module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gen, p.heldUntil, p.hold = gen, heldUntil, ""
	if p.next != nil {
		_ = p.next.Close(ctx) // nobody has used it
	}
	p.next = m
}

func (p *hosted) setHold(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = why
}

// rollBack makes a retired generation the live one again, with the module that made it where that is known. The live
// one's runner has ended and left its lease to this host.
func (p *hosted) rollBack(ctx context.Context, h *Host, to store.GenerationStatus, request int64) error {
	live, err := h.store.Acquire(ctx, p.gen.ID, h.self.ID)
	if err != nil {
		return err
	}
	m, err := p.moduleOf(ctx, h, to.Digest)
	if err != nil {
		return err
	}
	back, err := h.store.Acquire(ctx, to.ID, h.self.ID)
	if err == nil {
		err = h.store.SwitchGeneration(ctx, store.Switch{
			Plugin: p.conf.Name, From: p.gen.ID, FromEpoch: live.Epoch, To: to.ID, ToEpoch: back.Epoch,
			HeldUntil: live.Position, StandIn: p.standInFor(m.Digest()),
			Answers: []store.Answer{{Request: request, State: store.Done, Text: fmt.Sprintf("generation %d is live again, from position %d", to.Number, to.Position)}},
		})
	}
	if err != nil {
		return errors.Join(err, m.Close(context.WithoutCancel(ctx)))
	}
	p.become(ctx, to.Generation, live.Position, m)
	return nil
}

// moduleOf loads a module by its digest where the store has it, else the declared one.
func (p *hosted) moduleOf(ctx context.Context, h *Host, digest string) (*plugin.Module, error) {
	if digest != "" && digest != p.declaredDigest() {
		wasm, err := h.store.Module(ctx, digest)
		if err == nil {
			return compileModule(ctx, h.engine, p.conf, wasm)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("read the module that made it: %w", err)
		}
	}
	wasm, _, err := readModule(p.conf.Module)
	if err != nil {
		return nil, fmt.Errorf("read the declared module: %w", err)
	}
	return compileModule(ctx, h.engine, p.conf, wasm)
}
