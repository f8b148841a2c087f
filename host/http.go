package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/internal/admin"
	"eshost/host/internal/appender"
	"eshost/host/internal/delivery"
	"eshost/host/store"
)

// admin is what the listener serves.
func (h *Host) admin() admin.Options {
	return admin.Options{
		Host:     api{h},
		Store:    h.store,
		Changes:  &h.changes,
		Metrics:  h.registry,
		Logger:   h.log,
		Loopback: true,
	}
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

// toldState is a plugin's store that tells the listener of what is committed.
type toldState struct {
	delivery.State
	plugin  string
	changes *admin.Changes
}

func (w toldState) Commit(ctx context.Context, c store.Commit) error {
	err := w.State.Commit(ctx, c)
	if err == nil {
		w.changes.Committed(w.plugin, &c)
	}
	return err
}
