package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
)

func (a *app) parkedCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "parked",
		Short: "Look at events that could not be handled; retry, skip or edit them",
		Long: `An event whose handler fails holds back the later events of its ordering key: its sequence. It is tried again
with growing pauses and, after the last attempt or a refusal, parked: it waits for a person. Other keys go on.

list and show read the database. retry, skip and edit ask whichever host owns the plugin, from any machine that
reaches the database; while no host does, the request stays pending and is carried out when one starts.`,
		Example: `  eshost parked list balances
  eshost parked show balances acc-ada
  eshost parked retry balances --all
  eshost parked skip balances acc-ada --why "a test event, ticket 4711"
  eshost parked edit balances acc-ada --data mended.json --why "the amount was text, ticket 4711"`,
		ValidArgsFunction: completeNothing,
	}
	c.AddCommand(a.parkedListCommand(), a.parkedShowCommand(), a.parkedRetryCommand(), a.parkedSkipCommand(), a.parkedEditCommand(), a.parkedLogCommand())
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(_ *cobra.Command, args []string) error {
		names := commandNames(c)
		if len(args) == 0 {
			return badInput(helpHint("parked"), "parked needs one of %s", strings.Join(names, ", "))
		}
		return badInput(suggestion(args[0], names, helpHint("parked")), "unknown command \"parked %s\"", printable(args[0]))
	}
	return c
}

func (a *app) parkedListCommand() *cobra.Command {
	var o store.SequenceOptions
	var state string
	var after int64
	c := a.command(&cobra.Command{
		Use:   "list PLUGIN",
		Short: "List a plugin's sequences that wait for a retry or a person",
		Long: `list prints a plugin's sequences in order of their failed events: the key, the failed event's position, how
many events wait (the failed one included) and the error. Those that are parked wait for a person.`,
		Example: `  eshost parked list balances
  eshost parked list balances --state parked --limit 0 --json`,
		ValidArgsFunction: a.completePlugin(false),
	}, func(ctx context.Context, args []string) error {
		o.State, o.After = store.SequenceState(state), event.Position(after)
		return a.parkedList(ctx, args[0], o)
	})
	c.Flags().StringVar(&state, "state", "", "only sequences that are parked, or that are retrying")
	c.Flags().Int64Var(&after, "after", 0, "only sequences whose failed event is after this position")
	c.Flags().IntVar(&o.Limit, "limit", 100, "most sequences to print; 0 for all")
	a.jsonFlag(c)
	return c
}

func (a *app) parkedList(ctx context.Context, plugin string, o store.SequenceOptions) error {
	if o.State != "" && o.State != store.Parked && o.State != store.Retrying {
		return badInput("leave it out for both", "--state must be parked or retrying, is %q", o.State)
	}
	if o.Limit < 0 || o.After < 0 {
		return badInput(helpHint("parked list"), "--after and --limit must not be negative")
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	if _, err := t.plugin(ctx, plugin); err != nil {
		return err
	}
	all, err := listSequences(ctx, t, plugin, o)
	if err != nil {
		return err
	}
	if a.json {
		return writeJSON(a.out, all)
	}
	if len(all.Sequences) == 0 {
		fmt.Fprintf(a.err, "eshost: plugin %q has no such sequences: nothing waits\n", plugin)
		return nil
	}
	if err := writeSequences(a.out, all.Sequences); err != nil {
		return err
	}
	if all.Next != 0 {
		fmt.Fprintf(a.err, "eshost: more sequences follow\nhint: go on with --after %d, or print all with --limit 0\n", all.Next)
	}
	return nil
}

// listSequences is a page of a plugin's sequences, or all of them for a limit of 0.
func listSequences(ctx context.Context, t *target, plugin string, o store.SequenceOptions) (*host.ParkedPage, error) {
	const page = 500
	limit := o.Limit
	o.Limit = cmp.Or(limit, page)
	all, err := host.ListParked(ctx, t, plugin, o)
	for err == nil && limit == 0 && all.Next != 0 {
		var more *host.ParkedPage
		o.After = all.Next
		if more, err = host.ListParked(ctx, t, plugin, o); err == nil {
			all.Sequences, all.Next = append(all.Sequences, more.Sequences...), more.Next
		}
	}
	return all, err
}

func writeSequences(w io.Writer, list []host.ParkedSequence) error {
	table := newTable(w)
	fmt.Fprintln(table, "KEY\tSTATE\tPOSITION\tATTEMPTS\tWAITING\tSINCE\tNEXT\tERROR")
	for i := range list {
		q := &list[i]
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", shorten(printable(q.Key), 60), q.State, q.Position, q.Attempts, q.Waiting,
			q.Since.Format(time.RFC3339), nextAttempt(q), shorten(printable(failureOf(q)), 80))
	}
	return table.Flush()
}

func nextAttempt(q *host.ParkedSequence) string {
	if q.NextAttempt == nil {
		return "-"
	}
	return q.NextAttempt.Format(time.RFC3339)
}

// failureOf is why a sequence's first event is not handled.
func failureOf(q *host.ParkedSequence) string {
	if q.Kind == "" {
		return "it waits for its turn"
	}
	return q.Kind + ": " + q.Error
}

func (a *app) parkedShowCommand() *cobra.Command {
	var behind int
	c := a.command(&cobra.Command{
		Use:   "show PLUGIN KEY",
		Short: "Show one sequence: its failed event, the error and what waits behind",
		Long: `show prints the failed event with its data and metadata, the error with the stack, the digest of the module that
failed, how often and when it is tried, the first events that wait behind it, and what was asked about it.`,
		Example: `  eshost parked show balances acc-ada
  eshost parked show balances acc-ada --json | jq .event.data > mended.json`,
		ValidArgsFunction: a.completeSequence,
	}, func(ctx context.Context, args []string) error { return a.parkedShow(ctx, args[0], args[1], behind) })
	c.Flags().IntVar(&behind, "behind", 10, "most events to show of those that wait behind")
	a.jsonFlag(c)
	return c
}

func (a *app) parkedShow(ctx context.Context, plugin, key string, behind int) error {
	if behind < 0 || behind > 10_000 {
		return badInput(helpHint("parked show"), "--behind must be from 0 to 10000, is %d", behind)
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	if _, err := t.plugin(ctx, plugin); err != nil {
		return err
	}
	d, err := host.ShowParked(ctx, t, plugin, key, behind)
	if errors.Is(err, store.ErrNotFound) {
		return t.noSequence(ctx, plugin, key)
	}
	if err != nil {
		return err
	}
	if a.json {
		return writeJSON(a.out, d)
	}
	return writeParked(a.out, d)
}

// noSequence explains a key under which nothing waits.
func (t *target) noSequence(ctx context.Context, plugin, key string) error {
	var keys []string
	list, err := listSequences(ctx, t, plugin, store.SequenceOptions{Limit: 1000})
	if err != nil {
		return err
	}
	for i := range list.Sequences {
		keys = append(keys, list.Sequences[i].Key)
	}
	hint := "nothing waits in this plugin"
	if len(keys) > 0 {
		hint = suggestion(key, keys, "list the keys: eshost parked list "+plugin)
	}
	return failed(hint, "no event of key %q waits in plugin %q", key, plugin)
}

// writeParked prints a sequence for people.
func writeParked(w io.Writer, d *host.ParkedDetail) error {
	var e struct {
		Stream      string          `json:"stream"`
		StreamType  string          `json:"stream_type"`
		Version     int64           `json:"version"`
		ID          string          `json:"id"`
		Type        string          `json:"type"`
		Data        json.RawMessage `json:"data"`
		Base64      []byte          `json:"data_base64"`
		Metadata    json.RawMessage `json:"metadata"`
		ContentType string          `json:"content_type"`
		Time        time.Time       `json:"time"`
	}
	if err := json.Unmarshal(d.Event, &e); err != nil {
		return fmt.Errorf("read event %d: %w", d.Position, err)
	}
	table := newTable(w)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("plugin", "%s", d.Plugin)
	line("key", "%s", d.Key)
	line("state", "%s since %s, %s", d.State, d.Since.Format(time.RFC3339), plural(d.Attempts, "attempt"))
	if d.NextAttempt != nil {
		line("next", "%s", d.NextAttempt.Format(time.RFC3339))
	}
	line("error", "%s", failureOf(&d.ParkedSequence))
	name := "stack"
	for frame := range strings.Lines(d.Stack) {
		line(name, "%s", strings.TrimSuffix(frame, "\n"))
		name = ""
	}
	line("module", "%s", d.Digest)
	line("event", "position %d, version %d of stream %s", d.Position, e.Version, e.Stream)
	if e.StreamType != "" {
		line("stream type", "%s", e.StreamType)
	}
	line("type", "%s", e.Type)
	line("id", "%s", e.ID)
	line("time", "%s", e.Time.Format(time.RFC3339Nano))
	line("data", "%s", shortData(cmp.Or(string(e.Data), string(e.Base64))))
	line("", "%s, %s", plural(max(len(e.Data), len(e.Base64)), "byte"), e.ContentType)
	line("metadata", "%s", shortData(string(e.Metadata)))
	if r := d.Replaced; r != nil {
		line("replaced by", "%s", shortData(cmp.Or(string(r.Data), string(r.Base64))))
		line("", "%s, by %s at %s: %s", plural(r.Size, "byte"), r.Who, r.At.Format(time.RFC3339), r.Why)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	writeBehind(w, d)
	if len(d.Requests) > 0 {
		fmt.Fprintln(w, "\nasked about it:")
		return writeRequests(w, d.Requests)
	}
	return nil
}

// shortData is what of an event's data is shown in a terminal.
func shortData(data string) string {
	const most = 4 << 10
	if len(data) <= most {
		return data
	}
	return strings.ToValidUTF8(data[:most], "") + "… (all of it with --json)"
}

func writeBehind(w io.Writer, d *host.ParkedDetail) {
	fmt.Fprintf(w, "\n%s behind it", eventsWait(d.Waiting-1))
	if len(d.Behind) == 0 {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintln(w, ":")
	table := newTable(w)
	for _, e := range d.Behind {
		fmt.Fprintf(table, "  %d\t%s\t%s\t%s\t%s\n", e.Position, printable(e.Type), printable(e.Stream), printable(e.ID), e.Time.Format(time.RFC3339))
	}
	if more := d.Waiting - 1 - len(d.Behind); more > 0 {
		fmt.Fprintf(table, "  and %d more\n", more)
	}
	_ = table.Flush() // an error stays for the next write
}

func eventsWait(n int) string {
	if n == 1 {
		return "1 event waits"
	}
	return fmt.Sprintf("%d events wait", n)
}

func (a *app) parkedLogCommand() *cobra.Command {
	var limit int
	c := a.command(&cobra.Command{
		Use:   "log PLUGIN",
		Short: "Show what people have asked of a plugin, and what became of it",
		Long: `log prints the newest requests of a plugin first: retries, skips, edits, pauses and what else was asked, with who,
why, and the answer. Those that are pending wait for a host that owns the plugin.`,
		Example:           `  eshost parked log balances --limit 10`,
		ValidArgsFunction: a.completePlugin(false),
	}, func(ctx context.Context, args []string) error { return a.parkedLog(ctx, args[0], limit) })
	c.Flags().IntVar(&limit, "limit", 50, "most requests to print")
	a.jsonFlag(c)
	return c
}

func (a *app) parkedLog(ctx context.Context, plugin string, limit int) error {
	if limit < 1 {
		return badInput(helpHint("parked log"), "--limit must be at least 1, is %d", limit)
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	if _, err := t.plugin(ctx, plugin); err != nil {
		return err
	}
	list, err := t.RequestLog(ctx, plugin, limit)
	if err != nil {
		return err
	}
	requests := []host.Request{}
	for i := range list {
		requests = append(requests, host.ShowRequest(&list[i]))
	}
	if a.json {
		return writeJSON(a.out, struct {
			Plugin   string         `json:"plugin"`
			Requests []host.Request `json:"requests"`
		}{plugin, requests})
	}
	if len(requests) == 0 {
		fmt.Fprintf(a.err, "eshost: nobody has asked anything of plugin %q\n", plugin)
		return nil
	}
	return writeRequests(a.out, requests)
}

func writeRequests(w io.Writer, list []host.Request) error {
	table := newTable(w)
	fmt.Fprintln(table, "ID\tASKED\tWHO\tACTION\tKEY\tPOSITION\tSTATE\tANSWER\tWHY")
	for i := range list {
		r := &list[i]
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", r.ID, r.RequestedAt.Format(time.RFC3339), printable(r.Who), r.Action,
			shorten(printable(cmp.Or(r.Key, "-")), 40), r.Position, r.State, printable(cmp.Or(r.Answer, "-")), printable(cmp.Or(r.Why, "-")))
	}
	return table.Flush()
}
