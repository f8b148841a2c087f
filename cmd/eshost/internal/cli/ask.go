package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
)

// asking is what the commands that ask for something have in common.
type asking struct {
	who, why string
	position int64
	wait     time.Duration
	waits    func() bool // reports whether --wait was given
}

func (q *asking) flags(c *cobra.Command, why string) {
	c.Flags().StringVar(&q.who, "who", "", "who asks (default: the user of the operating system)")
	c.Flags().StringVar(&q.why, "why", "", why)
	c.Flags().DurationVar(&q.wait, "wait", 10*time.Second, "how long to wait for the plugin's host to do it")
	q.waits = func() bool { return c.Flags().Changed("wait") }
}

func (q *asking) positionFlag(c *cobra.Command) {
	c.Flags().Int64Var(&q.position, "position", 0, "position of the failed event; nothing is done if it is another by then (default: the one that fails now)")
}

func (a *app) parkedRetryCommand() *cobra.Command {
	var q asking
	var all bool
	c := a.command(&cobra.Command{
		Use:   "retry PLUGIN [KEY]",
		Short: "Try the failed event of a sequence, or of all, again at once",
		Long: `retry has the failed event tried again at once, its attempts counted anew. If it succeeds, the events that wait behind
it follow in their order; if it fails as often again, it is parked again.`,
		Example: `  eshost parked retry balances acc-ada
  eshost parked retry balances --all`,
		ValidArgsFunction: a.completeSequence,
	}, func(ctx context.Context, args []string) error {
		if all == (len(args) == 2) {
			return badInput("eshost parked retry PLUGIN KEY, or eshost parked retry PLUGIN --all", "retry needs either KEY or --all")
		}
		req := store.Request{Plugin: args[0], Action: store.AskRetry}
		if all {
			return a.ask(ctx, req, &q)
		}
		return a.askOfSequence(ctx, req, args[1], &q)
	})
	c.Flags().BoolVar(&all, "all", false, "all sequences of the plugin, parked or not")
	q.flags(c, "why, for the record")
	a.jsonFlag(c)
	return c
}

func (a *app) parkedSkipCommand() *cobra.Command {
	var q asking
	c := a.command(&cobra.Command{
		Use:   "skip PLUGIN KEY",
		Short: "Drop the failed event of a sequence, which goes on with the next one",
		Long: `skip takes the failed event out of its sequence: the plugin goes on without it, and the next event of the key is tried.
One call skips one event, the one that is the failed one now. The log keeps the event, and other plugins get it. Who
skipped it and why is on record: see eshost parked log.

A rebuild of the read model begins anew with the log as it is: it handles skipped events again, with the module that it is
built with. What is to hold for a rebuild too is an edit: see eshost parked edit.`,
		Example:           `  eshost parked skip balances acc-ada --why "a test event, ticket 4711"`,
		ValidArgsFunction: a.completeSequence,
	}, func(ctx context.Context, args []string) error {
		if q.why == "" {
			return badInput(`such as --why "a test event, ticket 4711"`, "skip needs --why: it is kept on record")
		}
		return a.askOfSequence(ctx, store.Request{Plugin: args[0], Action: store.AskSkip}, args[1], &q)
	})
	q.flags(c, "why, for the record (required)")
	q.positionFlag(c)
	a.jsonFlag(c)
	return c
}

func (a *app) parkedEditCommand() *cobra.Command {
	var q asking
	var file string
	c := a.command(&cobra.Command{
		Use:   "edit PLUGIN KEY",
		Short: "Give a plugin other data in the place of its failed event's, and retry",
		Long: `edit puts the bytes of a file in the place of the failed event's data, for this plugin, and has the event tried again.
The plugin gets them whenever it gets the event from now on, also when its read model is rebuilt. The log keeps the
event as it was appended, and so do other plugins. Who edited it and why is on record: see eshost parked log.`,
		Example: `  eshost parked show balances acc-ada --json | jq .event.data > mended.json
  eshost parked edit balances acc-ada --data mended.json --why "the amount was text, ticket 4711"`,
		ValidArgsFunction: a.completeSequence,
	}, func(ctx context.Context, args []string) error {
		if file == "" {
			return badInput("such as --data mended.json, or --data - for standard input", "edit needs --data")
		}
		if q.why == "" {
			return badInput(`such as --why "the amount was text, ticket 4711"`, "edit needs --why: it is kept on record")
		}
		data, err := a.readData(file)
		if err != nil {
			return err
		}
		return a.askOfSequence(ctx, store.Request{Plugin: args[0], Action: store.AskEdit, Data: data}, args[1], &q)
	})
	c.Flags().StringVar(&file, "data", "", "file with the data, byte for byte; - for standard input (required)")
	q.flags(c, "why, for the record (required)")
	q.positionFlag(c)
	a.jsonFlag(c)
	return c
}

// readData reads what is to replace an event's data.
func (a *app) readData(file string) ([]byte, error) {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, missing("name a file that is there with --data", "%w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, store.MaxDataBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the data: %w", err)
	}
	if len(data) > store.MaxDataBytes {
		return nil, badInput("", "%s has more than %d bytes, which no event may have", file, store.MaxDataBytes)
	}
	return data, nil
}

// askOfSequence asks for something about the sequence of a key.
func (a *app) askOfSequence(ctx context.Context, req store.Request, key string, q *asking) error {
	if q.position < 0 {
		return badInput("eshost parked show prints it", "--position must be the failed event's, is %d", q.position)
	}
	req.Key, req.Position = key, event.Position(q.position)
	return a.ask(ctx, req, q)
}

// ask puts a request and waits for its answer.
func (a *app) ask(ctx context.Context, req store.Request, q *asking) error {
	if q.wait < 0 {
		return badInput("such as --wait 1m, or --wait 0s to wait for nothing", "--wait must not be negative, is %s", q.wait)
	}
	req.Who, req.Why = q.who, q.why
	if req.Who == "" {
		if req.Who = a.osUser(); req.Who == "" {
			return badInput("such as --who ada", "cannot find out who asks: name yourself with --who")
		}
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	g, err := t.plugin(ctx, req.Plugin)
	if err != nil {
		return err
	}
	if req.Action == store.AskSkip || req.Action == store.AskEdit || req.Action == store.AskRetry && req.Key != "" {
		if req.Position, err = t.failedPosition(ctx, g, &req); err != nil {
			return err
		}
	}
	before := -1
	if req.Action == store.AskEdit {
		if before, err = t.dataSize(ctx, g, req.Key); err != nil {
			return err
		}
	}
	asked, err := host.Ask(ctx, t, req)
	if err != nil {
		return a.whyNotAsked(ctx, t, &req, err)
	}
	if before >= 0 && !a.json {
		fmt.Fprintf(a.out, "data of event %d: %s before, %s from now on\n", asked.Position, plural(before, "byte"), plural(len(req.Data), "byte"))
	}
	return a.awaitAnswer(ctx, t, asked, q)
}

// failedPosition is the event that a request about a key is for: the one that fails now, or the one that was named.
func (t *target) failedPosition(ctx context.Context, g store.Generation, req *store.Request) (event.Position, error) {
	q, err := t.FindSequence(ctx, g.ID, req.Key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, t.noSequence(ctx, g.Plugin, req.Key)
	case err != nil:
		return 0, fmt.Errorf("find the sequence: %w", err)
	case req.Position == 0:
		return q.Position, nil
	}
	return req.Position, nil
}

// dataSize is how large the data is that the plugin gets for the failed event now.
func (t *target) dataSize(ctx context.Context, g store.Generation, key string) (int, error) {
	events, err := t.Queued(ctx, g.ID, key, 1)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	r, err := t.Replacement(ctx, g.Plugin, events[0].Position)
	if errors.Is(err, store.ErrNotFound) {
		return len(events[0].Data), nil
	}
	return r.Size, err
}

func (a *app) whyNotAsked(ctx context.Context, t *target, req *store.Request, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return t.noSequence(ctx, req.Plugin, req.Key)
	case errors.Is(err, host.ErrOtherEvent):
		return failed(fmt.Sprintf("look at it again: eshost parked show %s %s", req.Plugin, req.Key), "%w", err)
	case errors.Is(err, store.ErrTooManyRequests):
		return failed("start a host that answers them: eshost run", "%w", err)
	}
	return err
}

// awaitAnswer waits until the plugin's owner has answered. While it has none there is nothing to wait for,
// unless the person wants to.
func (a *app) awaitAnswer(ctx context.Context, t *target, asked host.Asked, q *asking) error {
	owner, err := t.ownerOf(ctx, asked.Plugin)
	if err != nil {
		return err
	}
	patience := q.wait
	if owner == "" && !q.waits() {
		patience = 0
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := host.Await(waiting, t, asked)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("wait for the answer to request %d, which stays asked: %w", r.ID, ctx.Err())
	}
	if a.json {
		if err := writeJSON(a.out, host.ShowRequest(&r)); err != nil {
			return err
		}
	}
	log := "see what becomes of it: eshost parked log " + r.Plugin
	switch {
	case r.State == store.Refused:
		return failed("", "request %d was refused: %s", r.ID, r.Answer)
	case r.State == store.Done && a.json:
		return nil
	case r.State == store.Done:
		_, err := fmt.Fprintf(a.out, "request %d is done: %s\n", r.ID, printable(r.Answer))
		return err
	case owner != "":
		return failed(log, "host %q has not answered request %d within %s; it stays asked", owner, r.ID, q.wait)
	case q.waits():
		return failed(log, "no host runs plugin %q, and none took it over within %s; request %d stays asked and is carried out when one runs", r.Plugin, q.wait, r.ID)
	case a.json:
		return nil
	}
	_, err = fmt.Fprintf(a.out, "request %d is pending: no host runs plugin %q now; it is carried out when one does\n", r.ID, r.Plugin)
	return err
}

// ownerOf names the live host that owns a plugin, empty if none does.
func (t *target) ownerOf(ctx context.Context, plugin string) (string, error) {
	plugins, err := t.Plugins(ctx)
	if err != nil {
		return "", fmt.Errorf("read the plugins: %w", err)
	}
	for i := range plugins {
		if p := &plugins[i]; p.Plugin == plugin && p.FirstFree() == nil {
			return p.Owner.Name, nil
		}
	}
	return "", nil
}

// osUser names the person for the operating system, empty if it does not know.
func (a *app) osUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return a.getenv("USER")
}
