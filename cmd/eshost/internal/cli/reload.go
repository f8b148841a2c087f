package cli

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/store"
)

func (a *app) reloadCommand() *cobra.Command {
	var timeout time.Duration
	var history string
	c := a.command(&cobra.Command{
		Use:   "reload",
		Short: "Have the running hosts bring in hosts.toml and the modules as they are now",
		Long: `reload asks every live host on the database to look at its hosts.toml and its modules, and prints what became of
each plugin: unchanged, replaced by a new module, rebuilding with it, changed, added, removed or refused. What is
refused changes nothing, and reload ends with exit code 1. Hosts watch their files anyhow; reload does not wait for
that and says what came of it.

--history PLUGIN prints the modules that took over the plugin or were refused, the newest first.`,
		Example: `  eshost reload
  eshost reload --json | jq '.[].outcomes[] | select(.result == "refused")'
  eshost reload --history balances`,
		ValidArgsFunction: completeNothing,
	}, func(ctx context.Context, _ []string) error {
		if history != "" {
			return a.reloadHistory(ctx, history)
		}
		return a.reload(ctx, timeout)
	})
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the hosts' answers")
	c.Flags().StringVar(&history, "history", "", "print a plugin's history instead")
	a.jsonFlag(c)
	return c
}

func (a *app) reload(ctx context.Context, timeout time.Duration) error {
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	hosts, err := host.ReloadHosts(waiting, t.Store, cmp.Or(a.getenv("USER"), "eshost reload"))
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		return failed("start one: eshost run", "no host runs on this database")
	}
	if a.json {
		err = writeJSON(a.out, hosts)
	} else {
		err = a.printReload(hosts)
	}
	if err != nil {
		return err
	}
	return refusals(hosts)
}

func (a *app) printReload(hosts []host.HostReload) error {
	t := newTable(a.out)
	for _, h := range hosts {
		if len(hosts) > 1 || h.Error != "" {
			fmt.Fprintf(t, "host %s\t%s\n", printable(h.Host), printable(h.Error))
		}
		for _, o := range h.Outcomes {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable(cmp.Or(o.Plugin, "hosts.toml")), o.Result, o.Digest[:min(12, len(o.Digest))], printable(o.Reason))
		}
	}
	return t.Flush()
}

// refusals makes what was not brought in a failure.
func refusals(hosts []host.HostReload) error {
	refused := 0
	for _, h := range hosts {
		if h.Error != "" {
			return failed("look at the host's log, or wait longer with --timeout", "host %q %s", h.Host, h.Error)
		}
		for _, o := range h.Outcomes {
			if o.Result == host.ReloadRefused {
				refused++
			}
		}
	}
	if refused > 0 {
		return failed("mend it; the hosts notice that by themselves", "%s refused; what was before goes on", plural(refused, "change"))
	}
	return nil
}

// reloadReport is an entry of a plugin's history as JSON.
type reloadReport struct {
	Digest   string    `json:"digest,omitempty"`
	Position int64     `json:"position"` // the checkpoint it took over at
	Refused  string    `json:"refused,omitempty"`
	Host     string    `json:"host"`
	At       time.Time `json:"at"`
}

func reportReload(r *store.Reload) *reloadReport {
	return &reloadReport{r.Digest, int64(r.Position), r.Refused, r.Host, r.At.UTC()}
}

func (a *app) reloadHistory(ctx context.Context, plugin string) error {
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	const most = 100
	list, err := t.Reloads(ctx, plugin, most)
	if err != nil {
		return err
	}
	reports := []reloadReport{}
	for _, r := range list {
		reports = append(reports, *reportReload(&r))
	}
	if a.json {
		return writeJSON(a.out, reports)
	}
	if len(reports) == 0 {
		_, err := fmt.Fprintf(a.out, "no module of plugin %s was replaced or refused while a host ran\n", printable(plugin))
		return err
	}
	table := newTable(a.out)
	fmt.Fprintln(table, "AT\tFROM POSITION\tMODULE\tHOST\tREFUSED")
	for _, r := range reports {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\n", r.At.Format(time.RFC3339), r.Position, cmp.Or(r.Digest[:min(12, len(r.Digest))], "-"),
			printable(r.Host), cmp.Or(printable(r.Refused), "-"))
	}
	return table.Flush()
}
