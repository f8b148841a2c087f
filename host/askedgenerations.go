package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/store"
)

// aboutGenerations carries out a request about a plugin's generations, if it is one and this host owns the plugin. It
// does so beside the caller, once, however often it is called. It reports whether the request is about generations.
func (h *Host) aboutGenerations(ctx context.Context, p *hosted, r store.Request) bool {
	if r.Action != store.AskRebuild && r.Action != store.AskRollback && r.Action != store.AskDrop {
		return false
	}
	// Going back takes all partitions, which come to one host since it was asked for.
	if !p.leads() || r.Action == store.AskRollback && !p.owns() || !p.take(r.ID) {
		return true
	}
	h.group.Go(func() error {
		defer p.letGo(r.ID)
		if now, err := h.store.Request(ctx, r.ID); err != nil || now.State != store.Pending {
			return nil // it was carried out since the look that found it
		}
		done, err := h.carryOut(ctx, p, r)
		a := store.Answer{Request: r.ID, State: store.Done, Text: done}
		if err != nil {
			a.State, a.Text = store.Refused, withHint(err)
		}
		if ctx.Err() == nil && p.ctx.Err() == nil && !errors.Is(err, store.ErrLeaseLost) { // else it is another owner's
			h.answerAsLeader(ctx, p, a)
		}
		return nil
	})
	return true
}

func (h *Host) carryOut(ctx context.Context, p *hosted, r store.Request) (string, error) {
	switch r.Action {
	case store.AskRebuild:
		return p.rebuild(ctx, h, r)
	case store.AskRollback:
		return h.rollBack(ctx, p, r)
	}
	return h.dropOf(ctx, p, r.Generation)
}

// take reports whether nobody carries the request out yet.
func (p *hosted) take(request int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[request] {
		return false
	}
	if p.taken == nil {
		p.taken = make(map[int64]bool)
	}
	p.taken[request] = true
	return true
}

func (p *hosted) letGo(request int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, request)
}

// answer settles a request that is nobody's in particular.
func (h *Host) answer(ctx context.Context, a store.Answer) {
	h.tellAnswerError(ctx, a, h.store.AnswerRequest(ctx, 0, 0, a))
}

func (h *Host) tellAnswerError(ctx context.Context, a store.Answer, err error) {
	if err != nil && !errors.Is(err, store.ErrAnswered) && ctx.Err() == nil {
		h.log.Warn("cannot answer a request", "request", a.Request, "error", err)
	}
}

// answerPatience is how long a plugin's next runner may take to have the lease again.
const answerPatience = 30 * time.Second

// answerAsLeader settles a request that the plugin's leader carries out, under its lease: what a host says that has lost it
// must not be taken for the answer of the one that has it now. That one finds the request again.
func (h *Host) answerAsLeader(ctx context.Context, p *hosted, a store.Answer) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	for {
		by, err := p.leader(h)
		if err == nil {
			err = h.store.AnswerRequest(ctx, by.Generation, by.Epoch, a)
		}
		if !errors.Is(err, store.ErrLeaseLost) {
			h.tellAnswerError(ctx, a, err)
			return
		}
		if !sleep(ctx, 5*awaitLook) || p.ctx.Err() != nil {
			h.log.Warn("cannot answer a request: the plugin has no leader here; it is carried out again by the one that it gets", "plugin", p.conf.Name, "request", a.Request)
			return
		}
		if now, err := h.store.Request(ctx, a.Request); err == nil && now.State != store.Pending {
			return
		}
	}
}

// rebuild begins a generation from the plugin's start, with a stored module or the declared one.
func (p *hosted) rebuild(ctx context.Context, h *Host, r store.Request) (string, error) {
	if p.inRedis() {
		return p.rebuildInRedis(ctx, h, r)
	}
	if pin := p.conf.SHA256; pin != "" && r.Digest != "" && r.Digest != pin {
		return "", &Error{Subject: pluginSubject(p.conf.Name), Err: fmt.Errorf("the given module's SHA-256 is %s, hosts.toml pins %s", r.Digest, pin),
			hint: fmt.Sprintf("put that module in the place of %s and change the pin to sha256 = %q, then: eshost rebuild %s", p.conf.Module, r.Digest, p.conf.Name)}
	}
	wasm, _, err := readModule(p.conf.Module)
	if err != nil {
		return "", fmt.Errorf("read the declared module: %w", err)
	}
	// The declared one is kept too: it is what a rollback goes back to.
	digest := digestOf(wasm)
	if err := h.store.PutModule(ctx, digest, wasm); err != nil {
		return "", err
	}
	if r.Digest != "" {
		digest = r.Digest
	}
	if wasm, err = h.store.Module(ctx, digest); err != nil {
		return "", err
	}
	m, err := compileModule(ctx, h.engine, p.conf, wasm)
	if err != nil {
		return "", err
	}
	if err := errors.Join(tryStart(ctx, m), m.Close(ctx)); err != nil {
		return "", p.startError(err)
	}
	by, err := p.leader(h)
	if err != nil {
		return "", err
	}
	gen, err := p.beginBuild(ctx, h, by, digest)
	if errors.Is(err, store.ErrBuilding) {
		return p.alreadyBuilding(ctx, h, r, digest, err)
	}
	if err != nil {
		return "", err
	}
	return beingBuilt(gen), nil
}

func beingBuilt(gen store.Generation) string {
	return fmt.Sprintf("generation %d is being built from position %d", gen.Number, gen.Position+1)
}

// alreadyBuilding is what the request itself has begun, before an answer that was lost, or what somebody else has.
func (p *hosted) alreadyBuilding(ctx context.Context, h *Host, r store.Request, digest string, err error) (string, error) {
	all, listErr := h.store.Generations(ctx, p.conf.Name)
	if listErr != nil {
		return "", listErr
	}
	for _, g := range all {
		if g.State != store.Building {
			continue
		}
		if g.Module == digest && g.CreatedAt.After(r.RequestedAt) {
			return beingBuilt(g.Generation), nil
		}
		return "", &Error{Subject: pluginSubject(p.conf.Name), Err: fmt.Errorf("generation %d is being built already", g.Number),
			hint: fmt.Sprintf("wait for it, or give it up: eshost rebuild %s --drop-old --generation %d", p.conf.Name, g.Number)}
	}
	return "", err
}
