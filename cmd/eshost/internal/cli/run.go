package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/config"
)

func (a *app) runCommand() *cobra.Command {
	return a.command(&cobra.Command{
		Use:   "run",
		Short: "Run the plugins of hosts.toml until stopped",
		Long: `run opens the database, loads every module and delivers events until it is interrupted. Then it finishes
and commits what is in flight, within host.shutdown_timeout; a second interrupt does not wait.
One line on standard output says when it is ready; the log goes to standard error.`,
		Example: `  eshost run
  eshost run --config /etc/eshost/hosts.toml`,
		ValidArgsFunction: completeNothing,
	}, func(ctx context.Context, _ []string) error { return a.run(ctx) })
}

func (a *app) run(ctx context.Context) error {
	conf, err := a.config()
	if err != nil {
		return err
	}
	if a.storeURL != "" {
		if conf.Store.URL, _, err = a.locateStore(); err != nil {
			return err
		}
	}
	h, err := host.Open(ctx, conf, host.Options{
		Logger: a.logger(conf.Host),
		Ready: func(listen string) {
			where := ""
			if listen != "" {
				where = ", http://" + listen
			}
			fmt.Fprintf(a.out, "eshost: ready, %s%s\n", plural(len(conf.Plugins), "plugin"), where)
		},
	})
	if err != nil {
		return err
	}
	return errors.Join(h.Run(ctx), h.Close())
}

func (a *app) logger(h config.Host) *slog.Logger {
	o := &slog.HandlerOptions{Level: h.LogLevel}
	if h.LogFormat == config.LogJSON {
		return slog.New(slog.NewJSONHandler(a.err, o))
	}
	return slog.New(slog.NewTextHandler(a.err, o))
}
