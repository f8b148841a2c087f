package abitest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"eshost/host/event"
)

// Options say how Check looks at a module.
type Options struct {
	// Probe also holds the module to README.md's table of what a probe does for which event.
	Probe bool
	// Events are some of those the module is made for. Without them it gets events of the types that its manifest names.
	Events []event.Event
	// Config is the plugin's settings, where the module needs some to start.
	Config map[string]string
	// Time is how long one call of the module may take in the kit's interpreter. Defaults to 10 seconds.
	Time time.Duration
}

// Outcome is how a check ended.
type Outcome string

const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// Result is what came of one check.
type Result struct {
	Check   string  `json:"check"`
	Outcome Outcome `json:"outcome"`
	// Sentence of abi/ABI.md, word for word, that the check holds the module to; of README.md where it is the probe's.
	Sentence string `json:"sentence"`
	Expected string `json:"expected,omitempty"` // of a failed check
	Got      string `json:"got,omitempty"`
	Reason   string `json:"reason,omitempty"` // why a check was skipped
}

// Report is what came of all checks, in the order in which they were made.
type Report struct {
	Results []Result `json:"results"`
	Passed  int      `json:"passed"`
	Failed  int      `json:"failed"`
	Skipped int      `json:"skipped"`
}

// OK reports that no check failed.
func (r *Report) OK() bool { return r.Failed == 0 }

func (r *Report) add(result Result) {
	r.Results = append(r.Results, result)
	switch result.Outcome {
	case Passed:
		r.Passed++
	case Failed:
		r.Failed++
	case Skipped:
		r.Skipped++
	}
}

// check is one question to a module. ask returns nil, a *difference, a skip, or any other error, which fails the check too.
type check struct {
	name, sentence string
	// needed is set where nothing that follows can be asked of a module that fails it.
	needed bool
	ask    func(*kit) error
}

// difference is why a check fails.
type difference struct{ expected, got string }

func (d *difference) Error() string { return "expected " + d.expected + ", got " + d.got }

func differs(expected, format string, args ...any) error {
	return &difference{expected, shorten(fmt.Sprintf(format, args...))}
}

// skip is why a check does not apply.
type skip string

func (s skip) Error() string { return string(s) }

// kit is a module under check.
type kit struct {
	options Options
	wasm    []byte
	module  *Module // nil before it compiled
	samples []event.Event
}

// Check holds a module to the ABI. It never fails itself: whatever is wrong with the module is in the report.
func Check(ctx context.Context, wasm []byte, o Options) *Report {
	if o.Time <= 0 {
		o.Time = 10 * time.Second
	}
	k := &kit{options: o, wasm: wasm}
	checks := slices.Concat(shapeChecks(), startChecks(), eventChecks())
	if o.Probe {
		checks = append(checks, probeChecks()...)
	}
	report, broken := &Report{}, ""
	for _, c := range checks {
		result := Result{Check: c.name, Sentence: c.sentence}
		if broken != "" {
			result.Outcome, result.Reason = Skipped, broken
		} else if result.judge(c.ask(k)); result.Outcome == Failed && c.needed {
			broken = "the module failed: " + c.name
		}
		if k.module != nil && k.module.late && broken == "" {
			broken = "the module does not return"
			result.judge(differs(fmt.Sprintf("a call that returns within %v", o.Time), "one that was still running"))
		}
		report.add(result)
	}
	if k.module != nil && !k.module.stuck {
		_ = k.module.runtime.Close(ctx) // an interpreter holds nothing but memory
	}
	return report
}

func (r *Result) judge(err error) {
	var d *difference
	var s skip
	switch {
	case err == nil:
		r.Outcome = Passed
	case errors.As(err, &s):
		r.Outcome, r.Reason = Skipped, string(s)
	case errors.As(err, &d):
		r.Outcome, r.Expected, r.Got = Failed, d.expected, d.got
	default:
		r.Outcome, r.Expected, r.Got = Failed, "no error", shorten(err.Error())
	}
}

// Test makes a subtest of each check.
func Test(t *testing.T, wasm []byte, o Options) {
	t.Helper()
	for _, r := range Check(t.Context(), wasm, o).Results {
		t.Run(r.Check, func(t *testing.T) {
			switch r.Outcome {
			case Skipped:
				t.Skip(r.Reason)
			case Failed:
				t.Errorf("abi/ABI.md says: %s\nexpected: %s\n     got: %s", r.Sentence, r.Expected, r.Got)
			}
		})
	}
}

// shorten cuts what may be a megabyte to what a person reads.
func shorten(text string) string {
	const limit = 400
	if len(text) <= limit {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:limit], len(text))
}
