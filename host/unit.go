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

// unit is one partition of a plugin's live generation as this host sees it. A plugin that is not split has one.
// gen never changes; what is below it is guarded by the plugin's mutex.
type unit struct {
	p   *hosted
	gen store.Generation // its row

	mine      bool          // this host is to run it
	decided   chan struct{} // closed and replaced when mine changes
	stop      context.CancelCauseFunc
	runner    *delivery.Runner
	before    delivery.Status // of the runners before this one: what they have handled
	elsewhere string          // why this host does not run it
	pausedBy  string
}

func newUnit(p *hosted, gen store.Generation) *unit {
	return &unit{p: p, gen: gen, decided: make(chan struct{}), elsewhere: "waiting for its share of the plugins"}
}

// decide says whether this host is to run the unit and, if not, why. A runner ends at its batch's end and gives the lease
// back.
func (u *unit) decide(mine bool, why string) {
	u.p.mu.Lock()
	defer u.p.mu.Unlock()
	u.elsewhere = why
	if mine == u.mine {
		return
	}
	u.mine = mine
	close(u.decided)
	u.decided = make(chan struct{})
	if !mine && u.stop != nil {
		u.stop(nil)
	}
}

// begin waits until this host is to run the unit, and returns a context that ends with ctx or when that changes.
func (u *unit) begin(ctx context.Context) (run context.Context, ok bool) {
	for ctx.Err() == nil {
		u.p.mu.Lock()
		mine, decided := u.mine, u.decided
		if mine {
			run, u.stop = context.WithCancelCause(ctx)
		}
		u.p.mu.Unlock()
		if mine {
			return run, true
		}
		select {
		case <-ctx.Done():
		case <-decided:
		}
	}
	return nil, false
}

// run delivers the unit's events with one module whenever this host is to, until ctx ends.
func (u *unit) run(ctx context.Context, h *Host, m *plugin.Module) {
	var r *delivery.Runner
	for {
		run, ok := u.begin(ctx)
		if !ok {
			return
		}
		if r == nil {
			reader := h.tail.NewReader(u.filter())
			defer reader.Close()
			defer h.waits.add(u.p.conf.Name, reader)()
			r = u.newRunner(h, m, reader)
			u.setRunner(r)
		}
		err := r.Run(run)
		u.ended(err)
		if err != nil {
			h.lookAtLeases()
		}
	}
}

// filter is what the unit wants of the log.
func (u *unit) filter() event.Filter { return u.p.filter(&u.gen) }

// filter is what a partition of the plugin's wants of the log.
func (p *hosted) filter(gen *store.Generation) event.Filter {
	f := event.Filter{Types: p.conf.Events}
	if gen.Partitions > 1 {
		f.Partition = event.Partition{Index: gen.Partition, Of: gen.Partitions, Key: p.orderOf(gen)}
	}
	return f
}

// orderOf is how a generation's events are ordered: as declared, or as it was split.
func (p *hosted) orderOf(gen *store.Generation) delivery.Order {
	name := string(p.conf.OrderBy)
	if gen.Partitions > 1 {
		name = gen.OrderBy
	}
	order, err := delivery.ParseOrder(name)
	if err != nil {
		return delivery.ByStream // neither hosts.toml nor the store has any other
	}
	return order
}

func (u *unit) newRunner(h *Host, m *plugin.Module, reader delivery.Feed) *delivery.Runner {
	p := u.p
	o := p.options(h, &u.gen)
	o.HeldUntil = p.heldUntil
	feed := &limited{Feed: reader, log: h.store, filter: u.filter(), end: p.halt.end}
	var state delivery.State = liveState{toldState{h.store, &h.changes, u.gen.Partitions > 1}, h, p, u.gen}
	var from delivery.Feed = feed
	if p.inRedis() {
		state, from = u.throughRedis(h, feed, &o)
	}
	state, from = h.traced(p.conf.Name, h.published(p.conf.Name, state), from)
	return delivery.NewRunner(state, from, module{m, p.conf.Limits.Memory, &p.pool}, o)
}

// setRunner counts on from the runner before.
func (u *unit) setRunner(r *delivery.Runner) {
	u.p.mu.Lock()
	defer u.p.mu.Unlock()
	if u.runner != nil {
		last := u.runner.Status()
		u.before.Handled += last.Handled
		u.before.Failed += last.Failed
	}
	u.runner = r
	r.SetPaused(u.pausedBy)
	r.Remark(u.p.hold)
}

// ended takes note of a runner that has returned. One that found another owner is not run again before the next look
// at the leases.
func (u *unit) ended(err error) {
	u.p.mu.Lock()
	defer u.p.mu.Unlock()
	u.stop(nil)
	u.stop = nil
	var held *store.LeaseHeldError
	switch {
	case errors.As(err, &held):
		u.mine, u.elsewhere = false, heldBy(held.Owner.Name, held.ExpiresIn)
	case err != nil:
		u.mine, u.elsewhere = false, "lease lost to another host"
	}
}

func heldBy(name string, expiresIn time.Duration) string {
	return fmt.Sprintf("run by host %q; it is taken over when that host stops, hands it over, or does not renew its lease for another %s",
		name, expiresIn.Round(time.Second))
}

// status is what this host does with the unit. The plugin's mutex is held.
func (u *unit) status() delivery.Status {
	st := delivery.Status{State: delivery.Starting}
	if u.runner != nil {
		st = u.runner.Status()
	}
	if !u.mine && (u.runner == nil || st.State == delivery.Stopped || st.State == delivery.Waiting) {
		st = delivery.Status{State: delivery.Waiting, Reason: u.elsewhere, Handled: st.Handled, Failed: st.Failed}
	}
	st.Handled += u.before.Handled
	st.Failed += u.before.Failed
	return st
}

// runs reports whether this host has the unit's lease, as far as it knows. The plugin's mutex is held.
func (u *unit) runs() bool {
	st := u.status()
	return st.Epoch != 0 && st.State != delivery.Waiting && st.State != delivery.Stopped
}

// setUnits makes the partitions of the live generation the plugin's. Those that stay keep what is known of them.
func (p *hosted) setUnits(rows []store.Generation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	units := make([]*unit, len(rows))
	for i := range rows {
		for _, u := range p.units {
			if u.gen.ID == rows[i].ID && sameSplit(&u.gen, rows[i].Partitions, rows[i].OrderBy) {
				units[i] = u
			}
		}
		if units[i] == nil {
			units[i] = newUnit(p, rows[i])
		}
	}
	for _, u := range p.units {
		if u.runner != nil && !slices.Contains(units, u) {
			last := u.status()
			p.before.Handled += last.Handled
			p.before.Failed += last.Failed
		}
	}
	p.units, p.reason = units, ""
}

// parts returns the plugin's units; none before its place in the store is known.
func (p *hosted) parts() []*unit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.units
}

// status is what this host does with the plugin, all of its partitions together: the checkpoint is the lowest of those it
// runs, and the state is that of the first that does not simply run.
func (p *hosted) status() delivery.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := delivery.Status{State: delivery.Starting, Reason: p.reason}
	sum.Handled, sum.Failed = p.before.Handled, p.before.Failed
	known := false
	for _, u := range p.units {
		st := u.status()
		sum.Handled += st.Handled
		sum.Failed += st.Failed
		sum.Retrying += st.Retrying
		sum.Parked += st.Parked
		sum.Waiting += st.Waiting
		switch elsewhere := st.State == delivery.Waiting; {
		case !known && (!elsewhere || u == p.units[len(p.units)-1]):
			known = true
			sum.State, sum.Reason, sum.Position, sum.Epoch = st.State, p.of(u, st.Reason), st.Position, st.Epoch
		case elsewhere:
		default:
			sum.Position = min(sum.Position, st.Position)
			if sum.State == delivery.Running && st.State != delivery.Running {
				sum.State, sum.Reason = st.State, p.of(u, st.Reason)
			}
		}
	}
	return sum
}

// of says which partition a reason is about, where there are several.
func (p *hosted) of(u *unit, reason string) string {
	if reason == "" || len(p.units) < 2 {
		return reason
	}
	return fmt.Sprintf("partition %d: %s", u.gen.Partition, reason)
}

// waiting reports whether this host runs no part of the plugin, since others do.
func (p *hosted) waiting() bool { return p.status().State == delivery.Waiting }

// owns reports whether this host delivers the plugin's events, those of all partitions.
func (p *hosted) owns() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.units {
		if !u.runs() {
			return false
		}
	}
	return len(p.units) > 0
}

// leads reports whether this host has the plugin's first partition: it carries out what is asked of the plugin as a whole.
func (p *hosted) leads() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.units) > 0 && p.units[0].runs()
}

// leader is this host as the plugin's leader, under the lease that it knows of. It fails with store.ErrLeaseLost where it
// does not lead, and between two runners.
//
// Invariant 2: what an owner does outside of commits is refused, too, once another host has taken over.
func (p *hosted) leader(h *Host) (store.Leader, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.units) == 0 || !p.units[0].runs() {
		return store.Leader{}, fmt.Errorf("lead plugin %q: %w", p.conf.Name, store.ErrLeaseLost)
	}
	root := p.units[0]
	return store.Leader{Owner: h.self.ID, Held: store.Held{Generation: root.gen.ID, Epoch: root.status().Epoch}}, nil
}

// part returns the unit that has a request's events, nil before there is one.
func (p *hosted) part(r *store.Request) *unit {
	units := p.parts()
	switch {
	case len(units) == 0:
		return nil
	case r.Action == store.AskPause || r.Action == store.AskResume:
		return units[0]
	case r.Action == store.AskRetry && r.Key == "" && r.Position == 0:
		return units[min(max(r.Partition, 0), len(units)-1)]
	}
	return units[event.PartitionOf(r.Key, len(units))]
}
