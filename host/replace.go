package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"eshost/host/internal/admin"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
)

// How often the modules' files are looked at. Two looks must agree before a file is read: a build that
// writes in several steps is not taken half done.
const lookAtModules = 200 * time.Millisecond

// watchModules looks for modules whose file has changed, until ctx ends.
func (h *Host) watchModules(ctx context.Context) {
	ticker := time.NewTicker(lookAtModules)
	defer ticker.Stop()
	seen := make(map[string]os.FileInfo)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := make(map[string]os.FileInfo)
		for _, p := range h.plugins {
			info, looked := now[p.conf.Module]
			if !looked {
				info, _ = os.Stat(p.conf.Module) // a file that is not there now is nothing to load
				now[p.conf.Module] = info
			}
			if settled := sameFile(info, seen[p.conf.Module]); settled && !sameFile(info, p.stamp) {
				p.stamp = info
				p.tryModule(ctx, h)
			}
		}
		seen = now
	}
}

// sameFile reports whether a file is as it was, as far as can be told without reading it.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// tryModule loads what is in the module's file now and, if it can be used, has it take over after the batch
// in hand. Whatever is wrong with it, the module before goes on.
func (p *hosted) tryModule(ctx context.Context, h *Host) {
	log := h.log.With("plugin", p.conf.Name, "module", p.conf.Module)
	wasm, info, err := readModule(p.conf.Module)
	if err != nil {
		if ctx.Err() == nil {
			p.refuse("", err)
			log.Error("cannot read the new module, the one before goes on", "error", err)
		}
		return
	}
	p.stamp = info
	digest := digestOf(wasm)
	if digest == p.digest() {
		p.refuse("", nil)
		return // written anew, or put back
	}
	m, err := compileModule(ctx, h.engine, p.conf, wasm)
	if err == nil {
		err = tryStart(ctx, m)
	}
	switch {
	case ctx.Err() != nil:
		if m != nil {
			_ = m.Close(context.WithoutCancel(ctx)) // the host stops
		}
	case err != nil:
		p.refuse(digest, err)
		log.Error("refused the new module, the one before goes on", "digest", digest, "error", withHint(err))
	default:
		log.Info("a new module takes over", "digest", digest, "before", p.digest())
		p.takeOver(ctx, m)
	}
}

// tryStart makes an instance: a module that cannot start never replaces one that can.
func tryStart(ctx context.Context, m *plugin.Module) error {
	in, err := m.NewInstance(ctx)
	if err == nil {
		err = in.Close(ctx)
	}
	if err != nil {
		return errors.Join(err, m.Close(context.WithoutCancel(ctx)))
	}
	return nil
}

func (p *hosted) refuse(digest string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = nil
	if err != nil {
		p.refused = &admin.Refused{Digest: digest, Reason: withHint(err), Since: time.Now()}
	}
}

// refusal is what the status shows of a module that was refused.
func (p *hosted) refusal() *admin.Refused {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// takeOver ends the runner at a batch's end; the next one has the new module.
func (p *hosted) takeOver(ctx context.Context, m *plugin.Module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = nil
	if p.next != nil {
		_ = p.next.Close(ctx) // nobody has used it; closing a module cannot fail
	}
	p.next = m
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
	return p.module, run, err
}
