package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// Headers that say what a read model held when it was read.
const (
	// headerCheckpoint is the position up to which the documents hold every event, except those that wait
	// for a retry or are parked.
	headerCheckpoint = "Eshost-Checkpoint"
	// headerLag is how many positions that is below the log's watermark.
	headerLag = "Eshost-Lag"
	// headerAge is how long ago, in seconds and at most, the checkpoint was the end of the log.
	headerAge = "Eshost-Age"
)

const (
	defaultWait = 5 * time.Second
	longestWait = 5 * time.Minute
	// lookAgain is how often a wait that does not end looks for a reason.
	lookAgain = 500 * time.Millisecond
)

// readModel returns the plugin's live generation, at or above the position that the request asks for with
// after, and sets the headers about it. Documents that are read afterwards are at least as new.
func (s *server) readModel(w http.ResponseWriter, r *http.Request, p *params) (store.Generation, error) {
	name := r.PathValue("plugin")
	after, asked := p.values["after"]
	position := p.position("after", 0)
	timeout := p.duration("timeout", defaultWait, longestWait)
	if p.err != nil {
		return store.Generation{}, p.err
	}
	gen, err := s.findPlugin(r.Context(), name)
	if err != nil && !(asked && starting(err)) {
		return gen, err
	}
	if len(after) > 0 {
		if gen, err = s.await(w, r, name, gen, position, timeout); err != nil {
			return gen, err
		}
	}
	s.tellAge(w.Header(), gen.Position)
	return gen, nil
}

func (s *server) tellAge(h http.Header, checkpoint event.Position) {
	watermark, _ := s.o.Host.Log()
	h.Set(headerCheckpoint, strconv.FormatInt(int64(checkpoint), 10))
	h.Set(headerLag, strconv.FormatInt(int64(max(0, watermark-checkpoint)), 10))
	h.Set(headerAge, strconv.FormatFloat(s.o.Host.Age(checkpoint).Seconds(), 'f', 3, 64))
}

// findPlugin returns a plugin's live generation, or a problem.
func (s *server) findPlugin(ctx context.Context, name string) (store.Generation, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	gen, err := s.o.Store.FindPlugin(ctx, name)
	if !errors.Is(err, store.ErrNotFound) {
		return gen, err
	}
	for _, p := range s.o.Host.Status().Plugins {
		if p.Name == name {
			return gen, unavailable(kindStarting, time.Second, "see /v1/status", "plugin %q has not started yet: %s", name, p.Reason)
		}
	}
	return gen, notFound("GET /v1/plugins lists those there are", "there is no plugin %q", shorten(name))
}

const (
	kindStarting    = "starting"
	kindNotHandled  = "not-handled"
	titleNotHandled = "The plugin has not handled that position"
)

func starting(err error) bool {
	var p *problem
	return errors.As(err, &p) && p.kind == kindStarting
}

// await waits until a plugin has handled a position, whichever host it belongs to. It gives up when the
// time is over, and at once when the plugin cannot get there before somebody mends something. gen is the plugin's live
// generation as it was found, empty before there is one.
func (s *server) await(w http.ResponseWriter, r *http.Request, name string, gen store.Generation, position event.Position, timeout time.Duration) (store.Generation, error) {
	if !s.waits.take() {
		return store.Generation{}, unavailable("too-many-waits", time.Second, "try again, or read without after",
			"%d requests wait for a checkpoint already", s.o.Limits.Waits)
	}
	defer s.waits.leave()
	patient(w, timeout)
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	var looked time.Time
	for {
		var moved <-chan struct{}
		if gen.ID != 0 {
			moved = s.o.Changes.moved(gen.ID) // from before the look, which may be followed by the commit at once
		}
		listens := gen.ID
		var err error
		gen, err = s.reached(r.Context(), name, position)
		var stuck *stuckError
		if errors.As(err, &stuck) && (stuck.State == store.Parked || ctx.Err() != nil) {
			return gen, stuck.problem(name, position)
		}
		if err == nil || stuck == nil && !errors.Is(err, errShort) && !starting(err) {
			return gen, err
		}
		late := ctx.Err() != nil
		if stuck == nil && (late || time.Since(looked) > lookAgain) {
			looked = time.Now()
			if err := s.whyNot(r.Context(), name, position, timeout, late); err != nil {
				return gen, err
			}
		}
		if errors.Is(err, errShort) {
			s.o.Host.Hurry(name)
		}
		if gen.ID != listens {
			continue // it has started meanwhile, or another generation is live
		}
		timer := time.NewTimer(s.o.Limits.Poll)
		select {
		case <-moved:
		case <-timer.C: // another host's, or one that does not move
		case <-ctx.Done():
		case <-s.stopping.Done():
			timer.Stop()
			return gen, context.Canceled
		}
		timer.Stop()
	}
}

var errShort = errors.New("short of the position")

// stuckError says that the event was tried, failed, and waits in a sequence.
type stuckError struct{ store.Sequence }

func (e *stuckError) Error() string { return e.Sequence.Error }

func (e *stuckError) problem(plugin string, position event.Position) *problem {
	p := &problem{status: http.StatusGatewayTimeout, kind: kindNotHandled, title: titleNotHandled,
		detail: fmt.Sprintf("event %d of plugin %q waits: event %d of its key %q failed, is %s: %s", position, plugin, e.Position, shorten(e.Key), e.State,
			e.Sequence.Error),
		hint:    "retry, skip or edit it; see /v1/plugins/" + plugin + "/parked",
		members: map[string]any{"plugin": plugin, "after": position, "state": string(e.State), "key": e.Key, "failed": e.Position}}
	if e.State == store.Retrying {
		p.hint = "it is tried again by itself: wait longer with timeout; see /v1/plugins/" + plugin + "/parked"
	}
	return p
}

// reached returns the plugin's generation if it has handled a position, else errShort or a *stuckError.
func (s *server) reached(ctx context.Context, name string, position event.Position) (store.Generation, error) {
	gen, err := s.findPlugin(ctx, name)
	switch {
	case err != nil:
		return gen, err
	case gen.Position < position:
		return gen, errShort
	}
	q, err := s.o.Store.SequenceWith(ctx, gen.ID, position)
	switch {
	case err == nil:
		return gen, &stuckError{q}
	case errors.Is(err, store.ErrNotFound):
		return gen, nil
	}
	return gen, err
}

// whyNot returns a problem if the plugin cannot get to a position, or has not got there in time.
// Invariant 9: nothing waits in silence.
func (s *server) whyNot(ctx context.Context, name string, position event.Position, timeout time.Duration, late bool) error {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	plugins, err := s.o.Store.Plugins(ctx)
	if err != nil {
		return err
	}
	short := &problem{status: http.StatusGatewayTimeout, kind: kindNotHandled, title: titleNotHandled,
		members: map[string]any{"plugin": name, "after": position}}
	for _, p := range plugins {
		if p.Plugin != name {
			continue
		}
		short.members["checkpoint"] = p.Position
		state, reason := condition(&p)
		if p.Position >= position || !late && !standsStill(state) {
			return nil
		}
		short.detail = fmt.Sprintf("plugin %q is at %d, short of %d, and is %s", name, p.Position, position, state)
		if reason != "" {
			short.detail += ": " + reason
		}
		short.members["state"] = state
		short.hint = s.wayOut(state, position)
		if late {
			short.detail += fmt.Sprintf(" (waited %s)", timeout)
		}
		return short
	}
	if !late {
		return nil
	}
	short.detail = fmt.Sprintf("plugin %q has not started within %s", name, timeout)
	short.hint = "see /v1/status"
	return short
}

// wayOut says what to do about a plugin that does not get to a position.
func (s *server) wayOut(state string, position event.Position) string {
	watermark, head := s.o.Host.Log()
	switch {
	case standsStill(state):
		return "mend what the reason names; see /v1/plugins"
	case position > head:
		return fmt.Sprintf("the log ends at %d: ask for a position that an append has answered", head)
	case position > watermark:
		return fmt.Sprintf("a transaction holds the log's watermark at %d; /v1/status names it", watermark)
	case state == stateStopped:
		return "start a host that runs it: eshost run"
	}
	return "ask again, or wait longer with timeout"
}
