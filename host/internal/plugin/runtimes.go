package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// runtimes compile modules: one runtime for all of them, and a spare one without a cache, made when it is needed.
type runtimes struct {
	log    *slog.Logger
	served served
	plain  wazero.RuntimeConfig
	cache  wazero.CompilationCache // nil without a cache
	main   wazero.Runtime

	mu    sync.Mutex
	spare wazero.Runtime
}

func newRuntimes(ctx context.Context, o EngineOptions, s served) (*runtimes, error) {
	r := &runtimes{log: o.Logger, served: s, plain: runtimeConfig(ctx, o)}
	config := r.plain
	if o.CacheDir != "" {
		var err error
		if r.cache, err = openCache(o.CacheDir); err != nil {
			return nil, err
		}
		config = config.WithCompilationCache(r.cache)
	}
	var err error
	r.main, err = r.open(ctx, config)
	return r, err
}

func (r *runtimes) open(ctx context.Context, config wazero.RuntimeConfig) (wazero.Runtime, error) {
	rt := wazero.NewRuntimeWithConfig(ctx, config)
	if err := r.served.provide(ctx, rt); err != nil {
		return nil, errors.Join(err, rt.Close(ctx))
	}
	return rt, nil
}

// compile returns the compiled module and the runtime to instantiate it in. A damaged or full cache does not keep a
// plugin from running.
func (r *runtimes) compile(ctx context.Context, wasm []byte) (wazero.CompiledModule, wazero.Runtime, error) {
	// A large module takes more than a second on one CPU.
	ctx = experimental.WithCompilationWorkers(ctx, min(4, runtime.GOMAXPROCS(0)))
	code, err := r.main.CompileModule(ctx, wasm)
	if err == nil || r.cache == nil || ctx.Err() != nil {
		return code, r.main, err
	}
	spare, spareErr := r.spareRuntime(ctx)
	if spareErr != nil {
		return nil, nil, errors.Join(err, spareErr)
	}
	code, spareErr = spare.CompileModule(ctx, wasm)
	if spareErr != nil {
		return nil, nil, spareErr
	}
	r.log.Warn("compiled a module without the cache", "error", err, "hint", "empty the compile cache's folder and see that its disk has room")
	return code, spare, nil
}

func (r *runtimes) spareRuntime(ctx context.Context) (wazero.Runtime, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spare == nil {
		var err error
		if r.spare, err = r.open(ctx, r.plain); err != nil {
			return nil, err
		}
	}
	return r.spare, nil
}

func (r *runtimes) close(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.main.Close(ctx)
	if r.cache != nil {
		err = errors.Join(err, r.cache.Close(ctx))
	}
	if r.spare != nil {
		err = errors.Join(err, r.spare.Close(ctx))
	}
	return err
}

// runtimeConfig admits WebAssembly 2.0 and nothing newer: that is what the meter understands.
func runtimeConfig(ctx context.Context, o EngineOptions) wazero.RuntimeConfig {
	config := wazero.NewRuntimeConfigCompiler()
	err := tryCompiler(ctx, config)
	if o.interpret {
		err = errors.New("asked for")
	}
	if err != nil {
		o.Logger.Error("modules are interpreted, many times slower than compiled: this machine does not let the host run code it has made",
			"reason", err, "hint", "allow executable memory (SELinux execmem, systemd MemoryDenyWriteExecute, seccomp) and use amd64 or arm64")
		config = wazero.NewRuntimeConfigInterpreter()
	}
	return config.WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false)
}

// tryCompiler runs a module of one empty function. wazero chooses the interpreter without a word where it cannot map
// executable memory.
func tryCompiler(ctx context.Context, config wazero.RuntimeConfig) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	r := wazero.NewRuntimeWithConfig(ctx, config)
	defer func() { err = errors.Join(err, r.Close(ctx)) }()
	_, err = r.Instantiate(ctx, []byte("\x00asm\x01\x00\x00\x00"+
		"\x01\x04\x01\x60\x00\x00"+ // type 0: () -> ()
		"\x03\x02\x01\x00"+ // function 0 of type 0
		"\x08\x01\x00"+ // start with function 0
		"\x0a\x04\x01\x02\x00\x0b")) // its body: end
	return err
}
