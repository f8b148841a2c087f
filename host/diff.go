package host

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/trial"
	"eshost/host/store"
)

// DiffOptions say what Diff compares.
type DiffOptions struct {
	ReplayOptions
	// Same reports whether two documents are the same. Defaults to bytes.Equal.
	Same func(a, b []byte) bool
}

// DiffReport is what a new module would make differently.
type DiffReport struct {
	Before, After  string // digests of the modules
	From, To       event.Position
	Events         int            // that were given to both
	Same           int            // documents
	Documents      []DocumentDiff // by collection and key, in byte order
	Outcomes       []OutcomeDiff  // the first ones, in position order
	OutcomesDiffer int            // events that ended otherwise or emitted something else
	FailuresBefore int
	FailuresAfter  int
}

// DocumentDiff is a document that differs at the end.
type DocumentDiff struct {
	Collection, Key string
	// Before and After are what each module made; nil where there is none.
	Before, After []byte
	// Since is the first event after which they differed and did so to the end.
	Since ReplayedEvent
}

// Change is added, removed or changed.
func (d *DocumentDiff) Change() string {
	switch {
	case d.Before == nil:
		return "added"
	case d.After == nil:
		return "removed"
	}
	return "changed"
}

// OutcomeDiff is an event that ended otherwise, or emitted something else.
type OutcomeDiff struct {
	Event ReplayedEvent
	// Emitted says that the emitted events differ; else it is how the event ended.
	Emitted       bool
	Before, After string
}

// Diff runs two modules side by side over the log, each on a read model in memory, and compares what they make of each
// event. Nothing is emitted or stored. Memory holds both read models and nothing of the log.
func Diff(ctx context.Context, s store.Store, conf config.Plugin, before, after []byte, o DiffOptions) (*DiffReport, error) {
	if o.Same == nil {
		o.Same = bytes.Equal
	}
	r, err := newReplayer(ctx, s, conf, o.ReplayOptions, before, after)
	if err != nil {
		return nil, err
	}
	d := &differ{old: r.replicas[0], new: r.replicas[1], same: o.Same, since: make(map[trial.Name]ReplayedEvent),
		report: &DiffReport{Before: digestOf(before), After: digestOf(after), From: o.After + 1, To: o.UpTo}}
	err = r.run(ctx, func(e *event.Event) error { return d.handle(ctx, e) })
	if err == nil {
		d.finish()
	}
	if err = errors.Join(explainStart(conf.Module, err), r.close(ctx)); err != nil {
		return nil, err
	}
	return d.report, nil
}

// differ compares two read models after each event.
type differ struct {
	old, new *trial.Replica
	same     func(a, b []byte) bool
	since    map[trial.Name]ReplayedEvent // of each document that differs now
	report   *DiffReport
}

func (d *differ) handle(ctx context.Context, e *event.Event) error {
	d.report.Events++
	a, err := d.old.Handle(ctx, e)
	if err != nil {
		return err
	}
	b, err := d.new.Handle(ctx, e)
	if err != nil {
		return err
	}
	d.compareOutcomes(e, &a, &b)
	for _, wrote := range [][]trial.Name{d.old.Wrote(), d.new.Wrote()} {
		for _, name := range wrote {
			x, inOld := d.old.Get(name)
			y, inNew := d.new.Get(name)
			_, differed := d.since[name]
			switch same := inOld == inNew && d.same(x, y); {
			case same:
				delete(d.since, name)
			case !differed:
				d.since[name] = ReplayedEvent{Position: e.Position, Type: e.Type, Stream: e.Stream, ID: e.ID}
			}
		}
	}
	return nil
}

func (d *differ) compareOutcomes(e *event.Event, a, b *trial.Outcome) {
	if a.Failure != nil {
		d.report.FailuresBefore++
	}
	if b.Failure != nil {
		d.report.FailuresAfter++
	}
	diff := OutcomeDiff{Event: replayed(e, b), Before: a.Ending(), After: b.Ending()}
	if diff.Before == diff.After {
		x, y := d.old.Emitted(), d.new.Emitted()
		if slices.Equal(x, y) {
			return
		}
		diff.Emitted, diff.Before, diff.After = true, strings.Join(x, "\n"), strings.Join(y, "\n")
	} else {
		diff.Before, diff.After = ended(a), ended(b)
	}
	if d.report.OutcomesDiffer++; len(d.report.Outcomes) < maxReplayed {
		d.report.Outcomes = append(d.report.Outcomes, diff)
	}
}

// ended is how an event ended, with the reason.
func ended(o *trial.Outcome) string {
	if o.Failure != nil {
		return o.Ending() + ": " + o.Failure.Message
	}
	return o.Ending()
}

// finish lists what differs at the end.
func (d *differ) finish() {
	onlyNew := 0
	for name, since := range d.since {
		x, inOld := d.old.Get(name)
		y, _ := d.new.Get(name)
		if !inOld {
			onlyNew++
		}
		d.report.Documents = append(d.report.Documents, DocumentDiff{name.Collection, name.Key, x, y, since})
	}
	// A document that is not the same is in the old read model, or only in the new one.
	d.report.Same = d.old.Size() - (len(d.since) - onlyNew)
	slices.SortFunc(d.report.Documents, func(a, b DocumentDiff) int {
		if c := strings.Compare(a.Collection, b.Collection); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
}
