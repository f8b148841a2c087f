// Command eshost runs event-store subscribers as sandboxed WebAssembly modules.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"eshost/cmd/eshost/internal/cli"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals // the first one asks to finish
		cancel()
		<-signals // the second one does not ask
		os.Exit(130)
	}()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
