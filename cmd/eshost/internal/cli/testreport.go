package cli

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"eshost/host"
	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/store"
)

// trialReport is what test prints as JSON.
type trialReport struct {
	Module      string          `json:"module"`
	Digest      string          `json:"digest"`
	Plugin      string          `json:"plugin"`
	Events      trialCounts     `json:"events"`
	Documents   []trialDocument `json:"documents"`
	Emitted     []trialEmitted  `json:"emitted"`
	Failures    []trialFailure  `json:"failures"`
	Logs        []trialLine     `json:"logs"`
	LogsDropped int             `json:"logs_dropped"`
	Fuel        trialFuel       `json:"fuel"`
	Outcomes    []trialOutcome  `json:"outcomes"`
	PeakMemory  int             `json:"peak_memory"` // of one instance, in bytes
	Instances   int             `json:"instances"`   // made; more than one where a trap used one up
	Chaos       *trialChaos     `json:"chaos,omitempty"`
	Expected    *trialExpected  `json:"expected,omitempty"`
}

type trialCounts struct {
	Given   int `json:"given"`
	Handled int `json:"handled"`
	Retried int `json:"retried"` // handled, but not at the first attempt
	Failed  int `json:"failed"`
	Waiting int `json:"waiting"` // behind a failed one
	Skipped int `json:"skipped"` // not of the plugin's types
}

type trialDocument struct {
	Collection string          `json:"collection"`
	Key        string          `json:"key"`
	Data       json.RawMessage `json:"data"`
}

// trialEmitted is an event that the handling of another one emitted. ID is not in an expected file.
type trialEmitted struct {
	After       event.Position  `json:"after"`
	ID          string          `json:"id,omitempty"`
	Stream      string          `json:"stream"`
	StreamType  string          `json:"stream_type,omitempty"`
	Type        string          `json:"type"`
	Data        json.RawMessage `json:"data,omitempty"`
	DataBase64  string          `json:"data_base64,omitempty"`
	ContentType string          `json:"content_type,omitempty"` // unless it is application/json
	Metadata    json.RawMessage `json:"metadata,omitempty"`
}

// trialFailure is an event whose handler failed at every attempt. What only JSON and people get is not in an expected file.
type trialFailure struct {
	Position event.Position    `json:"position"`
	Type     string            `json:"type"`
	Stream   string            `json:"stream"`
	Kind     event.FailureKind `json:"kind"`
	Error    string            `json:"error"`
	Waiting  int               `json:"waiting,omitempty"` // events behind it
	ID       string            `json:"id,omitempty"`
	Data     string            `json:"data,omitempty"` // shortened
	Attempts int               `json:"attempts,omitempty"`
	Stack    []string          `json:"stack,omitempty"` // innermost first
}

type trialLine struct {
	Position event.Position `json:"position"` // 0 while an instance started
	Level    string         `json:"level"`
	Text     string         `json:"text"`
}

// trialFuel is what handling cost: each event's last attempt counts.
type trialFuel struct {
	fuelRange
	Types []fuelOfType `json:"types"` // the most expensive one first
}

type fuelOfType struct {
	Type string `json:"type"`
	fuelRange
}

type fuelRange struct {
	Events    int            `json:"events"`
	Total     int64          `json:"total"`
	Min       int64          `json:"min"`
	Median    int64          `json:"median"`
	Max       int64          `json:"max"`
	Costliest event.Position `json:"costliest"` // the first event that cost Max
}

type trialOutcome struct {
	Position event.Position `json:"position"`
	Type     string         `json:"type"`
	Stream   string         `json:"stream"`
	ID       string         `json:"id"`
	Outcome  string         `json:"outcome"` // handled, failed or waiting
	Behind   event.Position `json:"behind,omitempty"`
	Attempts int            `json:"attempts"`
	Fuel     int64          `json:"fuel"`
}

type trialChaos struct {
	Seed       uint64           `json:"seed"`
	Runs       int              `json:"runs"`
	Thrown     int              `json:"instances_thrown_away"`
	Turns      int              `json:"turns_taken"`
	Difference *trialDifference `json:"difference"`
}

// trialDifference is the first thing that depended on the instance. Steady is what one instance made.
type trialDifference struct {
	Position   event.Position `json:"position"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	ID         string         `json:"id"`
	What       string         `json:"what"` // document, emitted or outcome
	Collection string         `json:"collection,omitempty"`
	Key        string         `json:"key,omitempty"`
	Steady     string         `json:"steady"`
	Chaos      string         `json:"chaos"`
}

func reportTrial(conf config.Plugin, t *host.TrialReport) *trialReport {
	r := &trialReport{
		Module:      conf.Module,
		Digest:      t.Digest,
		Plugin:      conf.Name,
		Events:      trialCounts{Given: len(t.Outcomes) + t.Skipped, Skipped: t.Skipped},
		Documents:   make([]trialDocument, 0, len(t.Documents)),
		Emitted:     make([]trialEmitted, 0, len(t.Emitted)),
		Failures:    []trialFailure{},
		Logs:        make([]trialLine, 0, len(t.Logs)),
		LogsDropped: t.LogsDropped,
		Outcomes:    make([]trialOutcome, 0, len(t.Outcomes)),
		PeakMemory:  t.PeakMemory,
		Instances:   t.Instances,
	}
	for _, d := range t.Documents {
		r.Documents = append(r.Documents, trialDocument{d.Collection, d.Key, d.Data})
	}
	for i := range t.Emitted {
		r.Emitted = append(r.Emitted, reportEmitted(&t.Emitted[i]))
	}
	for _, l := range t.Logs {
		r.Logs = append(r.Logs, trialLine{l.Position, strings.ToLower(l.Level.String()), l.Text})
	}
	r.addOutcomes(t.Outcomes)
	r.Fuel = fuelOf(t.Outcomes)
	if t.Chaos != nil {
		r.Chaos = reportChaos(t.Chaos)
	}
	return r
}

func reportEmitted(e *event.Emitted) trialEmitted {
	r := trialEmitted{After: e.Cause, ID: e.ID, Stream: e.Stream, StreamType: e.StreamType, Type: e.Type, Metadata: e.Metadata}
	if e.ContentType != store.DefaultContentType {
		r.ContentType = e.ContentType
	}
	if event.ValidJSON(e.Data) {
		r.Data = e.Data
	} else {
		r.DataBase64 = base64.StdEncoding.EncodeToString(e.Data)
	}
	return r
}

func (r *trialReport) addOutcomes(outcomes []host.TrialOutcome) {
	failed := make(map[event.Position]int) // index in Failures
	for i := range outcomes {
		o := &outcomes[i]
		e := o.Event
		line := trialOutcome{Position: e.Position, Type: e.Type, Stream: e.Stream, ID: e.ID, Outcome: "handled", Behind: o.Behind, Attempts: o.Attempts, Fuel: o.Fuel}
		switch {
		case o.Failure != nil:
			line.Outcome = "failed"
			r.Events.Failed++
			failed[e.Position] = len(r.Failures)
			r.Failures = append(r.Failures, reportFailure(o))
		case o.Behind != 0:
			line.Outcome = "waiting"
			r.Events.Waiting++
			r.Failures[failed[o.Behind]].Waiting++
		default:
			r.Events.Handled++
			if o.Attempts > 1 {
				r.Events.Retried++
			}
		}
		r.Outcomes = append(r.Outcomes, line)
	}
}

func reportFailure(o *host.TrialOutcome) trialFailure {
	f := trialFailure{
		Position: o.Event.Position, Type: o.Event.Type, Stream: o.Event.Stream, ID: o.Event.ID, Data: preview(o.Event),
		Kind: o.Failure.Kind, Error: o.Failure.Message, Attempts: o.Attempts,
	}
	if o.Failure.Stack != "" {
		f.Stack = strings.Split(o.Failure.Stack, "\n")
	}
	return f
}

// fuelOf counts the events that were handled or tried.
func fuelOf(outcomes []host.TrialOutcome) trialFuel {
	var all []*host.TrialOutcome
	byType := make(map[string][]*host.TrialOutcome)
	for i := range outcomes {
		if o := &outcomes[i]; o.Attempts > 0 {
			all = append(all, o)
			byType[o.Event.Type] = append(byType[o.Event.Type], o)
		}
	}
	f := trialFuel{fuelRange: rangeOf(all), Types: []fuelOfType{}}
	for name, some := range byType {
		f.Types = append(f.Types, fuelOfType{name, rangeOf(some)})
	}
	slices.SortFunc(f.Types, func(a, b fuelOfType) int {
		if a.Total != b.Total {
			return int(min(max(b.Total-a.Total, -1), 1))
		}
		return strings.Compare(a.Type, b.Type)
	})
	return f
}

func rangeOf(outcomes []*host.TrialOutcome) fuelRange {
	r := fuelRange{Events: len(outcomes)}
	if r.Events == 0 {
		return r
	}
	costs := make([]int64, len(outcomes))
	for i, o := range outcomes {
		costs[i] = o.Fuel
		r.Total += o.Fuel
		if r.Costliest == 0 || o.Fuel > r.Max {
			r.Costliest, r.Max = o.Event.Position, o.Fuel
		}
	}
	slices.Sort(costs)
	r.Min, r.Median = costs[0], costs[len(costs)/2]
	return r
}

func reportChaos(c *host.TrialChaos) *trialChaos {
	r := &trialChaos{Seed: c.Seed, Runs: c.Runs, Thrown: c.Thrown, Turns: c.Turns}
	if d := c.Difference; d != nil {
		what := "outcome"
		switch {
		case d.Emitted:
			what = "emitted"
		case d.Collection != "":
			what = "document"
		}
		r.Difference = &trialDifference{
			Position: d.Event.Position, Type: d.Event.Type, Stream: d.Event.Stream, ID: d.Event.ID,
			What: what, Collection: d.Collection, Key: d.Key, Steady: d.Steady, Chaos: d.Chaos,
		}
	}
	return r
}
