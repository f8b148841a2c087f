package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/redismodel"
	"eshost/host/internal/tail"
	"eshost/host/store"
)

const (
	// A commit is one script, which keeps everybody else of that Redis waiting: these bounds keep it to some ten
	// milliseconds.
	redisBatch      = 5_000
	redisBatchBytes = 4 << 20
	// endPatience is how long a look at the log's end may take.
	endPatience = 10 * time.Second
)

// inRedis reports whether the plugin keeps its read model in Redis.
func (p *hosted) inRedis() bool { return p.conf.Target == config.TargetRedis }

// throughRedis puts the read model in Redis between a runner and the database, and bounds its batches.
func (u *unit) throughRedis(h *Host, feed delivery.Feed, o *delivery.Options) (delivery.State, delivery.Feed) {
	m := u.p.newModel(h, u.gen, liveState{h.store, h, u.p, u.gen})
	u.p.setModel(m)
	o.WhySlow = "Redis, which has the documents, or the database, which has the lease, does not answer or is slow"
	o.MaxBatch, o.MaxBatchBytes = min(o.MaxBatch, redisBatch), redisBatchBytes
	return toldState{m, &h.changes, false}, m.Follow(feed)
}

// targetOf is where a plugin of this host keeps its read model.
func (h *Host) targetOf(plugin string) config.Target {
	if p := h.find(plugin); p != nil {
		return p.conf.Target
	}
	return config.TargetStore
}

// setModel remembers the read model in Redis that the runner delivers to.
func (p *hosted) setModel(m *redismodel.Model) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.model = m
}

// modelProgress says how far the read model in Redis is, if this host is about to build it.
func (p *hosted) modelProgress() string {
	p.mu.Lock()
	m := p.model
	p.mu.Unlock()
	if m == nil {
		return ""
	}
	return m.Progress().Describe()
}

// newModel is the plugin's read model in Redis, for a runner of a generation whose lease is in the database.
func (p *hosted) newModel(h *Host, gen store.Generation, lease delivery.State) *redismodel.Model {
	return redismodel.New(leased{lease, h.store}, h.store, h.redis.client, redismodel.Options{
		Plugin:    p.conf.Name,
		Database:  h.redis.database,
		Prefix:    h.redis.prefix,
		Timeout:   h.redis.limit,
		Filter:    event.Filter{Types: p.conf.Events},
		End:       h.endOfLog,
		BegunAnew: h.changes.Unsure,
		Logger:    h.log,
		Start: func(ctx context.Context) (event.Position, error) {
			o, err := h.store.Origin(ctx, gen.ID)
			return o.Start, err
		},
	})
}

// leased is what a read model in Redis leaves in the database, under the lease of the live generation.
type leased struct {
	delivery.State
	store store.Store
}

func (l leased) NotePosition(ctx context.Context, n store.Note) error {
	return l.store.NotePosition(ctx, n)
}

func (l leased) AnswerRequest(ctx context.Context, generation, epoch int64, a store.Answer) error {
	return l.store.AnswerRequest(ctx, generation, epoch, a)
}

// endOfLog looks at the log's end anew: another host may have seen more of it than this one has so far.
func (h *Host) endOfLog(ctx context.Context) (watermark, head event.Position, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, endPatience, fmt.Errorf("the log's end was not seen within %s", endPatience))
	defer cancel()
	polls := h.tail.Status().Polls
	var s tail.Status
	for range 2 { // the first look may have been under way already
		polls++
		h.tail.Wake()
		if s, err = h.tail.Wait(ctx, func(s tail.Status) bool { return s.Polls >= polls }); err != nil {
			return 0, 0, errors.Join(err, context.Cause(ctx))
		}
	}
	return s.Watermark, s.Head, nil
}

// rebuildInRedis gives the read model up, so that the runner builds it anew where it is.
func (p *hosted) rebuildInRedis(ctx context.Context, h *Host, r store.Request) (string, error) {
	if r.Digest != "" && r.Digest != p.declaredDigest() {
		return "", &Error{Subject: pluginSubject(p.conf.Name), Err: errors.New("a read model in Redis is built anew in its place, and only with the declared module"),
			hint: "put the module in the place of the declared one, then: eshost rebuild " + p.conf.Name}
	}
	origin, err := h.store.Origin(ctx, p.gen.ID)
	if err != nil {
		return "", err
	}
	m := p.newModel(h, p.gen, liveState{h.store, h, p, p.gen})
	err = p.betweenRunners(ctx, func(ctx context.Context) error {
		held, err := p.leasesOf(ctx, h, p.gen)
		if err != nil {
			return err
		}
		return m.Reset(ctx, held[0].Epoch)
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("its read model in Redis is being built anew from position %d", origin.Start+1), nil
}

// settleTarget returns the live generation once its read model is where hosts.toml wants it. One that was kept in another
// place gets a successor, which begins anew: nobody goes on from a checkpoint whose documents are not there.
func (p *hosted) settleTarget(ctx context.Context, h *Host, gen store.Generation) (store.Generation, error) {
	origin, err := h.store.Origin(ctx, gen.ID)
	if err != nil {
		return gen, err
	}
	fresh := !origin.Elsewhere && gen.Position == origin.Start
	if origin.Elsewhere == p.inRedis() || p.inRedis() && fresh {
		return gen, nil
	}
	next, err := p.replaceGeneration(ctx, h, gen)
	if err != nil {
		return gen, fmt.Errorf("move the read model of plugin %q to target %q: %w", p.conf.Name, p.conf.Target, err)
	}
	h.log.Warn("the read model is kept in another place from now on, and is built there from its start", "plugin", p.conf.Name,
		"target", p.conf.Target, "generation", next.Number, "from", next.Position)
	return next, nil
}

// replaceGeneration makes an empty generation the live one.
func (p *hosted) replaceGeneration(ctx context.Context, h *Host, gen store.Generation) (store.Generation, error) {
	if gen.Partitions > 1 && p.inRedis() {
		return gen, errors.New("it is split into partitions; run it with partitions = 1 and its old target first")
	}
	from, err := p.leasesOf(ctx, h, gen)
	if err != nil {
		return gen, err
	}
	start, err := BuildStart(ctx, h.store, &p.conf)
	if err != nil {
		return gen, err
	}
	by := store.Leader{Owner: h.self.ID, Held: from[0]}
	next, err := h.store.BuildGeneration(ctx, by, p.conf.Name, min(start, gen.Position), "")
	if errors.Is(err, store.ErrBuilding) { // for the old target, or by a move that was cut short
		if err = p.dropBuilds(ctx, h, by); err == nil {
			next, err = h.store.BuildGeneration(ctx, by, p.conf.Name, min(start, gen.Position), "")
		}
	}
	if err != nil {
		return gen, err
	}
	to, err := p.leasesOf(ctx, h, next)
	if err != nil {
		return gen, err
	}
	// What was emitted is not emitted again.
	err = h.store.SwitchGeneration(ctx, store.Switch{Plugin: p.conf.Name, Owner: h.self.ID, From: from, To: to, Rollback: true,
		HeldUntil: max(gen.Position, p.heldUntil)})
	for _, held := range to {
		err = errors.Join(err, h.store.Release(ctx, held.Generation, held.Epoch))
	}
	return next, err
}

// dropBuilds deletes what is being built of the plugin.
func (p *hosted) dropBuilds(ctx context.Context, h *Host, by store.Leader) error {
	all, err := h.store.Generations(ctx, p.conf.Name)
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].State == store.Building {
			if err := h.drop(ctx, &all[i], store.Drop{By: by}); err != nil {
				return err
			}
		}
	}
	return nil
}

// leasesOf takes the leases of all partitions of a generation.
func (p *hosted) leasesOf(ctx context.Context, h *Host, root store.Generation) ([]store.Held, error) {
	parts, err := h.store.Partitions(ctx, root.ID)
	if err != nil {
		return nil, err
	}
	held, _, err := p.leases(ctx, h, parts)
	return held, err
}
