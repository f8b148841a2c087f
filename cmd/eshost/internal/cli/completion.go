package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/store"
)

// completionPatience bounds how long the shell waits for a completion.
const completionPatience = 2 * time.Second

func completeFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

func completeNothing(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completePlugin completes PLUGIN, and COLLECTION after it. What cannot be found out is not completed.
func (a *app) completePlugin(collections bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(c.Context(), completionPatience)
		defer cancel()
		var names []string
		switch {
		case len(args) == 0:
			names = a.knownPlugins(ctx)
		case len(args) == 1 && collections:
			names = a.knownCollections(ctx, args[0])
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeSequence completes PLUGIN, and the KEY of one of its sequences after it.
func (a *app) completeSequence(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completionPatience)
	defer cancel()
	var names []string
	switch len(args) {
	case 0:
		names = a.knownPlugins(ctx)
	case 1:
		names = a.knownSequences(ctx, args[0])
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) knownSequences(ctx context.Context, plugin string) []string {
	t, err := a.openStore(ctx, false)
	if err != nil {
		return nil
	}
	defer t.Close()
	page, err := host.ListParked(ctx, t, plugin, store.SequenceOptions{Limit: 100})
	if err != nil {
		return nil
	}
	var keys []string
	for i := range page.Sequences {
		keys = append(keys, page.Sequences[i].Key)
	}
	return keys
}

// knownPlugins does without the database where that does not answer.
func (a *app) knownPlugins(ctx context.Context) []string {
	t, err := a.openStore(ctx, false)
	if err == nil {
		defer t.Close()
		if names, err := t.pluginNames(ctx); err == nil {
			return names
		}
	}
	return a.declaredPlugins()
}

func (a *app) knownCollections(ctx context.Context, plugin string) []string {
	t, err := a.openStore(ctx, false)
	if err != nil {
		return nil
	}
	defer t.Close()
	g, err := t.FindPlugin(ctx, plugin)
	if err != nil {
		return nil
	}
	names, err := t.Collections(ctx, g.ID)
	if err != nil {
		return nil
	}
	return names
}
