package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// GenerationView is one build of a plugin's read model.
type GenerationView struct {
	Generation int            `json:"generation"`
	State      string         `json:"state"` // building, live or retired
	Reason     string         `json:"reason,omitempty"`
	Checkpoint event.Position `json:"checkpoint"`
	// LagPositions is how far that is below the watermark.
	LagPositions event.Position `json:"lag_positions"`
	Digest       string         `json:"digest,omitempty"` // of the module it is built with, or was made with
	Retrying     int            `json:"retrying_sequences"`
	Parked       int            `json:"parked_sequences"`
	Waiting      int            `json:"waiting_events"`
	CreatedAt    *time.Time     `json:"created_at,omitempty"`
	RetiredAt    *time.Time     `json:"retired_at,omitempty"`
}

// generations lists a plugin's generations: the live one, one that is being built, those that are kept to go back to.
func (s *server) generations(w http.ResponseWriter, r *http.Request) error {
	if err := query(r).err; err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	name := r.PathValue("plugin")
	if _, err := s.findPlugin(ctx, name); err != nil {
		return err
	}
	all, err := s.o.Store.Generations(ctx, name)
	if err != nil {
		return fmt.Errorf("read the generations of %s: %w", name, err)
	}
	watermark, _ := s.o.Host.Log()
	views := make([]GenerationView, 0, len(all))
	for i := range all {
		views = append(views, generationView(&all[i], watermark))
	}
	writeJSON(w, http.StatusOK, "application/json", map[string]any{"generations": views})
	return nil
}

func generationView(g *store.GenerationStatus, watermark event.Position) GenerationView {
	v := GenerationView{
		Generation: g.Number, State: string(g.State), Checkpoint: g.Position, LagPositions: max(0, watermark-g.Position), Digest: g.Digest,
		Retrying: g.Retrying, Parked: g.Parked, Waiting: g.Waiting, CreatedAt: moment(g.CreatedAt), RetiredAt: moment(g.RetiredAt),
	}
	if g.State == store.Building {
		v.Digest = cmp.Or(g.Module, g.Digest)
		v.Reason = g.Condition.Reason
		if g.Owner == nil || !g.Owner.Live {
			v.Reason = "no host builds it now; it goes on when the plugin's host does"
		}
	}
	return v
}
