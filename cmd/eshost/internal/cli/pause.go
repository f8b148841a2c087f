package cli

import (
	"context"

	"github.com/spf13/cobra"

	"eshost/host/store"
)

func (a *app) pauseCommand() *cobra.Command {
	var q asking
	c := a.command(&cobra.Command{
		Use:   "pause PLUGIN",
		Short: "Make a plugin stand still until it is resumed",
		Long: `pause has a plugin finish the batch in hand and then handle and retry nothing, on whichever host and across restarts,
until eshost resume. Its documents can be read meanwhile; eshost status says who paused it and why.`,
		Example:           `  eshost pause balances --why "the bank checks its figures"`,
		ValidArgsFunction: a.completePlugin(false),
	}, func(ctx context.Context, args []string) error {
		return a.ask(ctx, store.Request{Plugin: args[0], Action: store.AskPause}, &q)
	})
	q.flags(c, "why, for eshost status and the record")
	a.jsonFlag(c)
	return c
}

func (a *app) resumeCommand() *cobra.Command {
	var q asking
	c := a.command(&cobra.Command{
		Use:               "resume PLUGIN",
		Short:             "Let a paused plugin go on",
		Long:              `resume ends the pause that somebody began with eshost pause: the plugin goes on where it stood.`,
		Example:           `  eshost resume balances`,
		ValidArgsFunction: a.completePlugin(false),
	}, func(ctx context.Context, args []string) error {
		return a.ask(ctx, store.Request{Plugin: args[0], Action: store.AskResume}, &q)
	})
	q.flags(c, "why, for the record")
	a.jsonFlag(c)
	return c
}
