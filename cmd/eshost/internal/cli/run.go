package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/config"
)

func (a *app) runCommand() *cobra.Command {
	return a.command(&cobra.Command{
		Use:   "run",
		Short: "Run the plugins of hosts.toml until stopped",
		Long: `run opens the database, loads every module and delivers events until it is interrupted. Then it finishes
and commits what is in flight, within host.shutdown_timeout; another interrupt, a second or more later, does not wait.
Meanwhile it watches hosts.toml and the modules, and brings in what changes (SIGHUP and eshost reload: at once).
One line on standard output says when it is ready; the log goes to standard error.`,
		Example: `  eshost run
  eshost run --config /etc/eshost/hosts.toml`,
		ValidArgsFunction: completeNothing,
	}, func(ctx context.Context, _ []string) error { return a.run(ctx) })
}

func (a *app) run(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // now: one that comes while modules are compiled must not end the process
	defer signal.Stop(hangups)
	conf, err := a.config()
	if err != nil {
		return err
	}
	if a.storeURL != "" {
		if conf.Store.URL, err = a.givenStore(); err != nil {
			return err
		}
	}
	h, err := host.Open(ctx, conf, host.Options{
		Logger:     a.logger(conf.Host),
		ConfigFile: a.configPath(),
		Getenv:     a.getenv,
		StoreGiven: a.storeURL != "",
		Ready: func(listen string) {
			where := ""
			if listen != "" {
				where = ", http://" + listen
				if conf.Host.TLSCert != "" {
					where = ", https://" + listen
				}
			}
			fmt.Fprintf(a.out, "eshost: ready, %s%s\n", plural(len(conf.Plugins), "plugin"), where)
		},
	})
	if err != nil {
		return err
	}
	defer reloadOn(ctx, hangups, h)()
	return errors.Join(h.Run(ctx), h.Close())
}

// reloadOn reloads whenever there is a signal, until stop is called.
func reloadOn(ctx context.Context, signals <-chan os.Signal, h *host.Host) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				_, _ = h.Reload(ctx) // the log has what became of it
			}
		}
	}()
	return func() { cancel(); <-done }
}

func (a *app) logger(h config.Host) *slog.Logger {
	o := &slog.HandlerOptions{Level: h.LogLevel}
	if h.LogFormat == config.LogJSON {
		return slog.New(slog.NewJSONHandler(a.err, o))
	}
	return slog.New(slog.NewTextHandler(a.err, o))
}
