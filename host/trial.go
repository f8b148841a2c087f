package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/plugin"
	"eshost/host/internal/trial"
)

// TrialOptions say how TryModule runs a module.
type TrialOptions struct {
	// Chaos runs the events again with instances that are thrown away and take turns, and compares.
	Chaos bool
	// Seed decides when that happens: one seed, the same run.
	Seed uint64
	// Logger gets what the sandbox itself has to say; what the module logs is in the report. Defaults to a silent one.
	Logger *slog.Logger
}

// What a trial is made of.
type (
	TrialOutcome    = trial.Outcome
	TrialChaos      = trial.ChaosResult
	TrialDifference = trial.Difference
)

// TrialReport is what a module made of some events.
type TrialReport struct {
	trial.Result
	Digest string
	// Skipped is how many events the plugin does not get, by their type.
	Skipped int
	// Logs is what the module logged, in order; LogsDropped is how many more lines there were.
	Logs        []TrialLog
	LogsDropped int
	// Chaos is nil unless it was asked for.
	Chaos *TrialChaos
}

// TrialLog is one line that a module logged.
type TrialLog struct {
	Position event.Position // of the event; 0 while an instance started
	Level    slog.Level
	Text     string
}

// Grants lists everything that a plugin's allow can have.
func Grants() []string { return plugin.Grants() }

// TryModule runs a plugin's module over events without a store, in the sandbox and by the rules of a host. It takes the
// plugin's module, events, order_by, partitions, allow, attempts, limits and config. It fails with ErrModule where a host would
// refuse the module; events that fail are part of the report.
func TryModule(ctx context.Context, conf config.Plugin, events []event.Event, o TrialOptions) (*TrialReport, error) {
	logs := &trialLogs{engine: o.Logger}
	if o.Logger == nil {
		logs.engine = slog.New(slog.DiscardHandler)
	}
	order, err := delivery.ParseOrder(string(conf.OrderBy))
	if err != nil {
		return nil, &Error{Subject: pluginSubject(conf.Name), Err: err}
	}
	options := engineOptions("", slog.New(logs))
	options.LogRate = maxTrialLogs // a second: what is dropped must not depend on the clock
	engine, err := plugin.NewEngine(ctx, options)
	if err != nil {
		return nil, &Error{Subject: "sandbox", Err: err}
	}
	p, err := loadPlugin(ctx, engine, conf)
	if err != nil {
		return nil, errors.Join(err, engine.Close(ctx))
	}
	report, err := try(ctx, p, wanted(events, conf.Events), logs, trial.Options{Key: order, Attempts: conf.Retry.Attempts, Partitioned: conf.Partitions > 1}, o)
	if report != nil {
		report.Skipped = len(events) - len(report.Outcomes)
	}
	if closing := errors.Join(p.module.Close(ctx), engine.Close(ctx)); err == nil && closing != nil {
		err = fmt.Errorf("close the sandbox: %w", closing)
	}
	return report, explainStart(conf.Module, err)
}

func try(ctx context.Context, p *hosted, events []event.Event, logs *trialLogs, how trial.Options, o TrialOptions) (*TrialReport, error) {
	m := trialModule{module{p.module, p.conf.Limits.Memory, &p.pool}}
	logs.keep = true
	result, err := trial.Run(ctx, m, events, how)
	logs.keep = false
	if err != nil {
		return nil, err
	}
	report := &TrialReport{Result: *result, Digest: p.module.Digest(), Logs: logs.lines, LogsDropped: logs.dropped}
	if o.Chaos {
		if report.Chaos, err = trial.Chaos(ctx, m, events, how, o.Seed); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// wanted leaves out what the plugin does not get.
func wanted(events []event.Event, types []string) []event.Event {
	filter := event.Filter{Types: types}
	var out []event.Event
	for i := range events {
		if filter.Match(&events[i]) {
			out = append(out, events[i])
		}
	}
	return out
}

// explainStart makes the failure of an instance's start one of this package's errors.
func explainStart(file string, err error) error {
	var pe *plugin.Error
	var failure *event.Failure
	if !errors.As(err, &pe) || !errors.As(err, &failure) {
		return err
	}
	wrong := fmt.Errorf("the module does not start: %s", failure.Message)
	if failure.Stack != "" {
		wrong = fmt.Errorf("%w\n%s", wrong, failure.Stack)
	}
	return &Error{Subject: file, Err: wrong, hint: "its start function, _initialize or eshost_init failed; a host could not run it either"}
}

// trialModule gives the sandbox the shape that package trial wants.
type trialModule struct{ module }

func (m trialModule) NewInstance(ctx context.Context) (trial.Instance, error) {
	in, err := m.module.NewInstance(ctx)
	if err != nil {
		return nil, err
	}
	return trialInstance{in.(*instance)}, nil
}

type trialInstance struct{ *instance }

func (i trialInstance) Handle(ctx context.Context, e *event.Event, attempt int, fx trial.Effects) error {
	return i.instance.Handle(ctx, e, attempt, fx)
}

// maxTrialLogs bounds what a module that floods its log takes of the host's memory.
const maxTrialLogs = 10_000

// trialLogs is the sandbox's log. It keeps what the module logs and passes on the rest.
type trialLogs struct {
	engine  *slog.Logger
	keep    bool
	lines   []TrialLog
	dropped int
}

func (l *trialLogs) Enabled(context.Context, slog.Level) bool { return true }

func (l *trialLogs) Handle(ctx context.Context, r slog.Record) error {
	if !l.engine.Enabled(ctx, r.Level) {
		return nil
	}
	return l.engine.Handler().Handle(ctx, r)
}

func (l *trialLogs) WithGroup(string) slog.Handler { return l }

// WithAttrs is called for the plugin's own logger, the one that names it.
func (l *trialLogs) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "plugin" {
			return guestLines{l}
		}
	}
	return l
}

// guestLines is the part of the sandbox's log that the module writes.
type guestLines struct{ *trialLogs }

func (g guestLines) WithAttrs([]slog.Attr) slog.Handler { return g }

func (g guestLines) Handle(_ context.Context, r slog.Record) error {
	switch {
	case !g.keep:
	case len(g.lines) == maxTrialLogs:
		g.dropped++
	default:
		line := TrialLog{Level: r.Level, Text: r.Message}
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "position" {
				line.Position = event.Position(a.Value.Int64())
			}
			return true
		})
		g.lines = append(g.lines, line)
	}
	return nil
}
