package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/admin"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/store"
)

// tryModule loads what is in the module's file now and, if it can be used, has it take over after the batch
// in hand. Whatever is wrong with it, the module before goes on. A file that cannot be loaded may be half written, unless
// it is sure that it is not.
func (p *hosted) tryModule(ctx context.Context, h *Host, sure bool) (o ReloadOutcome, half bool) {
	wasm, info, err := readModule(p.conf.Module)
	if err != nil && !sure {
		return ReloadOutcome{}, true
	}
	if err != nil {
		return p.refuse(ctx, h, "", fmt.Errorf("read the new module: %w", err)), false
	}
	p.stamp = info
	digest := digestOf(wasm)
	if digest == p.declaredDigest() { // written anew, or put back
		if p.setRefused(nil); p.refusal() == nil {
			h.recordGood(ctx, p, p.conf.Name, digest)
		}
		return ReloadOutcome{Plugin: p.conf.Name, Result: ReloadUnchanged, Digest: digest}, false
	}
	m, err := compileModule(ctx, h.engine, p.conf, wasm)
	if err != nil && !sure {
		return ReloadOutcome{}, true
	}
	if err == nil {
		if err = tryStart(ctx, m); err == nil {
			err = p.dryRun(ctx, h, m, p.conf.Events)
		}
		if err != nil {
			err = p.startError(errors.Join(err, m.Close(context.WithoutCancel(ctx))))
		}
	}
	if err != nil {
		return p.refuse(ctx, h, digest, err), false
	}
	p.declare(digest)
	if p.conf.OnChange == config.OnChangeRebuild {
		return p.rebuildWith(ctx, h, m, wasm), false
	}
	h.log.Info("a new module takes over", "plugin", p.conf.Name, "module", p.conf.Module, "digest", digest, "before", p.digest())
	o = ReloadOutcome{Plugin: p.conf.Name, Result: ReloadReplaced, Digest: digest}
	h.record(ctx, p, o)
	p.takeOver(ctx, m)
	return o, false
}

// refuse leaves the module that runs in its place.
func (p *hosted) refuse(ctx context.Context, h *Host, digest string, err error) ReloadOutcome {
	o := ReloadOutcome{Plugin: p.conf.Name, Result: ReloadRefused, Digest: digest, Reason: withHint(err)}
	if ctx.Err() != nil {
		return o // the host stops
	}
	p.setRefused(&admin.Refused{Digest: digest, Reason: o.Reason, Since: time.Now()})
	h.log.Error("refused the new module, the one before goes on", "plugin", p.conf.Name, "module", p.conf.Module, "digest", digest, "error", o.Reason)
	h.record(ctx, p, o)
	return o
}

// record keeps the history of a plugin's modules. A database that is away does not hold up a reload. p is nil for a plugin
// that does not run.
func (h *Host) record(ctx context.Context, p *hosted, o ReloadOutcome) {
	h.recordAt(ctx, o, h.checkpoint(ctx, p, o.Plugin))
}

func (h *Host) recordAt(ctx context.Context, o ReloadOutcome, at event.Position) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	entry := store.Reload{Plugin: o.Plugin, Digest: o.Digest, Position: at, Host: h.self.Name, Refused: o.Reason}
	if err := h.store.RecordReload(ctx, entry); err != nil {
		h.log.Warn("cannot record a reload", "plugin", o.Plugin, "error", err)
	}
}

// checkpoint is a plugin's, as this host knows it or, where it has not run it yet, as the store does. 0 if there is none.
func (h *Host) checkpoint(ctx context.Context, p *hosted, name string) event.Position {
	if p != nil {
		if at := max(p.status().Position, p.before.Position); at > 0 {
			return at
		}
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	gen, err := h.store.FindPlugin(ctx, name)
	if err != nil {
		return 0
	}
	rows, err := h.store.Partitions(ctx, gen.ID)
	if err != nil || len(rows) == 0 {
		return 0
	}
	lowest := rows[0].Position
	for i := range rows {
		lowest = min(lowest, rows[i].Position)
	}
	return lowest
}

const recordTimeout = 2 * time.Second

// recordGood ends a refusal that is the newest entry of a history: what is there now is what runs.
func (h *Host) recordGood(ctx context.Context, p *hosted, name, digest string) {
	looking, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	newest, err := h.store.Reloads(looking, name, 1)
	if err == nil && len(newest) == 1 && newest[0].Refused != "" {
		h.record(ctx, p, ReloadOutcome{Plugin: name, Digest: digest})
	}
}

// tryStart makes an instance: a module that cannot start never replaces one that can.
func tryStart(ctx context.Context, m *plugin.Module) error {
	in, err := m.NewInstance(ctx)
	if err == nil {
		err = in.Close(ctx)
	}
	return err
}

// startError tells a person which module does not start.
func (p *hosted) startError(err error) error {
	return &Error{Subject: fmt.Sprintf("plugin %q: %s", p.conf.Name, p.conf.Module), Err: &unusable{err}, hint: "build it anew; eshost test shows what it does"}
}

func (p *hosted) setRefused(r *admin.Refused) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = r
}

func (p *hosted) setSection(r *admin.Refused) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.section = r
}

// refusal is what the status shows of a section of hosts.toml, or a module, that was refused.
func (p *hosted) refusal() *admin.Refused {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.section, p.refused)
}

// takeOver ends the runner at a batch's end; the next one has the new module.
func (p *hosted) takeOver(ctx context.Context, m *plugin.Module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = nil
	p.putNext(ctx, m)
	p.endRunner()
}

// endRunner has the runner end at a batch's end, if there is one, in favour of the next. p.mu is held.
func (p *hosted) endRunner() {
	if p.replace != nil {
		p.replace(delivery.ErrReplaced)
	}
}

// digest is that of the module that runs, or is about to.
func (p *hosted) digest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != nil {
		return p.next.Digest()
	}
	return p.module.Digest()
}

// declaredDigest is that of the module in the file, as it was last read and found good.
func (p *hosted) declaredDigest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.declared
}

func (p *hosted) declare(digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.declared = digest
}

// stop ends the plugin's runner at a batch's end and waits for that.
func (p *hosted) stop(cause error) {
	p.cancel(cause)
	<-p.done
}

// close gives the plugin's modules up.
func (p *hosted) close(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.module.Close(ctx)
	if p.next != nil {
		err = errors.Join(err, p.next.Close(ctx))
	}
	return err
}

// begin returns the module to run and a context that ends with ctx or when the module is replaced.
func (p *hosted) begin(ctx context.Context) (*plugin.Module, context.Context, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if p.next != nil {
		if err = p.module.Close(ctx); err != nil {
			err = fmt.Errorf("close the module before: %w", err)
		}
		p.module, p.next = p.next, nil
	}
	run, replace := context.WithCancelCause(ctx)
	p.replace = replace
	if len(p.interludes) > 0 {
		replace(delivery.ErrReplaced) // asked for since the runner before ended
	}
	return p.module, run, err
}
