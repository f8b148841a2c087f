package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/config"
)

// trialRun says what to run over which events, and what must come of it.
type trialRun struct {
	module string
	events string
	expect string
	update bool
	chaos  bool
	seed   int64

	plugin       string // a section of hosts.toml
	types        []string
	set          []string
	memory, time string
	attempts     int
	partitioned  bool

	changed func(flag string) bool
}

func (a *app) testCommand() *cobra.Command {
	var r trialRun
	c := a.command(&cobra.Command{
		Use:   "test [MODULE]",
		Short: "Run a module over events without a database, and compare what comes of it",
		Long: `test runs a module over the events of a file in the sandbox of a host, with its read model in memory. It
prints the documents, the emitted events, the log, what failed and why, the fuel each event took and the
largest memory. Fuel is the same on every machine; only an event that runs out of its time is not.

The events are those that eshost append takes. Positions count from 1 and versions from 1 in each stream.
A missing id is derived from stream and version, a missing time is that of the event before or
2000-01-01T00:00:00Z, so that every run is the same. Emitted events are printed and not handled.

A failed event is tried again at once, as often as the plugin may (5 times unless --attempts or hosts.toml
says otherwise), and leaves no effect. Then the later events of its ordering key wait, others go on, and
the exit code is 1.

--expect compares documents, emitted events and failures with a file, and the exit code says whether they
agree: expected failures are fine. --update writes that file, one JSON object a line, to be reviewed and
committed. JSON is compared by value: neither white space nor the order of members counts. The log,
fuel and memory are not in the file, since a change of the toolchain changes them; nor are the ids of
emitted events.

--chaos runs the events again on several instances that are thrown away and take turns at random, as in a
host, and compares byte by byte: a handler that keeps state in memory passes without it. It prints its
seed, and --seed runs it the same way again.

--partitioned fails events as a plugin with partitions does: a handler reaches only documents whose key is
the first part of its event's ordering key, up to the first "/", or begins with that part and "/".

With --plugin everything else is as that section of hosts.toml declares it: module (unless MODULE is
given), events, order_by, partitions, allow, retry.attempts, limits and config. start is not looked at.
Flags go before the section. Without --plugin everything is allowed, and the plugin is named like the file.`,
		Example: `  eshost test balances.wasm --events events.ndjson
  eshost test balances.wasm --events events.ndjson --expect expected.ndjson --update
  eshost test balances.wasm --events events.ndjson --expect expected.ndjson --chaos
  eshost test --plugin balances --events events.ndjson --set currency=USD
  eshost test balances.wasm --events events.ndjson --types Deposited,Withdrawn --json | jq .fuel`,
		ValidArgsFunction: completeModule,
	}, func(ctx context.Context, args []string) error {
		r.module = strings.Join(args, "") // one or none
		return a.test(ctx, &r)
	})
	f := c.Flags()
	f.StringVar(&r.events, "events", "", "file of events, or - for standard input (required)")
	f.StringVar(&r.expect, "expect", "", "file to compare with")
	f.BoolVar(&r.update, "update", false, "write the file of --expect instead of comparing with it")
	f.BoolVar(&r.chaos, "chaos", false, "run again on instances that come and go, and compare")
	f.Int64Var(&r.seed, "seed", 0, "what --chaos does when (default a random number)")
	f.StringVar(&r.plugin, "plugin", "", "plugin of hosts.toml to take everything else from")
	f.StringSliceVar(&r.types, "types", nil, "only events of these types, separated by commas")
	f.StringArrayVar(&r.set, "set", nil, "key=value that the module reads as its configuration; may be given more than once")
	f.StringVar(&r.memory, "memory", "", `limits.memory, such as "64MiB" (default "32MiB")`)
	f.StringVar(&r.time, "time", "", `limits.time, such as "1s" (default "250ms")`)
	f.BoolVar(&r.partitioned, "partitioned", false, "hold the handler to what it may do with partitions")
	f.IntVar(&r.attempts, "attempts", 5, "how often an event is tried, 1 to 1000")
	a.jsonFlag(c)
	r.changed = f.Changed
	if err := errors.Join(c.RegisterFlagCompletionFunc("plugin", a.completeDeclared), c.MarkFlagFilename("events"), c.MarkFlagFilename("expect")); err != nil {
		panic(err) // the flags are defined above
	}
	return c
}

// completeDeclared completes the plugins of hosts.toml.
func (a *app) completeDeclared(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return a.declaredPlugins(), cobra.ShellCompDirectiveNoFileComp
}

// declaredPlugins are the names of the plugins of hosts.toml, if there is one.
func (a *app) declaredPlugins() []string {
	conf, wrong, err := a.sections()
	if err != nil {
		return nil
	}
	return (&target{conf: conf, wrong: wrong}).withDeclared(nil)
}

func (a *app) test(ctx context.Context, r *trialRun) error {
	if err := a.checkTest(r); err != nil {
		return err
	}
	conf, err := a.trialPlugin(r)
	if err != nil {
		return err
	}
	expected, err := r.readExpected()
	if err != nil {
		return err
	}
	events, err := a.trialEvents(r.events)
	if err != nil {
		return err
	}
	if err := checkTypes(r.events, events, conf.Events); err != nil {
		return err
	}
	if r.chaos && !r.changed("seed") {
		r.seed = int64(rand.Uint32())
	}
	tried, err := host.TryModule(ctx, conf, events, host.TrialOptions{
		Chaos:  r.chaos,
		Seed:   uint64(r.seed),
		Logger: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return r.aboutModule(err)
	}
	report := reportTrial(conf, tried)
	verdict := r.judge(report, expected)
	return errors.Join(a.printTrial(report), verdict)
}

// aboutModule says of a module that no section declares what check would say.
func (r *trialRun) aboutModule(err error) error {
	var wrong *host.Error
	if r.plugin == "" && errors.Is(err, host.ErrModule) && errors.As(err, &wrong) {
		wrong.Subject = r.module
	}
	return err
}

func (a *app) checkTest(r *trialRun) error {
	switch {
	case a.storeURL != "":
		return badInput(helpHint("test"), "test uses no database: leave out --store")
	case a.configFile != "" && r.plugin == "":
		return badInput("name a plugin of that file with --plugin, or leave out --config", "test uses hosts.toml only with --plugin")
	case r.module == "" && r.plugin == "":
		return badInput(helpHint("test"), "test needs MODULE, or --plugin NAME")
	case r.events == "":
		return badInput("such as --events events.ndjson", "test needs --events")
	case r.update && r.expect == "":
		return badInput("such as --expect expected.ndjson --update", "--update needs --expect, which names the file to write")
	case r.changed("seed") && !r.chaos:
		return badInput("add --chaos, or leave out --seed", "--seed plays no part without --chaos")
	case r.seed < 0:
		return badInput(helpHint("test"), "--seed must not be negative, is %d", r.seed)
	case r.changed("types") && (len(r.types) == 0 || slices.Contains(r.types, "")):
		return badInput("such as --types Deposited,Withdrawn, or leave it out for all", "--types has an empty name in it")
	case r.attempts < 1 || r.attempts > 1000:
		return badInput(helpHint("test"), "--attempts must be a number from 1 to 1000, is %d", r.attempts)
	}
	return nil
}

// trialPlugin is the plugin as hosts.toml or the defaults have it, with what the flags say.
func (a *app) trialPlugin(r *trialRun) (config.Plugin, error) {
	var p config.Plugin
	if r.plugin == "" {
		p = config.NewPlugin(strings.TrimSuffix(filepath.Base(r.module), ".wasm"), r.module)
		p.Allow = host.Grants()
	} else {
		declared, err := a.declaredPlugin(r.plugin)
		if err != nil {
			return p, err
		}
		p = *declared
	}
	if r.module != "" {
		p.Module = r.module
	}
	if err := checkModuleFile(p.Module, r.module == ""); err != nil {
		return p, err
	}
	return p, r.apply(&p)
}

// checkModuleFile says what is wrong with the path of a module. A declared one is hosts.toml's to correct.
func checkModuleFile(file string, declared bool) error {
	hint := "name the path of a .wasm file"
	if declared {
		hint = "build it, or correct its module in hosts.toml"
	}
	switch info, err := os.Stat(file); {
	case errors.Is(err, fs.ErrNotExist):
		return missing(hint, "there is no module %q", file)
	case err != nil:
		return fmt.Errorf("read the module: %w", err)
	case info.IsDir():
		return badInput(hint, "%s is a folder", file)
	}
	return nil
}

// apply puts what the flags say in the place of what is declared.
func (r *trialRun) apply(p *config.Plugin) (err error) {
	if r.changed("attempts") {
		p.Retry.Attempts = r.attempts
	}
	if r.changed("types") {
		p.Events = r.types
	}
	if r.partitioned && p.OrderBy == config.OrderByAll {
		return badInput("leave out --partitioned, or order the plugin's events by stream or metadata", `--partitioned has no use with order_by = "all": a plugin whose events have one ordering key has no partitions`)
	}
	if r.partitioned {
		p.Partitions = max(p.Partitions, 2)
	}
	if r.memory != "" {
		if p.Limits.Memory, err = config.ParseMemory(r.memory); err != nil {
			return badInput(helpHint("test"), "--memory %w", err)
		}
	}
	if r.time != "" {
		if p.Limits.Time, err = config.ParseTime(r.time); err != nil {
			return badInput(helpHint("test"), "--time %w", err)
		}
	}
	for _, pair := range r.set {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return badInput("such as --set currency=EUR", "--set must be key=value, is %q", pair)
		}
		p.Config[key] = value
	}
	return nil
}

// judge compares the report with what was expected, or writes that. Its error is the exit code's.
func (r *trialRun) judge(report *trialReport, expected *expectation) error {
	if c := report.Chaos; c != nil && c.Difference != nil {
		written := ""
		if r.update {
			written = "; " + r.expect + " was not written"
		}
		return failed("the handler keeps something in linear memory from one event to the next, such as a global variable: keep in documents what must last\n"+
			"or it writes in an order that depends on memory, such as that of a map: sort it\n"+
			fmt.Sprintf("the same run again: --chaos --seed %d", c.Seed),
			"what comes of event %d depends on the instance that handles it%s", c.Difference.Position, written)
	}
	if r.update {
		return report.update(r.expect)
	}
	if expected != nil {
		return report.compare(r.expect, expected)
	}
	if n := len(report.Failures); n > 0 {
		return failed("mend the handler; if the failures are right, have them expected: --expect FILE --update", "%d of %s failed", n, plural(report.Events.Given, "event"))
	}
	return nil
}
