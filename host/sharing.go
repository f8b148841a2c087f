package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"eshost/host/internal/share"
	"eshost/host/store"
)

const (
	// lookBeside is how often a host looks at the leases while there are other hosts, and lookAlone while there are none.
	// Both only matter where nothing rings the bell: when a host dies.
	lookBeside = time.Second
	lookAlone  = 5 * time.Second
	// lookApart is the least time between two looks: a host that hands over many plugins rings the bell for each.
	lookApart = 25 * time.Millisecond
)

// register tells the other hosts that this one is there and what it declares.
func (h *Host) register(ctx context.Context) error {
	self := h.self
	self.Weight, self.Declares = h.conf.Host.Weight, h.declares()
	h.told, h.heard = self.Declares, false
	if err := h.store.RegisterHost(ctx, self, h.conf.Host.LeaseTTL); err != nil {
		return err
	}
	h.heard = true
	h.lookAtLeases()
	return nil
}

// declares are the plugins that this host can run now: not those that it has not found in the store yet, and none once it
// stops. What it does not declare is left to others, or taken by them.
func (h *Host) declares() []store.Declared {
	if h.leaving.Load() {
		return nil
	}
	var all []store.Declared
	for _, p := range h.list() {
		if p.known || len(p.parts()) > 0 {
			all = append(all, store.Declared{Plugin: p.conf.Name, Partitions: p.conf.Partitions,
				OrderBy: string(p.conf.OrderBy), Weight: p.conf.Weight})
		}
	}
	slices.SortFunc(all, func(a, b store.Declared) int { return strings.Compare(a.Plugin, b.Plugin) })
	return all
}

// keepLease renews the host's registration until ctx ends. Nothing else may keep it waiting.
func (h *Host) keepLease(ctx context.Context) {
	ttl := h.conf.Host.LeaseTTL
	ticker := time.NewTicker(ttl / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-h.declared:
		}
		renew, cancel := context.WithTimeout(ctx, ttl/2)
		err := h.renew(renew)
		cancel()
		if err != nil && ctx.Err() == nil {
			h.log.Warn("cannot renew the lease; another host may take over until it can be renewed", "error", err)
		}
	}
}

// renew renews the registration, with what has changed in it since the others were told.
func (h *Host) renew(ctx context.Context) error {
	if h.heard && slices.Equal(h.told, h.declares()) {
		err := h.store.RenewHost(ctx, h.self.ID, h.conf.Host.LeaseTTL)
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return h.register(ctx)
}

// declareAgain has the others told what this host declares now, if that has changed.
func (h *Host) declareAgain() { signal(h.declared) }

// placed counts a plugin that was looked for in the store. At a start the others are told once, after the last one.
func (h *Host) placed() {
	if h.placing.Add(-1) == 0 || h.begun.Load() {
		h.declareAgain()
	}
}

// begin ends the start: what takes longer to be found than the rest does not hold it up.
func (h *Host) begin() {
	h.begun.Store(true)
	h.declareAgain()
}

// leave tells the others that nothing is to be left to this host any more, as soon as it stops: what it gives back, one
// plugin after another as their work in flight ends, is free for them at once.
func (h *Host) leave() {
	h.leaving.Store(true)
	h.declareAgain()
}

// lookAtLeases has shareOut look without delay.
func (h *Host) lookAtLeases() { signal(h.leases) }

// watchLeases takes what is this host's share of the plugins and hands over what is another's, until ctx ends.
func (h *Host) watchLeases(ctx context.Context) {
	for {
		pause := lookBeside
		if alone, err := h.shareOut(ctx); err == nil && alone { // whoever needs the store says what is wrong with it
			pause = lookAlone
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-h.leases:
		}
		timer.Stop()
		if !sleep(ctx, lookApart) {
			return
		}
	}
}

// shareOut looks once who is there and who owns what, and acts on this host's part. It reports whether there is no other
// host.
func (h *Host) shareOut(ctx context.Context) (alone bool, err error) {
	look, cancel := h.soon(ctx)
	defer cancel()
	hosts, err := h.store.Hosts(look)
	if err != nil {
		return false, err
	}
	hosts = h.removeDead(look, hosts)
	units, err := h.store.Units(look)
	if err != nil {
		return false, err
	}
	w := newWorld(hosts, units)
	h.unowned.Store(int64(w.unowned()))
	if _, ok := w.live[h.self.ID]; !ok {
		return false, nil // the registration has expired: until it is renewed others decide
	}
	for _, name := range h.gathering() {
		w.gather[name] = true
	}
	assigned := w.assign()
	for _, p := range h.list() {
		h.decide(ctx, p, w, assigned)
		h.resizeIfDeclared(p, w)
	}
	h.giveBackRemoved(ctx, w)
	h.giveBackBuilds(ctx, w)
	return len(hosts) == 1, nil
}

// world is who is there and who owns what, as the store says at one moment.
type world struct {
	live     map[string]store.Host
	declared map[string]map[string]store.Declared // by host and plugin
	units    []store.Unit                         // of live generations
	rows     map[string]map[int64]*store.Unit     // the same by plugin and ID
	builds   []store.Unit                         // of those that are being built
	building map[string]bool                      // plugins with a generation that is being built
	gather   map[string]bool                      // plugins whose partitions must be on one host
	wanted   map[string]store.Declared            // what counts for a plugin, where hosts declare different things
}

func newWorld(hosts []store.Host, units []store.Unit) *world {
	w := &world{
		live: make(map[string]store.Host), rows: make(map[string]map[int64]*store.Unit), declared: make(map[string]map[string]store.Declared),
		building: make(map[string]bool), gather: make(map[string]bool), wanted: make(map[string]store.Declared),
	}
	newest := make(map[string]time.Time)
	for _, host := range hosts {
		if !host.Live {
			continue
		}
		w.live[host.ID] = host
		declares := make(map[string]store.Declared, len(host.Declares))
		for _, d := range host.Declares {
			declares[d.Plugin] = d
			if at, ok := newest[d.Plugin]; !ok || host.DeclaredAt.After(at) {
				newest[d.Plugin], w.wanted[d.Plugin] = host.DeclaredAt, d
			}
		}
		w.declared[host.ID] = declares
	}
	for _, u := range units {
		switch {
		case u.State == store.Building:
			w.building[u.Plugin], w.gather[u.Plugin] = true, true
			w.builds = append(w.builds, u)
		case u.State == store.Live:
			w.units = append(w.units, u)
			if w.rows[u.Plugin] == nil {
				w.rows[u.Plugin] = make(map[int64]*store.Unit, 1)
			}
			w.rows[u.Plugin][u.ID] = &u
			if w.split(&u) {
				w.gather[u.Plugin] = true
			}
		}
	}
	return w
}

// unowned counts the units that a live host could run and none does.
func (w *world) unowned() (n int) {
	for i := range w.units {
		if _, ok := w.wanted[w.units[i].Plugin]; ok && !w.units[i].OwnerLive {
			n++
		}
	}
	return n
}

// split reports whether a plugin is to have other partitions than it has.
func (w *world) split(u *store.Unit) bool {
	d, ok := w.wanted[u.Plugin]
	return ok && (max(d.Partitions, 1) != u.Partitions || u.Partitions > 1 && d.OrderBy != u.OrderBy)
}

// assign says which host is to own which unit, by its ID.
func (w *world) assign() map[int64]string {
	hosts := make([]share.Host, 0, len(w.live))
	for id, host := range w.live {
		hosts = append(hosts, share.Host{ID: id, Weight: positive(host.Weight), Runs: func(plugin string) bool {
			_, ok := w.declared[id][plugin]
			return ok
		}})
	}
	units := make([]share.Unit, 0, len(w.units))
	for i := range w.units {
		u := &w.units[i]
		s := share.Unit{ID: u.ID, Plugin: u.Plugin, Weight: positive(w.wanted[u.Plugin].Weight)}
		if u.OwnerLive {
			s.Owner = u.Owner
		}
		if w.gather[u.Plugin] {
			s.Group = u.Root
		}
		units = append(units, s)
	}
	return share.Assign(hosts, units)
}

// positive is a weight that another host has written, or 1 where that cannot be one.
func positive(weight float64) float64 {
	if !(weight > 0 && weight < 1e6) {
		return 1
	}
	return weight
}

// decide tells a plugin's units what this host is to run.
func (h *Host) decide(ctx context.Context, p *hosted, w *world, assigned map[int64]string) {
	rows := w.rows[p.conf.Name]
	for _, u := range p.parts() {
		row := rows[u.gen.ID]
		if row == nil && len(rows) == 0 {
			continue // it has just been made
		}
		if row == nil || !sameSplit(&u.gen, row.Partitions, row.OrderBy) {
			p.goAstray()
			return
		}
		u.follow(row.PausedBy)
		to := assigned[row.ID]
		free := row.Owner == "" || row.Owner == h.self.ID || !row.OwnerLive
		switch {
		case to == h.self.ID && free:
			u.overtaken(row)
			u.decide(true, "")
		case row.OwnerLive && row.Owner != h.self.ID:
			owner := w.live[row.Owner]
			u.decide(false, heldBy(owner.Name, owner.ExpiresIn))
		default:
			reason := "the other hosts are about to be told that this one has it"
			if to != "" {
				reason = fmt.Sprintf("about to be run by host %q", w.live[to].Name)
			}
			u.decide(false, reason)
			h.giveBack(ctx, u, row)
		}
	}
}

// overtaken ends a runner whose lease another host has had since: this host stood still, and that one has gone.
func (u *unit) overtaken(row *store.Unit) {
	u.p.mu.Lock()
	defer u.p.mu.Unlock()
	if u.stop != nil && u.runs() && row.Epoch > u.status().Epoch {
		u.stop(nil)
	}
}

// giveBack releases a lease that no runner of this host's uses: what needed all partitions may have taken it.
func (h *Host) giveBack(ctx context.Context, u *unit, row *store.Unit) {
	u.p.mu.Lock()
	idle := u.stop == nil
	u.p.mu.Unlock()
	if idle && row.Owner == h.self.ID {
		h.release(ctx, row)
	}
}

// release gives a lease back; the next look tries again where that fails.
func (h *Host) release(ctx context.Context, row *store.Unit) {
	ctx, cancel := h.soon(ctx)
	defer cancel()
	if err := h.store.Release(ctx, row.ID, row.Epoch); err != nil {
		h.log.Debug("cannot give a lease back, trying again", "plugin", row.Plugin, "generation", row.Number, "partition", row.Partition, "error", err)
	}
}

// giveBackRemoved releases the leases of plugins that this host has no more: whoever kept one for what was to come next was
// stopped before that came.
func (h *Host) giveBackRemoved(ctx context.Context, w *world) {
	for i := range w.units {
		if u := &w.units[i]; u.Owner == h.self.ID && h.find(u.Plugin) == nil {
			h.release(ctx, u)
		}
	}
}

// giveBackBuilds releases the leases of builds that are another host's to go on with: one that was cut off when it lost the
// plugin could not give them back, and has renewed them since.
func (h *Host) giveBackBuilds(ctx context.Context, w *world) {
	for i := range w.builds {
		u := &w.builds[i]
		if u.Owner != h.self.ID {
			continue
		}
		if p := h.find(u.Plugin); p != nil && (len(p.parts()) == 0 || p.leads() || p.current() != nil) {
			continue // it is being placed, or built
		}
		h.release(ctx, u)
	}
}

// follow has a partition stand still or go on as a person wants who has asked the plugin's owner.
func (u *unit) follow(pausedBy string) {
	u.p.mu.Lock()
	defer u.p.mu.Unlock()
	u.pausedBy = pausedBy
	if u.runner != nil {
		u.runner.SetPaused(pausedBy)
	}
}

// removeDead removes the registrations of hosts whose process on this machine no longer exists, and returns the others:
// a restart after a crash need not wait for the expiry. A wrong guess could not corrupt anything, since commits are
// guarded by the epoch.
func (h *Host) removeDead(ctx context.Context, hosts []store.Host) []store.Host {
	var left []store.Host
	for _, other := range hosts {
		if other.ID == h.self.ID || !processGone(h.self.Process, other.Process) {
			left = append(left, other)
			continue
		}
		if err := h.store.RemoveHost(ctx, other.ID); err != nil {
			left = append(left, other)
			continue
		}
		h.log.Info("took the leases of a host whose process is gone", "host", other.Name, "host_id", other.ID)
	}
	return left
}

// gatherFor is how long a plugin's partitions stay on one host after somebody asked for what needs all of them.
const gatherFor = 15 * time.Second

// gatherAll has the partitions of a plugin come to one host: every host sees the request that needs it.
func (h *Host) gatherAll(plugin string) {
	h.mu.Lock()
	_, known := h.gathered[plugin]
	h.gathered[plugin] = time.Now()
	h.mu.Unlock()
	if !known {
		h.lookAtLeases()
	}
}

// gathering lists the plugins whose partitions are to be on one host.
func (h *Host) gathering() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.gathered, func(_ string, at time.Time) bool { return time.Since(at) > gatherFor })
	return slices.Collect(maps.Keys(h.gathered))
}
