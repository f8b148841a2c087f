package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/admin"
	"eshost/host/internal/appender"
	"eshost/host/internal/delivery"
	"eshost/host/store"
)

// listen opens the listener, nil if there is none. Its certificate is loaded first.
func (h *Host) listen() (net.Listener, error) {
	conf := h.conf.Host
	if conf.Listen == "" {
		return nil, nil
	}
	if !conf.Loopback() && len(conf.Tokens) == 0 {
		return nil, &Error{Subject: "listener", Err: fmt.Errorf("other machines reach %s, and there is no token", conf.Listen),
			hint: `add [[host.tokens]] to hosts.toml, or listen on a loopback address such as "127.0.0.1:7070"`}
	}
	var err error
	if h.tls, err = listenerTLS(conf, h.log); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", conf.Listen)
	if err != nil {
		return nil, &Error{Subject: "listener", Err: err,
			hint: `another host may run here already; set host.listen to another port, or to "off"`}
	}
	if !conf.Loopback() && h.tls == nil {
		h.log.Warn("the listener has no TLS: whoever is on the way can read its tokens", "listen", conf.Listen)
	}
	return l, nil
}

func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// admin is what the listener serves.
func (h *Host) admin() admin.Options {
	return admin.Options{
		Host:       api{h},
		Store:      h.reads,
		Operations: api{h},
		Changes:    &h.changes,
		Metrics:    h.metrics,
		Tokens:     tokens(h.conf.Host.Tokens),
		Loopback:   h.conf.Host.Loopback(),
		TLS:        h.tls,
		Logger:     h.log,
	}
}

func tokens(declared []config.Token) []admin.Token {
	list := make([]admin.Token, len(declared))
	for i, t := range declared {
		list[i] = admin.Token{Name: t.Name, SHA256: t.SHA256}
		for _, scope := range t.Scopes {
			list[i].Scopes = append(list[i].Scopes, admin.Scope(scope))
		}
	}
	return list
}

// api gives the host the shape that the listener wants.
type api struct{ h *Host }

func (a api) Status() Status { return a.h.Status() }

func (a api) Log() (watermark, head event.Position) {
	s := a.h.tail.Status()
	return s.Watermark, s.Head
}

func (a api) Age(checkpoint event.Position) time.Duration {
	return a.h.ages.of(checkpoint, a.h.tail.Status())
}

func (a api) Hurry(plugin string) { a.h.waits.hurry(plugin) }

func (a api) Append(ctx context.Context, req store.AppendRequest) ([]store.Recorded, error) {
	recorded, err := a.h.Append(ctx, req)
	var unknown *appender.OutcomeUnknownError
	switch {
	case errors.As(err, &unknown):
		err = &admin.OutcomeUnknownError{IDs: unknown.IDs, Err: unknown.Err}
	case errors.Is(err, appender.ErrClosed):
		err = fmt.Errorf("%w: %w", admin.ErrStopping, err)
	}
	return recorded, err
}

func (a api) Follow(types []string) admin.Reader {
	return a.h.tail.NewViewer(event.Filter{Types: types})
}

func (a api) ListParked(ctx context.Context, plugin string, o store.SequenceOptions) (any, error) {
	return ListParked(ctx, a.h.reads, plugin, o)
}

func (a api) ShowParked(ctx context.Context, plugin, key string, behind int) (any, error) {
	return ShowParked(ctx, a.h.reads, plugin, key, behind)
}

func (a api) Reload(ctx context.Context) (any, error) { return a.h.Reload(ctx) }

// Ask returns the request once it is answered, or as it is when ctx ends.
func (a api) Ask(ctx context.Context, r store.Request) (admin.Asked, error) {
	asked, err := a.h.Ask(ctx, r)
	if err == nil {
		r, err = Await(ctx, a.h.store, asked)
	}
	if errors.Is(err, ErrOtherEvent) {
		err = fmt.Errorf("%w: %w", admin.ErrOtherEvent, err)
	}
	return admin.Asked{State: r.State, Answer: r.Answer, View: ShowRequest(&r)}, err
}

// toldState is a plugin's store that tells the listener of what is committed.
type toldState struct {
	delivery.State
	changes *admin.Changes
	split   bool // the plugin has several partitions
}

// Commit is the store's. One that may or may not have been applied counts as a change that nobody knows.
func (s toldState) Commit(ctx context.Context, c store.Commit) error {
	err := s.State.Commit(ctx, c)
	switch {
	case err == nil && s.split:
		s.changes.Moved(c.Root)
	case err == nil:
		s.changes.Committed(&c)
	case !errors.Is(err, store.ErrLeaseLost) && !errors.Is(err, store.ErrCheckpointMoved):
		s.changes.Unsure(c.Root)
	}
	return err
}
