package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/config"
	"eshost/host/event"
)

// projectRun is one call of project.
type projectRun struct {
	module, plugin, until string
	types                 []string
	collection, key       string
	args                  int // of these two
}

func (a *app) projectCommand() *cobra.Command {
	var r projectRun
	c := a.command(&cobra.Command{
		Use:   "project [MODULE] [COLLECTION] [KEY]",
		Short: "Print a read model as it was at a time or a position",
		Long: `project runs a module over the log up to a time or a position, in memory, and prints the documents as they were then (or
would have been, with another module), one JSON object a line, by collection and key. With COLLECTION and KEY it prints
that document as it was stored, with --json as {"key":…,"data":…}.

--until takes a position, or a time such as 2026-01-31T12:00:00Z. A time stands for the position of the last event whose
own time is that or earlier: everything up to there is handled, in order of positions. A producer may date its events,
and times then need not rise with positions: project says how many events were handled that are dated later.

With --plugin everything is as that section of hosts.toml declares it: events, order_by, allow, retry.attempts, limits and
config, and the data that somebody put in the place of an event's; MODULE may be left out for the module that the plugin
runs now. A MODULE given with --plugin must end in .wasm. Without --plugin everything is allowed and --types selects events.

Nothing is stored, and what handlers emit is thrown away. An event that fails is left out, as are the later ones of its
key: project says so. Memory holds the read model, nothing of the log.`,
		Example: `  eshost project --plugin balances --until 2026-01-31T23:59:59Z balances acc-ada
  eshost project balances.wasm --until 1204 --types AccountOpened,Deposited,Withdrawn
  eshost project balances-v2.wasm --plugin balances --until 1204`,
		ValidArgsFunction: completeModule,
	}, func(ctx context.Context, args []string) error {
		if err := r.take(args); err != nil {
			return err
		}
		return a.project(ctx, &r)
	})
	f := c.Flags()
	f.StringVar(&r.until, "until", "", "position of the last event, or the time of it (required)")
	f.StringVar(&r.plugin, "plugin", "", "plugin of hosts.toml to take everything else from")
	f.StringSliceVar(&r.types, "types", nil, "only events of these types, separated by commas")
	a.jsonFlag(c)
	if err := c.RegisterFlagCompletionFunc("plugin", a.completeDeclared); err != nil {
		panic(err) // the flag is defined above
	}
	return c
}

// take sorts the arguments.
func (r *projectRun) take(args []string) error {
	if len(args) > 0 && (r.plugin == "" || strings.HasSuffix(args[0], ".wasm")) {
		r.module, args = args[0], args[1:]
	}
	switch {
	case r.module == "" && r.plugin == "":
		return badInput(helpHint("project"), "project needs MODULE, or --plugin NAME")
	case r.until == "":
		return badInput("such as --until 1204 or --until 2026-01-31T12:00:00Z", "project needs --until")
	case len(args) > 2:
		return badInput("a module's name ends in .wasm", "project does not take %q", args[2])
	case r.plugin != "" && len(r.types) > 0:
		return badInput("leave out one of them", "--types is the section's events with --plugin")
	case slices.Contains(r.types, ""):
		return badInput("such as --types Deposited,Withdrawn, or leave it out for all", "--types has an empty name in it")
	}
	r.args = len(args)
	if len(args) > 0 {
		r.collection = args[0]
	}
	if len(args) > 1 {
		r.key = args[1]
	}
	return nil
}

func (a *app) project(ctx context.Context, r *projectRun) error {
	conf, err := a.projected(r)
	if err != nil {
		return err
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	o := host.ReplayOptions{Logger: a.warnings()}
	if o.UpTo, err = a.until(ctx, t, r.until); err != nil {
		return err
	}
	if o.After, err = host.BuildStart(ctx, t, conf); err != nil {
		return err
	}
	wasm, err := a.projectedModule(ctx, t, conf, r)
	if err != nil {
		return err
	}
	line := newProgress(a.err, 0)
	o.Progress = replayProgress(line, o.After, o.UpTo)
	p, err := host.Project(ctx, t, *conf, wasm, o)
	line.clear()
	if err != nil {
		return aboutModule(err, r.module, "")
	}
	if p.Failures > 0 {
		first := p.Failed[0]
		fmt.Fprintf(a.err, "eshost: %s failed and %d wait behind, so the documents are without them; the first is event %d (%s in %s): %s\n",
			plural(p.Failures, "event"), p.Waiting, first.Position, printable(first.Type), printable(first.Stream), printable(first.Failure.Message))
	}
	return a.printProjection(p, r)
}

// projected is the section of hosts.toml, or one for a module alone.
func (a *app) projected(r *projectRun) (*config.Plugin, error) {
	if r.module != "" {
		if err := checkModuleFile(r.module, false); err != nil {
			return nil, err
		}
	}
	if r.plugin != "" {
		return a.declaredPlugin(r.plugin)
	}
	p := config.NewPlugin(strings.TrimSuffix(filepath.Base(r.module), ".wasm"), r.module)
	p.Allow, p.Events = host.Grants(), r.types
	return &p, nil
}

func (a *app) projectedModule(ctx context.Context, t *target, conf *config.Plugin, r *projectRun) ([]byte, error) {
	if r.module != "" {
		return host.ReadModule(r.module)
	}
	wasm, exact, err := host.LiveModule(ctx, t, conf)
	if err == nil && !exact {
		fmt.Fprintf(a.err, "eshost: the module that made the live read model last is not at hand; using %s\n", conf.Module)
	}
	return wasm, err
}

// until is the position of the last event of a time or before, or the position itself.
func (a *app) until(ctx context.Context, t *target, text string) (event.Position, error) {
	const hint = "such as --until 1204 or --until 2026-01-31T12:00:00Z"
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 1 {
			return 0, badInput(hint, "--until must be a position, 1 or more, is %d", n)
		}
		return t.lastFinal(ctx, "--until", event.Position(n))
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, badInput(hint, "--until must be a position or a time with its zone, is %q", text)
	}
	final, err := t.lastFinal(ctx, "--until", 0)
	if err != nil {
		return 0, err
	}
	last, later, err := t.PositionAt(ctx, at, final)
	switch {
	case err != nil:
		return 0, fmt.Errorf("find the position of that time: %w", err)
	case last == 0:
		fmt.Fprintf(a.err, "eshost: no event is dated %s or earlier\n", text)
	case later > 0:
		are := "are dated later and are handled too"
		if later == 1 {
			are = "is dated later and is handled too"
		}
		fmt.Fprintf(a.err, "eshost: of the events up to position %d, the last one dated %s or earlier, %d %s\n", last, text, later, are)
	}
	return last, nil
}

func (a *app) printProjection(p *host.Projection, r *projectRun) error {
	collections := make(map[string]bool)
	for i := range p.Documents {
		d := &p.Documents[i]
		collections[d.Collection] = true
		switch {
		case r.args > 0 && d.Collection != r.collection, r.args > 1 && d.Key != r.key:
		case r.args == 0:
			if err := a.writeWholeDocument(d); err != nil {
				return err
			}
		case r.args == 2 && !a.json:
			_, err := fmt.Fprintf(a.out, "%s\n", d.Data)
			return err
		default:
			if err := a.writeDocument(*d); err != nil || r.args == 2 {
				return err
			}
		}
	}
	if r.args == 2 {
		return failed("", "there was no document %q in collection %q at position %d", r.key, r.collection, p.Position)
	}
	if r.args == 1 && !collections[r.collection] {
		fmt.Fprintf(a.err, "eshost: there were no documents in collection %q at position %d\n", r.collection, p.Position)
	}
	return nil
}

// writeWholeDocument prints a document with its collection.
func (a *app) writeWholeDocument(d *event.Document) error {
	var data bytes.Buffer // a line holds no line ends
	if err := json.Compact(&data, d.Data); err != nil {
		return errors.Join(fmt.Errorf("document %q is not JSON", d.Key), err)
	}
	return writeJSON(a.out, struct {
		Collection string          `json:"collection"`
		Key        string          `json:"key"`
		Data       json.RawMessage `json:"data"`
	}{d.Collection, d.Key, data.Bytes()})
}
