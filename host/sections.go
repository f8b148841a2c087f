package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"eshost/host/config"
	"eshost/host/internal/admin"
	"eshost/host/internal/delivery"
	"eshost/host/store"
)

// applyFile brings in hosts.toml as it is now, each plugin's section on its own. It says what became of those that have
// changed.
func (r *reloader) applyFile(ctx context.Context, w *watched) []ReloadOutcome {
	conf, wrong, err := config.LoadEach(r.file, r.h.o.Getenv)
	if !r.sure(w) && (err != nil || len(wrong) > 0 || w.shrunk() || r.removes(conf)) {
		w.half = true
		return nil
	}
	if err != nil {
		r.h.log.Error("refused the new hosts.toml, the one before stays in force", "error", err)
		r.h.refuseFile(ctx, err.Error())
		return []ReloadOutcome{{Result: ReloadRefused, Reason: err.Error()}}
	}
	defer r.h.declareAgain()
	r.redis = conf.Redis
	all := r.applySettings(ctx, conf)
	for _, p := range r.h.list() {
		if conf.Plugin(p.conf.Name) == nil && wrong[p.conf.Name] == nil {
			all = append(all, r.remove(ctx, p))
		}
	}
	for name, err := range wrong {
		all = append(all, r.refuse(ctx, name, err)...)
	}
	for _, section := range conf.Plugins {
		p := r.h.find(section.Name)
		if p == nil || !reflect.DeepEqual(p.conf, section) {
			all = append(all, r.apply(ctx, section, p)...)
			continue
		}
		r.forgive(section.Name)
		if p.refusal() == nil {
			r.h.recordGood(ctx, p, section.Name, p.digest()) // the section may have been refused in between
		}
	}
	maps.DeleteFunc(r.pending, func(name string, _ config.Plugin) bool { return conf.Plugin(name) == nil })
	for _, name := range r.h.refusedSections() {
		if conf.Plugin(name) == nil && wrong[name] == nil {
			r.forgive(name)
			r.h.recordGood(ctx, nil, name, "") // nobody asks for it any more
		}
	}
	return all
}

// removes reports whether hosts.toml has plugins no more that run here.
func (r *reloader) removes(conf *config.Config) bool {
	return slices.ContainsFunc(r.h.list(), func(p *hosted) bool { return conf.Plugin(p.conf.Name) == nil })
}

// applyPending tries the refused sections again: what was wrong may have been mended beside hosts.toml.
func (r *reloader) applyPending(ctx context.Context) []ReloadOutcome {
	var all []ReloadOutcome
	for _, name := range slices.Sorted(maps.Keys(r.pending)) {
		all = append(all, r.apply(ctx, r.pending[name], r.h.find(name))...)
	}
	if len(all) > 0 {
		r.h.declareAgain()
	}
	return all
}

// applySettings says which settings beside the plugins wait for the next start.
func (r *reloader) applySettings(ctx context.Context, conf *config.Config) []ReloadOutcome {
	same := reflect.DeepEqual(conf.Host, r.h.conf.Host) && conf.Telemetry == r.h.conf.Telemetry && conf.Redis == r.h.conf.Redis && (r.h.o.StoreGiven || conf.Store == r.h.conf.Store)
	if same {
		r.h.refuseFile(ctx, "")
		return nil
	}
	const reason = "what has changed in [host], [store], [redis] and [telemetry] takes effect when the host is started again"
	r.h.log.Warn(reason)
	r.h.refuseFile(ctx, reason)
	return []ReloadOutcome{{Result: ReloadRefused, Reason: reason}}
}

// apply loads a plugin whose section is new or has changed and lets it take the place of the one before, if there is one.
// It has nothing to say of a section that is refused for the same reason as before.
func (r *reloader) apply(ctx context.Context, section config.Plugin, before *hosted) []ReloadOutcome {
	r.pending[section.Name] = section // until it takes effect
	w := r.watch(section.Module)
	if w.half {
		return nil
	}
	p, err := r.load(ctx, section)
	if errors.Is(err, ErrModule) && !r.sure(w) {
		w.half = true
		return nil
	}
	if err == nil {
		err = r.try(ctx, p, before)
	}
	if err != nil {
		return r.refuse(ctx, section.Name, err)
	}
	o := ReloadOutcome{Plugin: section.Name, Result: ReloadAdded, Digest: p.digest()}
	if before != nil {
		o.Result = ReloadChanged
		before.stop(delivery.ErrReplaced)
		p.before, p.known = before.status(), len(before.parts()) > 0
	}
	r.note(section.Module, p.stamp)
	from := r.h.checkpoint(ctx, p, section.Name)
	r.h.mu.Lock() // at no time is the plugin in no list: its leases would be given back
	r.h.plugins = append(slices.DeleteFunc(slices.Clone(r.h.plugins), func(other *hosted) bool { return other == before }), p)
	r.h.mu.Unlock()
	if before != nil {
		r.drop(ctx, before)
	}
	r.h.start(p)
	if err := p.begun(ctx); err != nil {
		return r.giveUp(ctx, p, err)
	}
	r.forgive(section.Name)
	r.h.log.Info("a section of hosts.toml takes effect", "plugin", section.Name, "result", o.Result, "digest", o.Digest)
	r.h.recordAt(ctx, o, from)
	return []ReloadOutcome{o}
}

// giveUp refuses the section of a plugin that has ended because it cannot run. It is tried again as others are.
func (r *reloader) giveUp(ctx context.Context, p *hosted, err error) []ReloadOutcome {
	r.drop(ctx, p)
	r.h.declareAgain()
	r.pending[p.conf.Name] = p.conf
	return r.refuse(ctx, p.conf.Name, err)
}

// giveUpFailed does so with those that have ended since the last look.
func (r *reloader) giveUpFailed(ctx context.Context) {
	var all []ReloadOutcome
	for _, p := range r.h.list() {
		if err := p.failure(); err != nil {
			all = append(all, r.giveUp(ctx, p, err)...)
		}
	}
	r.h.metrics.reloaded(all)
}

// load loads a plugin that this host has a place for.
func (r *reloader) load(ctx context.Context, section config.Plugin) (*hosted, error) {
	if err := r.checkTarget(section); err != nil {
		return nil, err
	}
	return loadPlugin(ctx, r.h.engine, section)
}

// try has a plugin's module show that it starts and can go on where the one before is, if there is one.
func (r *reloader) try(ctx context.Context, p, before *hosted) error {
	err := tryStart(ctx, p.module)
	if err == nil && before != nil && p.conf.Target == config.TargetRedis && len(before.parts()) > 1 {
		err = &Error{Subject: pluginSubject(p.conf.Name), Err: fmt.Errorf("target = %q: it has %d partitions in the database", p.conf.Target, len(before.parts())),
			hint: "set partitions = 1 alone and reload; once it has one, change the target"}
		return errors.Join(err, p.close(context.WithoutCancel(ctx)))
	}
	if err == nil && before != nil && p.digest() != before.digest() {
		err = before.dryRun(ctx, r.h, p.module, p.conf.Events)
	}
	if err != nil {
		err = p.startError(errors.Join(err, p.close(context.WithoutCancel(ctx))))
	}
	return err
}

// checkTarget refuses a read model in a Redis that is not the one this host was started with.
func (r *reloader) checkTarget(section config.Plugin) error {
	if section.Target != config.TargetRedis || r.redis == r.h.conf.Redis {
		return nil
	}
	why := "hosts.toml has another [redis] now than this host was started with"
	if r.h.conf.Redis.URL == "" {
		why = "this host was started without [redis]"
	}
	return &Error{Subject: pluginSubject(section.Name), Err: fmt.Errorf("target = %q: %s", section.Target, why),
		hint: "start the host again to bring both in"}
}

// refuse leaves a plugin as it is, if there is one, and says why. What has been said is not said again.
func (r *reloader) refuse(ctx context.Context, name string, err error) []ReloadOutcome {
	o := ReloadOutcome{Plugin: name, Result: ReloadRefused, Reason: withHint(err)}
	r.h.mu.Lock()
	said := r.h.refused[name] == o.Reason
	r.h.refused[name] = o.Reason
	r.h.mu.Unlock()
	if said || ctx.Err() != nil { // or the host stops
		return nil
	}
	r.h.log.Error("refused a section of hosts.toml, what was before goes on", "plugin", name, "error", o.Reason)
	p := r.h.find(name)
	if p != nil {
		p.setSection(&admin.Refused{Reason: o.Reason, Since: time.Now()})
		o.Digest = p.digest()
	}
	r.h.record(ctx, p, o)
	return []ReloadOutcome{o}
}

// forgive ends the refusal of a section.
func (r *reloader) forgive(name string) {
	delete(r.pending, name)
	r.h.mu.Lock()
	delete(r.h.refused, name)
	r.h.mu.Unlock()
	if p := r.h.find(name); p != nil {
		p.setSection(nil)
	}
}

// refusedSections are the names of the plugins whose sections are refused.
func (h *Host) refusedSections() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.refused))
}

// remove stops a plugin that hosts.toml has no more. Its read model and its checkpoint stay in the store.
func (r *reloader) remove(ctx context.Context, p *hosted) ReloadOutcome {
	p.stop(nil)
	r.forgive(p.conf.Name)
	r.h.recordGood(ctx, p, p.conf.Name, p.digest()) // nobody asks any more for what was refused
	r.drop(ctx, p)
	r.h.log.Info("removed a plugin; its documents and its checkpoint stay", "plugin", p.conf.Name)
	return ReloadOutcome{Plugin: p.conf.Name, Result: ReloadRemoved}
}

// drop forgets a plugin that has been stopped.
func (r *reloader) drop(ctx context.Context, p *hosted) {
	r.h.mu.Lock()
	r.h.plugins = slices.DeleteFunc(slices.Clone(r.h.plugins), func(other *hosted) bool { return other == p })
	r.h.mu.Unlock()
	if err := p.close(ctx); err != nil {
		r.h.log.Warn("cannot close a module", "plugin", p.conf.Name, "error", err)
	}
}

// list returns the plugins that this host has now.
func (h *Host) list() []*hosted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.plugins)
}

// find returns the plugin of that name, nil if this host has none.
func (h *Host) find(name string) *hosted {
	for _, p := range h.list() {
		if p.conf.Name == name {
			return p
		}
	}
	return nil
}

// refuseFile says why hosts.toml is not gone by as it is now, or that it is.
func (h *Host) refuseFile(ctx context.Context, reason string) {
	h.mu.Lock()
	h.refusedFile = reason
	h.mu.Unlock()
	if reason == "" {
		h.recordGood(ctx, nil, store.EveryPlugin, "")
		return
	}
	h.record(ctx, nil, ReloadOutcome{Plugin: store.EveryPlugin, Reason: reason})
}
