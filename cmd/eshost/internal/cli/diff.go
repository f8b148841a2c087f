package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/config"
	"eshost/host/event"
)

// diffRun is one call of diff.
type diffRun struct {
	module   string
	from, to int64
	limit    int
	changed  func(flag string) bool
}

func (a *app) diffCommand() *cobra.Command {
	var r diffRun
	c := a.command(&cobra.Command{
		Use:   "diff PLUGIN",
		Short: "Show what a new module would make differently of the real log",
		Long: `diff runs the module that the plugin runs now and the one of --module side by side over the log, both in memory and by
the plugin's section of hosts.toml, and prints the documents that differ at the end: added, removed or changed, with both
values and the first event that made the difference. It also shows the events that end otherwise (fail or do not) or emit
something else. Documents are compared by their value as JSON.

It reads the log up to the watermark, needs no host and changes nothing: what handlers emit is thrown away. Data that
somebody put in the place of an event's (eshost parked edit) counts; what was skipped does not. A failed event is tried
again at once, then the later events of its key wait.

Both begin where a rebuild would, or at --from: then with empty read models, so that what was made of earlier events is
missing in both. Memory holds both read models, nothing of the log.

Exit codes: 0 nothing differs, 1 something differs, 2 wrong use or input.`,
		Example: `  eshost diff balances --module balances-v2.wasm
  eshost diff balances --module balances-v2.wasm --from 100000 --to 200000 --json | jq .documents`,
		ValidArgsFunction: a.completePlugin(false),
	}, func(ctx context.Context, args []string) error { return a.diff(ctx, args[0], &r) })
	f := c.Flags()
	f.StringVar(&r.module, "module", "", "the new module (required)")
	f.Int64Var(&r.from, "from", 0, "first position, with empty read models before it (default: where a rebuild begins)")
	f.Int64Var(&r.to, "to", 0, "last position (default: the watermark)")
	f.IntVar(&r.limit, "limit", 20, "most differences of each kind to print; 0 for all. --json prints all documents")
	a.jsonFlag(c)
	if err := c.MarkFlagFilename("module", "wasm"); err != nil {
		panic(err) // the flag is defined above
	}
	r.changed = f.Changed
	return c
}

func (r *diffRun) check() error {
	switch {
	case r.module == "":
		return badInput("such as --module balances-v2.wasm", "diff needs --module")
	case r.changed("from") && r.from < 1:
		return badInput(helpHint("diff"), "--from must be a position, 1 or more, is %d", r.from)
	case r.changed("to") && r.to < 1:
		return badInput(helpHint("diff"), "--to must be a position, 1 or more, is %d", r.to)
	case r.changed("to") && r.changed("from") && r.to < r.from:
		return badInput(helpHint("diff"), "--to %d is before --from %d", r.to, r.from)
	case r.limit < 0:
		return badInput(helpHint("diff"), "--limit must not be negative")
	}
	return checkModuleFile(r.module, false)
}

func (a *app) diff(ctx context.Context, name string, r *diffRun) error {
	if err := r.check(); err != nil {
		return err
	}
	conf, err := a.declaredPlugin(name)
	if err != nil {
		return err
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	o := host.DiffOptions{Same: sameJSON, ReplayOptions: host.ReplayOptions{After: event.Position(r.from) - 1, Logger: a.warnings()}}
	if o.UpTo, err = t.lastFinal(ctx, "--to", event.Position(r.to)); err != nil {
		return err
	}
	if r.from == 0 {
		if o.After, err = host.BuildStart(ctx, t, conf); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.err, "eshost: both begin with empty read models at position %d: what earlier events made is missing in both\n", r.from)
	}
	before, exact, err := host.LiveModule(ctx, t, conf)
	if err != nil {
		return err
	}
	if !exact {
		fmt.Fprintf(a.err, "eshost: the module that made the live read model last is not at hand; comparing with %s\n", conf.Module)
	}
	after, err := host.ReadModule(r.module)
	if err != nil {
		return err
	}
	line := newProgress(a.err, 0)
	o.Progress = replayProgress(line, o.After, o.UpTo)
	report, err := host.Diff(ctx, t, *conf, before, after, o)
	line.clear()
	if err != nil {
		return aboutModule(err, r.module, conf.Module)
	}
	return errors.Join(a.printDiff(report, r.limit), judgeDiff(report))
}

// declaredPlugin is a plugin's section of hosts.toml, in which nothing may be wrong.
func (a *app) declaredPlugin(name string) (*config.Plugin, error) {
	conf, wrong, err := a.sections()
	if err != nil {
		return nil, err
	}
	if wrong[name] != nil {
		return nil, wrong[name]
	}
	p := conf.Plugin(name)
	if p == nil {
		known := (&target{conf: conf, wrong: wrong}).withDeclared(nil)
		return nil, badInput(suggestion(name, known, "declared plugins: "+words(known)), "hosts.toml declares no plugin %q", name)
	}
	return p, nil
}

// lastFinal is the position that a flag names, or the watermark for 0.
func (t *target) lastFinal(ctx context.Context, flag string, at event.Position) (event.Position, error) {
	tail, state, err := settle(ctx, t.Store, settlePatience)
	if err != nil {
		return 0, err
	}
	tail.Close()
	if at > state.Watermark {
		return 0, badInput(fmt.Sprintf("%s may be %d at most", flag, state.Watermark), "%s %d is beyond the watermark, position %d: what is there may still change", flag, at, state.Watermark)
	}
	if at == 0 {
		at = state.Watermark
	}
	return at, nil
}

// warnings is a log for what the sandbox itself has to say.
func (a *app) warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// replayProgress draws how far a replay is.
func replayProgress(line *progress, after, upTo event.Position) func(event.Position) {
	began := time.Now()
	return func(at event.Position) {
		line.draw(func() string {
			done := float64(at-after) / float64(max(upTo-after, 1))
			rate := float64(at-after) / max(time.Since(began).Seconds(), 1e-3)
			left := time.Duration(float64(upTo-at)/max(rate, 1e-3)*float64(time.Second)) + time.Second
			return fmt.Sprintf("position %d of %d, %.0f%%, %.0f positions/s, %s left", at, upTo, 100*done, rate, left.Truncate(time.Second))
		})
	}
}

// aboutModule names the file of a module that cannot be used: the new one is the one that nobody has tried yet.
func aboutModule(err error, file, declared string) error {
	var wrong *host.Error
	if errors.Is(err, host.ErrModule) && errors.As(err, &wrong) && file != declared {
		wrong.Subject = file
	}
	return err
}

func judgeDiff(r *host.DiffReport) error {
	switch documents, outcomes := len(r.Documents), r.OutcomesDiffer; {
	case documents == 0 && outcomes == 0:
		return nil
	case documents == 0:
		return failed("", "the documents are the same, but %s otherwise", plural(outcomes, "event")+" ends or emits")
	default:
		return failed("", "%s", differ(documents))
	}
}

func differ(n int) string {
	if n == 1 {
		return "1 document differs"
	}
	return fmt.Sprintf("%d documents differ", n)
}

// diffReport is what diff prints as JSON.
type diffReport struct {
	Before        string           `json:"before"` // digests
	After         string           `json:"after"`
	From          event.Position   `json:"from"`
	To            event.Position   `json:"to"`
	Events        int              `json:"events"`
	Same          int              `json:"same"` // documents
	Documents     []diffedDocument `json:"documents"`
	Outcomes      []diffedOutcome  `json:"outcomes"`       // the first 1000
	OutcomesTotal int              `json:"outcomes_total"` // events that end otherwise or emit something else
	FailedBefore  int              `json:"failed_before"`  // events
	FailedAfter   int              `json:"failed_after"`
}

type diffedDocument struct {
	Change     string          `json:"change"` // added, removed or changed
	Collection string          `json:"collection"`
	Key        string          `json:"key"`
	Before     json.RawMessage `json:"before,omitempty"`
	After      json.RawMessage `json:"after,omitempty"`
	Since      diffedEvent     `json:"since"` // the first event that made the difference
}

type diffedOutcome struct {
	What   string      `json:"what"` // outcome or emitted
	Event  diffedEvent `json:"event"`
	Before string      `json:"before"`
	After  string      `json:"after"`
}

type diffedEvent struct {
	Position event.Position `json:"position"`
	Type     string         `json:"type"`
	Stream   string         `json:"stream"`
	ID       string         `json:"id"`
}

func diffedBy(e host.ReplayedEvent) diffedEvent {
	return diffedEvent{e.Position, e.Type, e.Stream, e.ID}
}

func (e diffedEvent) String() string {
	return fmt.Sprintf("event %d (%s in %s)", e.Position, printable(e.Type), printable(e.Stream))
}

func reportDiff(d *host.DiffReport) *diffReport {
	r := &diffReport{Before: d.Before, After: d.After, From: d.From, To: d.To, Events: d.Events, Same: d.Same, Documents: []diffedDocument{}, Outcomes: []diffedOutcome{},
		OutcomesTotal: d.OutcomesDiffer, FailedBefore: d.FailuresBefore, FailedAfter: d.FailuresAfter}
	for i := range d.Documents {
		c := &d.Documents[i]
		r.Documents = append(r.Documents, diffedDocument{c.Change(), c.Collection, c.Key, c.Before, c.After, diffedBy(c.Since)})
	}
	for _, o := range d.Outcomes {
		what := "outcome"
		if o.Emitted {
			what = "emitted"
		}
		r.Outcomes = append(r.Outcomes, diffedOutcome{what, diffedBy(o.Event), o.Before, o.After})
	}
	return r
}

func (a *app) printDiff(d *host.DiffReport, limit int) error {
	r := reportDiff(d)
	if a.json {
		return writeJSON(a.out, r)
	}
	fmt.Fprintf(a.out, "positions %d to %d, %s: %s, %d the same\n", r.From, r.To, plural(r.Events, "event"), differ(len(r.Documents)), r.Same)
	for i, c := range r.Documents {
		if limit > 0 && i == limit {
			fmt.Fprintf(a.out, "\n… %d more: print all with --limit 0\n", len(r.Documents)-i)
			break
		}
		fmt.Fprintf(a.out, "\n%s %s/%s since %s\n", c.Change, printable(c.Collection), printable(c.Key), c.Since)
		writeSides(a.out, string(c.Before), string(c.After))
	}
	for i, o := range r.Outcomes {
		if limit > 0 && i == limit {
			fmt.Fprintf(a.out, "\n… and %s more like that: print all with --limit 0\n", plural(r.OutcomesTotal-i, "event"))
			break
		}
		what := "ends otherwise"
		if o.What == "emitted" {
			what = "emits something else"
		}
		fmt.Fprintf(a.out, "\n%s %s\n", o.Event, what)
		writeSides(a.out, o.Before, o.After)
	}
	return nil
}

// writeSides prints what was and what would be, shortened.
func writeSides(w io.Writer, before, after string) {
	const most = 400
	if before != "" {
		fmt.Fprintf(w, "  - %s\n", shorten(printable(before), most))
	}
	if after != "" {
		fmt.Fprintf(w, "  + %s\n", shorten(printable(after), most))
	}
}
