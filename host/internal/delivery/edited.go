package delivery

import (
	"context"
	"fmt"

	"eshost/host/event"
)

// edited are the positions of the events whose data a person has replaced for this plugin. The data itself
// is read when it is needed: there may be much of it.
type edited map[event.Position]struct{}

func (r *Runner) loadEdited(ctx context.Context) (edited, error) {
	list, err := r.state.Replacements(ctx, r.o.Plugin)
	if err != nil {
		return nil, fmt.Errorf("look for replaced data: %w", err)
	}
	e := make(edited, len(list))
	for i := range list {
		e[list[i].Position] = struct{}{}
	}
	return e, nil
}

// asEdited returns an event as the plugin sees it, whether it is fresh, waited or is handled in a rebuild.
// The event itself is not changed: others have it too.
func (s *session) asEdited(ctx context.Context, e *event.Event) (*event.Event, error) {
	if _, ok := s.edited[e.Position]; !ok {
		return e, nil
	}
	r, err := s.r.state.Replacement(ctx, s.o.Plugin, e.Position)
	if err != nil {
		return nil, fmt.Errorf("read what replaces event %d: %w", e.Position, err)
	}
	other := *e
	other.Data = r.Data
	return &other, nil
}
