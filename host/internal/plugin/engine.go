package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
)

// Meter is what an engine needs of the rewriter that makes modules interruptible.
type Meter struct {
	// Rewrite checks a module and returns it with fuel accounting, a bounded stack, bounded tables and a memory that
	// cannot grow past memoryPages of 64 KiB. Its error names what is wrong with the module; if that is an *Error, its
	// Hint is kept.
	Rewrite func(wasm []byte, memoryPages uint32) ([]byte, error)
	// Module is what a rewritten module imports Refuel and Overflow from, both of type () -> (). Refuel is called when
	// the fuel is below zero, Overflow when the stack is used up.
	Module, Refuel, Overflow string
	// Fuel is the exported mutable i64 global with the fuel that is left.
	Fuel string
}

// EngineOptions configure an Engine.
type EngineOptions struct {
	// Meter is required.
	Meter Meter
	// CacheDir keeps compiled modules from one start to the next. What is in it is run as machine code, so it must
	// belong to this process's user and be writable by nobody else; it is made if it is missing. Empty means no cache.
	CacheDir string
	// Slice is the most fuel a guest burns before the host looks at the clock. It is the longest the Go garbage
	// collector waits for a guest, so slow machines use less of it by themselves. Defaults to 200,000.
	Slice int64
	// CompileTime is how long one module may take to compile. Nothing bounds it but the size and the complexity that the
	// meter admits, and those are meant for what compilers make. Defaults to 5m, for machines that are slow or busy.
	CompileTime time.Duration
	// LogRate is how many lines a second one plugin may log; twice as many in a burst. Defaults to 100.
	LogRate int
	// Logger gets what guests log and what the engine has to say. Defaults to a silent one.
	Logger *slog.Logger

	interpret bool // as if the machine could not run compiled code
}

func (o EngineOptions) withDefaults() EngineOptions {
	if o.Slice <= 0 {
		o.Slice = 200_000
	}
	if o.CompileTime <= 0 {
		o.CompileTime = 5 * time.Minute
	}
	if o.LogRate <= 0 {
		o.LogRate = 100
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Engine compiles modules and runs their instances. One serves a whole host; its methods may be called from any goroutine.
type Engine struct {
	opts   EngineOptions
	served served
	start  time.Time
	config wazero.ModuleConfig // of every instance

	compiler *compiler
	turns    chan struct{} // as many as long events may run at once

	mu        sync.Mutex
	compiled  map[compiledKey]*compiled
	instances int // open ones
	closed    bool
}

// NewEngine makes an engine. It fails with ErrCacheDir when the cache's folder cannot be trusted.
func NewEngine(ctx context.Context, o EngineOptions) (*Engine, error) {
	if o.Meter.Rewrite == nil {
		return nil, errors.New("new engine: no meter, and nothing runs unmetered")
	}
	e := &Engine{
		opts:     o.withDefaults(),
		start:    time.Now(),
		config:   wazero.NewModuleConfig().WithName("").WithStartFunctions(),
		compiled: make(map[compiledKey]*compiled),
		turns:    make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)),
	}
	e.served = newServed(abiFuncs(), meterFuncs(o.Meter), assemblyScriptFuncs(), wasiFuncs())
	var err error
	if e.compiler, err = newCompiler(ctx, e.opts, e.served); err != nil {
		return nil, fmt.Errorf("new engine: %w", err)
	}
	return e, nil
}

// Close frees what the engine holds. It refuses while an instance is open: unmapping code that may be running would
// take the whole process down.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	if e.instances > 0 {
		return fmt.Errorf("close engine: %d instances are still open", e.instances)
	}
	e.closed = true
	var errs []error
	for _, c := range e.compiled {
		if c.program != nil {
			errs = append(errs, c.program.close(ctx))
		}
	}
	return errors.Join(errs...)
}

// now is a monotonic clock.
func (e *Engine) now() time.Duration { return time.Since(e.start) }
