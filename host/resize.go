package host

import (
	"context"
	"fmt"
	"time"

	"eshost/host/internal/delivery"
	"eshost/host/store"
)

// attempts are how often it was tried in vain to give a plugin the partitions that are declared.
type attempts struct {
	wanted store.Declared
	failed int
	last   error
	again  time.Time // the next one, not before
}

// longestRest is how long partitions run at most before they are to meet again.
const longestRest = 5 * time.Minute

// restAfter is how long partitions run after they did not meet so many times in a row.
func restAfter(failed int) time.Duration { return min(meetAgain<<min(failed-1, 8), longestRest) }

// inVain takes note of one that failed.
func (a *attempts) inVain(wanted store.Declared, err error) {
	if a.wanted != wanted {
		*a = attempts{wanted: wanted}
	}
	a.failed++
	a.last, a.again = err, time.Now().Add(restAfter(a.failed))
}

// resizeIfDeclared splits a plugin anew if that is declared and all its partitions are here, or says why that waits.
// Nothing is halted before it is likely that the partitions meet.
func (h *Host) resizeIfDeclared(p *hosted, w *world) {
	units := p.parts()
	if len(units) == 0 || p.inRedis() || p.resizing.Load() {
		return
	}
	wanted, now := w.wanted[p.conf.Name], &units[0].gen
	if !w.split(&store.Unit{Generation: *now}) || !p.gathered() {
		p.setHold("")
		return
	}
	why := ""
	if apart := p.apart(p.furthest()); w.building[p.conf.Name] {
		why = "a generation is being built; the change follows once that is live or given up"
	} else if apart != nil {
		why = apart.Error()
	} else if p.tries.wanted == wanted && time.Now().Before(p.tries.again) {
		why = fmt.Sprintf("%v; tried again after %s", p.tries.last, restAfter(p.tries.failed))
	}
	if why != "" {
		if p.setHold(waitingFor(wanted, now) + ": " + why) {
			h.log.Warn("the plugin cannot have other partitions yet", "plugin", p.conf.Name, "partitions", now.Partitions, "declared", wanted.Partitions, "reason", why)
		}
		return
	}
	if p.owns() { // else one is about to run
		h.beginResize(p, wanted)
	}
}

// beginResize splits the plugin anew beside the caller.
func (h *Host) beginResize(p *hosted, wanted store.Declared) {
	p.resizing.Store(true)
	h.group.Go(func() error {
		defer h.lookAtLeases()
		defer p.resizing.Store(false)
		err := p.aligned(p.ctx, h, func(ctx context.Context) error { return p.resize(ctx, h, wanted) })
		switch {
		case err == nil:
			p.tries = attempts{}
			p.setHold("")
		case p.ctx.Err() == nil:
			p.tries.inVain(wanted, err)
		}
		return nil
	})
}

func waitingFor(wanted store.Declared, now *store.Generation) string {
	if n := max(wanted.Partitions, 1); n != now.Partitions {
		return fmt.Sprintf("waiting to have %d partitions instead of %d", n, now.Partitions)
	}
	return fmt.Sprintf("waiting to be split by %q instead of %q", wanted.OrderBy, now.OrderBy)
}

// setHold says why the plugin does not have the partitions yet that are declared: here, and through those that deliver to
// them in the store, where everybody sees it. It reports whether that is new. Invariant 9.
func (p *hosted) setHold(why string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold == why {
		return false
	}
	p.hold = why
	for _, u := range p.units {
		if u.runner != nil {
			u.runner.Remark(why)
		}
	}
	return true
}

// held is why the plugin does not have the partitions yet that are declared.
func (p *hosted) held() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hold
}

// gathered reports whether this host is to run all of the plugin's partitions.
func (p *hosted) gathered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.units {
		if !u.mine {
			return false
		}
	}
	return true
}

// stands reports whether a runner takes no events in until something is mended.
func stands(s delivery.RunnerState) bool {
	return s == delivery.Paused || s == delivery.Quarantined || s == delivery.BackingOff
}
