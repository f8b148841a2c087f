package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/store"
)

// build is a generation of a plugin on its way to become the live one. Each of its partitions goes no further than the
// live one's, so that both can be made to meet at one position: there the new one takes over what the old one has emitted
// so far.
type build struct {
	gen    store.GenerationStatus
	module *plugin.Module
	parts  []*delivery.Runner // by partition
	rows   []store.Generation // of the partitions
	stop   context.CancelCauseFunc
	done   chan struct{} // closed when the runners have stopped and the module is given up
	ended  chan struct{} // closed when the runners have stopped
	// declared says that the module was the declared one when the build was begun.
	declared bool
	live     atomic.Bool // it has become the live one: the module is the plugin's now
	fate     sync.Mutex  // held while it is decided whether it becomes that
	over     bool        // it does not, in this process
	pace     pace        // awaitMeeting's
	hold     string      // awaitMeeting's: why it is not live although it has caught up
}

const (
	buildLook = 50 * time.Millisecond
	// meetWithin is how close the new generation must be, in positions, before the live one stands still for it. One that
	// handles more than that in meetTime may be further away.
	meetWithin = 2000
	meetTime   = time.Second
	// meetPatience is how long the live one stands still at most, and meetAgain how long it then runs before the next try.
	meetPatience = 5 * time.Second
	meetAgain    = 10 * time.Second
)

// startBuild goes on with a generation that is being built, until it is live or ctx ends.
func (p *hosted) startBuild(ctx context.Context, h *Host, gen *store.GenerationStatus) error {
	rows, err := h.store.Partitions(ctx, gen.ID)
	if err != nil {
		return fmt.Errorf("read the partitions of generation %d: %w", gen.Number, err)
	}
	leaders := p.parts()
	if len(rows) != len(leaders) {
		return fmt.Errorf("generation %d has %d partitions, the live one has %d: give it up with eshost rebuild %s --drop-old --generation %[1]d",
			gen.Number, len(rows), len(leaders), p.conf.Name)
	}
	m, err := p.storedModule(ctx, h, gen.Module)
	if err != nil {
		return err
	}
	b := &build{gen: *gen, module: m, rows: rows, declared: gen.Module == p.declaredDigest(), done: make(chan struct{}), ended: make(chan struct{})}
	run, stop := context.WithCancelCause(ctx)
	b.stop = stop
	var g sync.WaitGroup
	for i := range rows {
		reader := h.tail.NewReader(p.filter(&rows[i]))
		r := p.buildRunner(h, b, i, leaders[i], reader)
		b.parts = append(b.parts, r)
		g.Go(func() {
			defer reader.Close()
			for r.Run(run) != nil { // another host has the lease: it has just given the plugin up, or takes it
				sleep(run, time.Second)
			}
		})
	}
	p.mu.Lock()
	p.build = b
	p.mu.Unlock()
	h.log.Info("building a generation beside the live one", "plugin", p.conf.Name, "generation", gen.Number, "digest", gen.Module, "from", gen.Position)
	h.group.Go(func() error {
		defer close(b.ended)
		g.Wait()
		return nil
	})
	h.group.Go(func() error {
		p.awaitMeeting(run, h, b)
		stop(nil)
		<-b.ended
		p.endBuild(b)
		return nil
	})
	return nil
}

// buildRunner builds one partition behind the live one's.
func (p *hosted) buildRunner(h *Host, b *build, i int, leader *unit, reader delivery.Feed) *delivery.Runner {
	o := p.options(h, &b.rows[i])
	o.HeldUntil, o.Committed = math.MaxInt64, nil
	o.Metrics = nil // they are the live generation's
	o.Logger = o.Logger.With("generation", b.gen.Number)
	feed := &limited{Feed: reader, log: h.store, filter: p.filter(&b.rows[i]), end: leader.position}
	state := unpaused{toldState{h.store, &h.changes, len(b.rows) > 1}}
	return delivery.NewRunner(state, feed, module{b.module, p.conf.Limits.Memory, &p.pool}, o)
}

// position is how far the unit has come.
func (u *unit) position() (event.Position, bool) {
	u.p.mu.Lock()
	defer u.p.mu.Unlock()
	if u.runner == nil {
		return 0, true
	}
	return u.runner.Status().Position, true
}

// status is all partitions' together: the lowest position, and the state of the first that does not simply run.
func (b *build) status() delivery.Status {
	sum := b.parts[0].Status()
	for _, r := range b.parts[1:] {
		st := r.Status()
		sum.Position = min(sum.Position, st.Position)
		sum.Retrying += st.Retrying
		sum.Parked += st.Parked
		sum.Waiting += st.Waiting
		if sum.State == delivery.Running && sum.Epoch != 0 {
			sum.State, sum.Reason, sum.Epoch = st.State, st.Reason, st.Epoch
		}
	}
	return sum
}

// endBuild forgets a build that has ended. One that is not live is found again in the store, by whoever owns the plugin.
func (p *hosted) endBuild(b *build) {
	b.fate.Lock()
	b.over = true
	b.fate.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.build == b {
		p.build = nil
	}
	if !b.live.Load() {
		_ = b.module.Close(context.Background()) // nobody has it any more; closing a module cannot fail
	}
	close(b.done)
}

// unpaused is the store of a build: a person's pause is the live generation's, and the build becomes that one's successor.
type unpaused struct{ delivery.State }

func (unpaused) Paused(context.Context, string) (*store.Pause, error) { return nil, nil }

// awaitMeeting has the live generation's runner end when the new one is close behind it, and returns when the two have
// met or the build has no future here.
func (p *hosted) awaitMeeting(ctx context.Context, h *Host, b *build) {
	ticker := time.NewTicker(buildLook)
	defer ticker.Stop()
	var rest time.Time
	apart := 0 // times in a row
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		live, next := p.status(), b.status()
		if live.State == delivery.Waiting {
			return // whoever owns the plugin goes on with the build
		}
		b.pace.note(next.Position)
		if !b.near(live, next) || time.Now().Before(rest) {
			continue
		}
		why := p.notYet(live, next)
		b.setHold(ctx, h, next.Epoch, why)
		if why != "" {
			continue
		}
		err := p.meetBetween(ctx, h, b)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errApart) {
			apart, rest = 0, time.Now().Add(meetAgain)
			continue
		}
		apart++
		rest = time.Now().Add(restAfter(apart))
		b.setHold(ctx, h, next.Epoch, fmt.Sprintf("it has caught up, but %v; tried again after %s", err, restAfter(apart)))
	}
}

// meetBetween has both generations meet. Where the plugin emits events all partitions come to one position first: up to
// there the old one has emitted them, and from there on the new one does.
func (p *hosted) meetBetween(ctx context.Context, h *Host, b *build) error {
	meet := func(ctx context.Context) error { return p.meet(ctx, h, b) }
	if !p.conf.Emits() {
		return p.betweenRunners(ctx, meet)
	}
	err := p.aligned(ctx, h, meet)
	if err != nil && ctx.Err() == nil {
		h.log.Info("the new generation cannot take over yet", "plugin", p.conf.Name, "generation", b.gen.Number, "reason", err)
	}
	return err
}

// near reports whether both move and the new one would reach the live one soon.
func (b *build) near(live, next delivery.Status) bool {
	behind := live.Position - next.Position
	moves := live.Epoch != 0 && live.State != delivery.Starting && live.State != delivery.Stopped && next.Epoch != 0 && next.State == delivery.Running
	return moves && behind >= 0 && behind <= max(meetWithin, b.pace.in(meetTime))
}

// notYet says why a new generation must not take over although it has caught up.
func (p *hosted) notYet(live, next delivery.Status) string {
	switch {
	case p.conf.Emits() && live.Waiting > 0:
		// What these events emit would be held back in the new generation and never be emitted by the old one.
		return fmt.Sprintf("it has caught up, but %d events wait behind failed ones in the live generation, and the plugin emits events: retry or skip them first, see eshost parked list %s",
			live.Waiting, p.conf.Name)
	case next.Retrying > 0:
		return fmt.Sprintf("it has caught up, but %d of its sequences are still retried", next.Retrying)
	}
	if err := p.apart(p.furthest()); err != nil && p.conf.Emits() {
		return fmt.Sprintf("it has caught up, but %v", err)
	}
	return ""
}

// setHold tells everybody why the build is not live yet. Invariant 9.
func (b *build) setHold(ctx context.Context, h *Host, epoch int64, why string) {
	if b.hold == why {
		return
	}
	b.hold = why
	c := store.Condition{State: store.Running, Reason: why, Since: time.Now()}
	if err := h.store.SetCondition(ctx, b.gen.ID, epoch, c); err != nil && ctx.Err() == nil {
		h.log.Debug("cannot record why a generation is not live yet", "plugin", b.gen.Plugin, "error", err)
	}
	if why != "" {
		h.log.Warn("the new generation has to wait", "plugin", b.gen.Plugin, "generation", b.gen.Number, "reason", why)
	}
}

// between ends the plugin's runner, does something, and has the next runner begin.
func (p *hosted) between(do func(ctx context.Context)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interludes = append(p.interludes, do)
	p.endRunner()
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

// setNext has a module take the place of the one that runs as soon as its runner has ended.
func (p *hosted) setNext(ctx context.Context, m *plugin.Module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.putNext(ctx, m)
}

// putNext is setNext for who holds p.mu.
func (p *hosted) putNext(ctx context.Context, m *plugin.Module) {
	if p.next != nil {
		_ = p.next.Close(ctx) // nobody has used it; closing a module cannot fail
	}
	p.next = m
}

// pace is how fast a build gets on.
type pace struct {
	at   time.Time
	from event.Position
	per  float64 // positions a second
}

func (p *pace) note(now event.Position) {
	d := time.Since(p.at)
	switch {
	case p.at.IsZero():
	case d < time.Second:
		return
	default:
		p.per = float64(now-p.from) / d.Seconds()
	}
	p.at, p.from = time.Now(), now
}

// in is how many positions it makes in a time.
func (p *pace) in(d time.Duration) event.Position { return event.Position(p.per * d.Seconds()) }
