package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"eshost/host/event"
	"eshost/host/store"
)

// recovering is one call of recover.
type recovering struct {
	all, rebuild bool
	keepAfter    int64
	changed      func(flag string) bool
}

func (a *app) recoverCommand() *cobra.Command {
	var r recovering
	c := a.command(&cobra.Command{
		Use:   "recover [PLUGIN...]",
		Short: "Compare the checkpoints with the log, and take a log that was restored as it is",
		Long: `Each checkpoint remembers the event it stands at. recover lists the plugins whose checkpoint the log does not bear
out: the log was restored without the read models, or set back and written to since. Hosts refuse such a log, since
they would skip the events that have come in the place of others. It exits with 1 if there are any.

The best way out is to restore the database as a whole, so that events and read models are of one moment. Where that
cannot be done, name the plugins, or --all that are listed, and say what to do with each:

--rebuild empties the read model, and the plugin handles the log from its first event on. What it emits again is
recognized by its id and stored once.

--keep-after POSITION leaves the documents as they are, with what they know of the events that are gone, and the
plugin goes on after that position: for plugins that cannot do everything again. The last event that the restored log
had before anything was written to it is the right one.

Either way the plugin's failed and parked events, other generations, and data put in the place of events' after that
position go: they belong to the other log. Hosts may run meanwhile; whoever owns the plugin begins again.`,
		Example: `  eshost recover
  eshost recover balances --rebuild
  eshost recover --all --rebuild
  eshost recover mailer --keep-after 81234`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completePlugin(false),
	}, func(ctx context.Context, args []string) error { return a.recover(ctx, args, &r) })
	f := c.Flags()
	f.BoolVar(&r.all, "all", false, "every plugin whose checkpoint the log does not bear out")
	f.BoolVar(&r.rebuild, "rebuild", false, "empty the read model and handle the log from its first event on")
	f.Int64Var(&r.keepAfter, "keep-after", 0, "keep the documents and go on after this position")
	a.jsonFlag(c)
	r.changed = f.Changed
	return c
}

func (r *recovering) check(plugins []string) error {
	chosen := r.rebuild || r.changed("keep-after")
	switch {
	case len(plugins) > 0 && r.all:
		return badInput("leave one out", "plugins are named, and --all is there too")
	case r.rebuild && r.changed("keep-after"):
		return badInput("leave one out", "--rebuild and --keep-after do not go together")
	case r.keepAfter < 0:
		return badInput("such as --keep-after 81234", "--keep-after must be a position, is %d", r.keepAfter)
	case chosen && len(plugins) == 0 && !r.all:
		return badInput("name them, or all that are listed with --all", "no plugin is named")
	case !chosen && (len(plugins) > 0 || r.all):
		return badInput("add --rebuild, or --keep-after POSITION; eshost recover --help says what they do", "it is not said what to do")
	}
	return nil
}

// recoverReport is what recover prints as JSON.
type recoverReport struct {
	Diverged  []divergedReport  `json:"diverged"`
	Recovered []recoveredReport `json:"recovered,omitempty"`
}

type divergedReport struct {
	Plugin     string         `json:"plugin"`
	Partition  int            `json:"partition"`
	Checkpoint event.Position `json:"checkpoint"`
	Had        *markReport    `json:"had"`
	Has        *markReport    `json:"has"`
}

type markReport struct {
	Position event.Position `json:"position"`
	ID       string         `json:"id"`
}

type recoveredReport struct {
	Plugin       string         `json:"plugin"`
	After        event.Position `json:"after"`
	Kept         bool           `json:"kept"`
	Documents    int            `json:"documents_deleted"`
	Sequences    int            `json:"sequences_deleted"`
	Replacements int            `json:"replacements_deleted"`
}

func (a *app) recover(ctx context.Context, plugins []string, r *recovering) error {
	if err := r.check(plugins); err != nil {
		return err
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	diverged, err := t.Diverged(ctx)
	if err != nil {
		return err
	}
	report := recoverReport{Diverged: []divergedReport{}}
	for _, d := range diverged {
		report.Diverged = append(report.Diverged, divergedReport{d.Plugin, d.Partition, d.Checkpoint, reportMark(d.Had), reportMark(d.Has)})
		if r.all {
			plugins = append(plugins, d.Plugin)
		}
	}
	slices.Sort(plugins)
	for _, name := range slices.Compact(plugins) {
		if _, err := t.plugin(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range slices.Compact(plugins) {
		done, err := t.Recover(ctx, store.Recovery{Plugin: name, After: event.Position(r.keepAfter), Keep: !r.rebuild})
		if errors.Is(err, store.ErrInvalid) {
			return badInput("eshost events shows what there is", "%w", err)
		}
		if err != nil {
			return err
		}
		report.Recovered = append(report.Recovered, recoveredReport{name, done.Position, !r.rebuild, done.Documents, done.Sequences, done.Replacements})
	}
	if err := a.print(&report); err != nil {
		return err
	}
	if len(diverged) > 0 && len(report.Recovered) == 0 && !r.all {
		return failed("restore the whole database, or see: eshost recover --help", "the log does not bear out %d checkpoints", len(diverged))
	}
	return nil
}

func reportMark(m store.Mark) *markReport {
	if m == (store.Mark{}) {
		return nil
	}
	return &markReport{m.Position, m.ID}
}

func (a *app) print(r *recoverReport) error {
	if a.json {
		return writeJSON(a.out, r)
	}
	if len(r.Recovered) > 0 {
		return writeRecovered(a.out, r.Recovered)
	}
	if len(r.Diverged) == 0 {
		_, err := fmt.Fprintln(a.out, "the log bears out every checkpoint")
		return err
	}
	table := newTable(a.out)
	fmt.Fprintln(table, "PLUGIN\tPARTITION\tCHECKPOINT\tSTOOD AT\tNOW THERE IS")
	for _, d := range r.Diverged {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\n", printable(d.Plugin), d.Partition, d.Checkpoint, d.Had, d.Has)
	}
	return table.Flush()
}

func (m *markReport) String() string {
	if m == nil {
		return "no event"
	}
	return fmt.Sprintf("%s at %d", printable(shorten(m.ID, 40)), m.Position)
}

func writeRecovered(w io.Writer, all []recoveredReport) error {
	for _, r := range all {
		what := fmt.Sprintf("goes on after %d with the documents it has", r.After)
		if !r.Kept {
			what = fmt.Sprintf("begins at the log's first event; %d documents deleted", r.Documents)
		}
		if r.Sequences > 0 {
			what += fmt.Sprintf("; %d failed sequences forgotten", r.Sequences)
		}
		if r.Replacements > 0 {
			what += fmt.Sprintf("; %d edits of events forgotten", r.Replacements)
		}
		if _, err := fmt.Fprintf(w, "%s %s\n", printable(r.Plugin), what); err != nil {
			return err
		}
	}
	return nil
}
