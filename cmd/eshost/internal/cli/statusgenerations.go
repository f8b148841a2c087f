package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// generationReport is a generation that is not the live one, in status.
type generationReport struct {
	Generation int            `json:"generation"`
	State      string         `json:"state"`
	Reason     string         `json:"reason,omitempty"` // why it does not get on, or is not live yet
	Checkpoint event.Position `json:"checkpoint"`
	Digest     string         `json:"digest,omitempty"` // of the module it is built with, or was made with
	Parked     int            `json:"parked"`           // sequences
	Waiting    int            `json:"waiting"`          // events
	CreatedAt  time.Time      `json:"created_at"`
	RetiredAt  *time.Time     `json:"retired_at,omitempty"`
	// Of one that is being built.
	Percent     *float64 `json:"percent,omitempty"`
	PerSecond   *float64 `json:"positions_per_second,omitempty"`
	SecondsLeft *float64 `json:"seconds_left,omitempty"` // missing where nothing moves

	live bool // a live host has it
	left event.Position
}

func reportGeneration(g *store.GenerationStatus, watermark event.Position) *generationReport {
	r := &generationReport{
		Generation: g.Number,
		State:      string(g.State),
		Checkpoint: g.Position,
		Digest:     g.Digest,
		Parked:     g.Parked,
		Waiting:    g.Waiting,
		CreatedAt:  g.CreatedAt.UTC(),
		RetiredAt:  moment(g.RetiredAt),
		live:       g.Owner != nil && g.Owner.Live,
		left:       max(0, watermark-g.Position),
	}
	if g.State != store.Building {
		return r
	}
	if g.Module != "" {
		r.Digest = g.Module
	}
	r.Reason = g.Condition.Reason
	if g.Condition.State != store.Running && r.Reason != "" {
		r.Reason = string(g.Condition.State) + ": " + r.Reason
	}
	percent := 100.0
	if watermark > 0 {
		percent = min(100, 100*float64(g.Position)/float64(watermark))
	}
	r.Percent = &percent
	return r
}

// move says how fast it gets on.
func (r *generationReport) move(perSecond float64) {
	r.PerSecond = &perSecond
	if perSecond > 0 {
		left := float64(r.left) / perSecond
		r.SecondsLeft = &left
	}
}

// progress is how far a build is, in one line.
func (r *generationReport) progress() string {
	text := fmt.Sprintf("generation %d is at %d", r.Generation, r.Checkpoint)
	if r.Percent != nil {
		text += fmt.Sprintf(", %.0f%%", *r.Percent)
	}
	if r.PerSecond != nil {
		text += fmt.Sprintf(", %.0f positions/s", *r.PerSecond)
	}
	switch {
	case r.left == 0:
		return text + ", caught up"
	case r.SecondsLeft != nil && *r.SecondsLeft < float64(365*24*time.Hour/time.Second):
		text += ", " + (time.Duration(*r.SecondsLeft+1) * time.Second).String() + " left"
	}
	return text
}

// buildPace is how fast a build was of late.
type buildPace struct {
	at        time.Time
	from      event.Position
	perSecond float64
	known     bool
}

// note takes a look in and tells the report.
func (p *buildPace) note(r *generationReport, now event.Position) {
	switch d := time.Since(p.at); {
	case p.at.IsZero():
		p.at, p.from = time.Now(), now
	case d >= time.Second:
		p.perSecond, p.known = float64(now-p.from)/d.Seconds(), true
		p.at, p.from = time.Now(), now
	}
	if p.known {
		r.move(p.perSecond)
	}
}

// watermark is how far the log is final.
func (t *target) watermark(ctx context.Context) (event.Position, error) {
	tail, state, err := settle(ctx, t.Store, 0)
	if err != nil {
		return 0, err
	}
	tail.Close()
	return state.Watermark, nil
}

const lookAtPace = time.Second

// addGenerations reports what is built and kept. How fast a build is takes two looks.
func (r *statusReport) addGenerations(ctx context.Context, t *target) error {
	all, err := t.NotLive(ctx)
	if err != nil {
		return fmt.Errorf("read the generations: %w", err)
	}
	moving := make(map[int64]*generationReport)
	began := time.Now()
	for i := range all {
		g := &all[i]
		report := reportGeneration(g, r.Log.Watermark)
		for j := range r.Plugins {
			if p := &r.Plugins[j]; p.Name == g.Plugin {
				if report.State == string(store.Building) && !report.live {
					report.Reason = "no host builds it now; it goes on when the plugin's host does"
				}
				p.Generations = append(p.Generations, report)
			}
		}
		if g.State == store.Building && report.live && report.left > 0 {
			moving[g.ID] = report
		}
	}
	if len(moving) == 0 {
		return nil
	}
	if err := pause(ctx, lookAtPace); err != nil {
		return err
	}
	if all, err = t.NotLive(ctx); err != nil {
		return fmt.Errorf("read the generations: %w", err)
	}
	for _, g := range all {
		if report := moving[g.ID]; report != nil {
			report.move(float64(g.Position-report.Checkpoint) / time.Since(began).Seconds())
		}
	}
	return nil
}

// write prints it below the plugins' table.
func (r *generationReport) write(w io.Writer, plugin string) {
	switch {
	case r.Percent != nil:
		fmt.Fprintf(w, "\n%s is rebuilt: %s\n", printable(plugin), r.progress())
		if r.Reason != "" {
			fmt.Fprintf(w, "  %s\n", printable(r.Reason))
		}
	case r.RetiredAt != nil:
		fmt.Fprintf(w, "\n%s keeps generation %d, %s since %s: go back with eshost rebuild %s --rollback\n", printable(plugin), r.Generation,
			r.State, r.RetiredAt.Format(time.RFC3339), printable(plugin))
	default:
		fmt.Fprintf(w, "\n%s: generation %d is %s\n", printable(plugin), r.Generation, strings.TrimSpace(r.State))
	}
}
