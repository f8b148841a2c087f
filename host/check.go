package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"eshost/host/internal/meter"
	"eshost/host/internal/plugin"
)

// ModuleReport is what can be said of a module without running it.
type ModuleReport struct {
	plugin.Info
	// MeteredSize is the size after metering, in bytes.
	MeteredSize int
	// Functions are those the module defines, Recursive the ones of these that can call themselves. Checks
	// are the places where metering looks at the fuel or the stack: entries of functions and heads of loops.
	Functions, Recursive, Checks int
	// Language and Toolchain are what the module says made it; they may be empty.
	Language, Toolchain string
	// MinTable and MaxTable are the entries its tables begin with and may grow to, all together.
	MinTable, MaxTable uint64
}

// CheckModule reads and checks a module as a host would that grants everything and gives an instance
// that many bytes of memory, or limits.memory's default for 0. It fails with ErrModule where such a host
// would refuse it.
func CheckModule(ctx context.Context, file string, memory int64) (*ModuleReport, error) {
	wasm, _, err := readModule(file)
	if err != nil {
		return nil, &Error{Subject: "module", Err: err, hint: "name the path of a .wasm file"}
	}
	engine, err := newEngine(ctx, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	m, err := engine.Load(ctx, wasm, plugin.Spec{Name: "check", Grants: plugin.Grants(), Limits: plugin.Limits{Memory: uint64(memory)}})
	if err != nil {
		return nil, errors.Join(moduleError(file, err), engine.Close(ctx))
	}
	report := &ModuleReport{Info: *m.Info()}
	if err := errors.Join(m.Close(ctx), engine.Close(ctx)); err != nil {
		return nil, fmt.Errorf("check %s: %w", file, err)
	}
	return report, report.addMeter(wasm, memory)
}

func (r *ModuleReport) addMeter(wasm []byte, memory int64) error {
	_, info, err := meter.Rewrite(wasm, meter.Options{MaxMemoryPages: uint32(memory / (64 << 10))})
	if err != nil {
		return fmt.Errorf("meter the module: %w", err)
	}
	r.MeteredSize = info.MeteredSize
	r.Functions, r.Recursive, r.Checks = info.Functions, info.Recursive, info.Checks
	for _, t := range info.Tables {
		r.MinTable += uint64(t.Min)
		r.MaxTable += uint64(t.Max)
	}
	for _, p := range info.Producers {
		switch p.Field {
		case "language":
			r.Language = p.Name
		case "processed-by":
			r.Toolchain = p.Name + " " + p.Version
		}
	}
	return nil
}
