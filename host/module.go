package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"eshost/host/internal/meter"
	"eshost/host/internal/plugin"
)

// newEngine returns the sandbox that all modules of a host run in.
func newEngine(ctx context.Context, cacheDir string, log *slog.Logger) (*plugin.Engine, error) {
	e, err := openEngine(ctx, cacheDir, log)
	if errors.Is(err, plugin.ErrCacheWrite) {
		log.Warn("modules are compiled anew at every start", "reason", err)
		e, err = openEngine(ctx, "", log)
	}
	if err != nil {
		wrong := &Error{Subject: "sandbox", Err: err}
		var pe *plugin.Error
		if errors.As(err, &pe) {
			wrong.hint = pe.Hint
		}
		return nil, wrong
	}
	return e, nil
}

func openEngine(ctx context.Context, cacheDir string, log *slog.Logger) (*plugin.Engine, error) {
	return plugin.NewEngine(ctx, engineOptions(cacheDir, log))
}

func engineOptions(cacheDir string, log *slog.Logger) plugin.EngineOptions {
	return plugin.EngineOptions{
		CacheDir: cacheDir,
		Logger:   log,
		Meter: plugin.Meter{
			Rewrite:  rewrite,
			Module:   meter.ImportModule,
			Refuel:   meter.Refuel,
			Overflow: meter.Overflow,
			Fuel:     meter.FuelGlobal,
		},
	}
}

// rewrite meters a module and says what to do about one that cannot be.
func rewrite(wasm []byte, memoryPages uint32) ([]byte, error) {
	out, _, err := meter.Rewrite(wasm, meter.Options{MaxMemoryPages: memoryPages})
	if err != nil {
		return nil, &plugin.Error{Op: "meter", Err: err, Hint: meterHint(err)}
	}
	return out, nil
}

func meterHint(err error) string {
	for _, h := range []struct {
		kind error
		hint string
	}{
		{meter.ErrNotWasm, "name a .wasm file that was built with an eshost SDK"},
		{meter.ErrComponent, "build a core module instead: for Rust the target wasm32-unknown-unknown, for Go GOOS=wasip1, no component tooling"},
		{meter.ErrVersion, "build it again with a current toolchain"},
		{meter.ErrMalformed, "the file is damaged or incomplete: build or copy it again"},
		{meter.ErrUnsupported, "build it without that feature: eshost serves WebAssembly 2.0"},
		{meter.ErrLimit, "make the module smaller, or raise limits.memory if it is its memory that does not fit"},
		{meter.ErrReserved, "rename it: names that begin with __eshost_ and the module eshost_meter are the host's"},
		{meter.ErrImport, "let the module define its own memory, tables and globals"},
	} {
		if errors.Is(err, h.kind) {
			return h.hint
		}
	}
	return ""
}

// maxModuleBytes is as large as the meter takes them.
const maxModuleBytes = 32 << 20

// readModule reads a module's file, and says what the file was like just before.
func readModule(file string) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	wasm, err := io.ReadAll(io.LimitReader(f, maxModuleBytes+1)) // one more, which the meter refuses
	return wasm, info, err
}

// digestOf is a module's SHA-256 in hex.
func digestOf(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return hex.EncodeToString(sum[:])
}
