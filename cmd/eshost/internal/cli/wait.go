package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"eshost/host/event"
	"eshost/host/store"
)

const (
	waitPause = 20 * time.Millisecond
	// waitLook is how often wait looks for a reason why nothing moves.
	waitLook = 500 * time.Millisecond
)

func (a *app) waitCommand() *cobra.Command {
	var position string
	var timeout time.Duration
	c := a.command(&cobra.Command{
		Use:   "wait PLUGIN",
		Short: "Wait until a plugin has handled everything up to a position",
		Long: `wait returns when the plugin's checkpoint has reached a position: then its documents hold every event
up to there, except those that wait for a retry or are parked (see eshost status). It fails at
once when a host has paused the plugin, and when the timeout is over.`,
		Example: `  eshost wait balances --position head
  eshost wait balances --position 1204 --timeout 2m`,
		ValidArgsFunction: a.completePlugin(false),
	}, func(ctx context.Context, args []string) error { return a.wait(ctx, args[0], position, timeout) })
	c.Flags().StringVar(&position, "position", "", "position to wait for, or head for the last event there is now (required)")
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait at most")
	a.jsonFlag(c)
	return c
}

func (a *app) wait(ctx context.Context, plugin, position string, timeout time.Duration) error {
	if position == "" {
		return badInput("such as --position 1204 or --position head", "wait needs --position")
	}
	n, err := strconv.ParseInt(position, 10, 64)
	if position != "head" && (err != nil || n < 0) {
		return badInput("such as --position 1204 or --position head", "--position must be a number or head, is %q", position)
	}
	if timeout < 0 {
		return badInput("such as --timeout 2m, or --timeout 0s to look once", "--timeout must not be negative, is %s", timeout)
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	if t.section(plugin) == nil {
		if _, err := t.plugin(ctx, plugin); err != nil {
			return err
		}
	}
	w := &waiter{target: t, plugin: plugin, position: event.Position(n), deadline: time.Now().Add(timeout), timeout: timeout}
	if position == "head" {
		tail, state, err := settle(ctx, t.Store, 0)
		if err != nil {
			return err
		}
		tail.Close()
		w.position = state.Head
	}
	reached, err := w.wait(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return writeJSON(a.out, struct {
			Plugin     string         `json:"plugin"`
			Checkpoint event.Position `json:"checkpoint"`
		}{plugin, reached})
	}
	_, err = fmt.Fprintf(a.out, "%s is at %d\n", plugin, reached)
	return err
}

// waiter waits for one plugin's checkpoint.
type waiter struct {
	target   *target
	plugin   string
	position event.Position
	deadline time.Time
	timeout  time.Duration
}

func (w *waiter) wait(ctx context.Context) (event.Position, error) {
	var looked time.Time
	for {
		g, err := w.target.FindPlugin(ctx, w.plugin)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, fmt.Errorf("read the checkpoint: %w", err)
		}
		if err == nil && g.Position >= w.position {
			return g.Position, nil
		}
		late := time.Now().After(w.deadline)
		if late || time.Since(looked) > waitLook {
			looked = time.Now()
			if err := w.whyNot(ctx, late); err != nil {
				return 0, err
			}
		}
		if err := pause(ctx, waitPause); err != nil {
			return 0, err
		}
	}
}

// whyNot returns an error if the plugin cannot get there, or has not got there in time.
func (w *waiter) whyNot(ctx context.Context, late bool) error {
	plugins, err := w.target.Plugins(ctx)
	if err != nil {
		return fmt.Errorf("read the plugins: %w", err)
	}
	var p *store.PluginStatus
	for i := range plugins {
		if plugins[i].Plugin == w.plugin {
			p = &plugins[i]
		}
	}
	switch {
	case p != nil && p.Position >= w.position:
		return nil // the next look sees it
	case p != nil && p.FirstFree() == nil && (p.Condition.State == store.Paused || p.Condition.State == store.Quarantined):
		return failed("mend that, then: eshost status", "plugin %q is %s at %d: %s", w.plugin, p.Condition.State, p.Position, p.Condition.Reason)
	case !late:
		return nil
	}
	return w.late(ctx, p)
}

// late says what is known of a plugin that has not got there in time; p is nil where it was never started.
func (w *waiter) late(ctx context.Context, p *store.PluginStatus) error {
	const longer = "look at eshost status, or wait longer with --timeout"
	hosts, err := w.target.Hosts(ctx)
	if err != nil {
		return fmt.Errorf("read the hosts: %w", err)
	}
	if p == nil {
		return failed(longer, "plugin %q was not started within %s: %s", w.plugin, w.timeout, whyNotStarted(hosts))
	}
	why := ""
	switch {
	case p.FirstFree() != nil:
		why = ": " + whyStopped(p.FirstFree(), hosts)
	case p.Condition.State != store.Running:
		why = fmt.Sprintf(": it is %s: %s", p.Condition.State, p.Condition.Reason)
	}
	return failed(longer, "plugin %q is at %d after %s, short of %d%s", w.plugin, p.Position, w.timeout, w.position, why)
}
