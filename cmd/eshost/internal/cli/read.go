package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"eshost/host/event"
	"eshost/host/store"
)

func (a *app) readCommand() *cobra.Command {
	o := store.ScanOptions{}
	var c *cobra.Command
	c = a.command(&cobra.Command{
		Use:   "read PLUGIN COLLECTION [KEY]",
		Short: "Print documents of a plugin's read model",
		Long: `read prints one document as it is stored, or with --json as {"key":…,"data":…}. Without a key it prints
the collection's documents in byte order of their keys, one such object a line.`,
		Example: `  eshost read balances balances acc-ada
  eshost read balances balances --prefix acc- --limit 10
  eshost read balances balances --limit 0 > balances.ndjson`,
		ValidArgsFunction: a.completePlugin(true),
	}, func(ctx context.Context, args []string) error {
		for _, name := range []string{"prefix", "after", "limit"} {
			if len(args) == 3 && c.Flags().Changed(name) {
				return badInput("leave out KEY to print documents of a collection, or --"+name+" to print the one", "--%s selects among a collection's documents, and %q names one", name, args[2])
			}
		}
		return a.read(ctx, args, o)
	})
	c.Flags().StringVar(&o.Prefix, "prefix", "", "only keys that begin so")
	c.Flags().StringVar(&o.After, "after", "", "only keys after this one")
	c.Flags().IntVar(&o.Limit, "limit", 100, "most documents to print; 0 for all")
	a.jsonFlag(c)
	return c
}

func (a *app) read(ctx context.Context, args []string, o store.ScanOptions) error {
	if o.Limit < 0 {
		return badInput(helpHint("read"), "--limit must not be negative")
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	g, err := t.plugin(ctx, args[0])
	if err != nil {
		return err
	}
	if len(args) == 3 {
		return a.readOne(ctx, t, g, store.DocumentKey{Collection: args[1], Key: args[2]})
	}
	o.Collection = args[1]
	return a.readMany(ctx, t, g, o)
}

func (a *app) readOne(ctx context.Context, t *target, g store.Generation, key store.DocumentKey) error {
	docs, err := t.Documents(ctx, g.ID, []store.DocumentKey{key})
	if err != nil {
		return notBuilt(g, fmt.Errorf("read the document: %w", err))
	}
	if len(docs) == 0 {
		return failed(t.otherCollections(ctx, g, key.Collection), "plugin %q has no document %q in collection %q", g.Plugin, key.Key, key.Collection)
	}
	if a.json {
		return a.writeDocument(docs[0])
	}
	_, err = fmt.Fprintf(a.out, "%s\n", docs[0].Data)
	return err
}

// notBuilt tells who reads a read model that is not there as a whole what to wait for.
func notBuilt(g store.Generation, err error) error {
	if !errors.Is(err, store.ErrNotBuilt) {
		return err
	}
	return failed(fmt.Sprintf("eshost status says what it waits for; a host that runs it builds it from the log: eshost wait %s --position head", g.Plugin), "plugin %q: %w", g.Plugin, err)
}

func (a *app) writeDocument(d event.Document) error {
	var data bytes.Buffer // a line holds no line ends
	if err := json.Compact(&data, d.Data); err != nil {
		return fmt.Errorf("document %q is not JSON: %w", d.Key, err)
	}
	return writeJSON(a.out, struct {
		Key  string          `json:"key"`
		Data json.RawMessage `json:"data"`
	}{d.Key, data.Bytes()})
}

// readMany pages through a collection.
func (a *app) readMany(ctx context.Context, t *target, g store.Generation, o store.ScanOptions) error {
	const page = 500
	limit, printed := o.Limit, 0
	for {
		o.Limit = page
		docs, err := t.Scan(ctx, g.ID, o)
		if err != nil {
			return notBuilt(g, fmt.Errorf("read the documents: %w", err))
		}
		for _, d := range docs {
			if limit > 0 && printed == limit {
				fmt.Fprintf(a.err, "eshost: more documents follow\nhint: go on with --after %q, or print all with --limit 0\n", o.After)
				return nil
			}
			if err := a.writeDocument(d); err != nil {
				return err
			}
			printed++
			o.After = d.Key
		}
		if len(docs) < page {
			break
		}
	}
	if printed == 0 && o.Prefix == "" && o.After == "" {
		fmt.Fprintf(a.err, "eshost: plugin %q has no documents in collection %q\n", g.Plugin, o.Collection)
		if hint := t.otherCollections(ctx, g, o.Collection); hint != "" {
			fmt.Fprintln(a.err, "hint:", printable(hint))
		}
	}
	return nil
}

// otherCollections names the collections there are, if the asked one is not among them.
func (t *target) otherCollections(ctx context.Context, g store.Generation, asked string) string {
	names, err := t.Collections(ctx, g.ID)
	switch {
	case err != nil || slices.Contains(names, asked):
		return ""
	case len(names) == 0:
		return fmt.Sprintf("it has no documents at all; its checkpoint is %d", g.Position)
	}
	return suggestion(asked, names, "its collections: "+strings.Join(names, ", "))
}
