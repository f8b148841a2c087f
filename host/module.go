package host

import (
	"context"
	"fmt"
	"log/slog"

	"eshost/host/internal/meter"
	"eshost/host/internal/plugin"
)

// newEngine returns the sandbox that all modules of a host run in.
func newEngine(ctx context.Context, cacheDir string, log *slog.Logger) (*plugin.Engine, error) {
	e, err := plugin.NewEngine(ctx, plugin.EngineOptions{
		CacheDir: cacheDir,
		Logger:   log,
		Meter: plugin.Meter{
			Rewrite:  rewrite,
			Module:   meter.ImportModule,
			Refuel:   meter.Refuel,
			Overflow: meter.Overflow,
			Fuel:     meter.FuelGlobal,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start the sandbox: %w", err)
	}
	return e, nil
}

func rewrite(wasm []byte, memoryPages uint32) ([]byte, error) {
	out, _, err := meter.Rewrite(wasm, meter.Options{MaxMemoryPages: memoryPages})
	return out, err
}
