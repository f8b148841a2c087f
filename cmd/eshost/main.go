// Command eshost runs event-store subscribers as sandboxed WebAssembly modules.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"eshost/cmd/eshost/internal/cli"
)

// sameRequest is how long after a signal another one says the same: timeout(1), make and some supervisors signal the
// process and then its whole group.
const sameRequest = time.Second

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals // the first one asks to finish
		cancel()
		for asked := time.Now(); ; {
			<-signals // a later one does not ask
			if time.Since(asked) > sameRequest {
				os.Exit(130)
			}
		}
	}()
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
