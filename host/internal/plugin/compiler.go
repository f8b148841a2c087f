package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// compiler turns metered modules into programs.
type compiler struct {
	log    *slog.Logger
	served served
	config wazero.RuntimeConfig
	cache  *cacheDir // nil without one
}

// program is one compiled module with a runtime of its own, which costs half a millisecond: so modules have nothing in
// common, in the cache's folder as in memory.
type program struct {
	code    wazero.CompiledModule
	runtime wazero.Runtime
	cache   wazero.CompilationCache // nil without one
}

// close frees the machine code. No instance may be open.
func (p *program) close(ctx context.Context) error {
	err := p.runtime.Close(ctx)
	if p.cache != nil {
		err = errors.Join(err, p.cache.Close(ctx))
	}
	return err
}

func newCompiler(ctx context.Context, o EngineOptions, s served) (*compiler, error) {
	c := &compiler{log: o.Logger, served: s, config: runtimeConfig(ctx, o)}
	if o.CacheDir == "" {
		return c, nil
	}
	var err error
	c.cache, err = openCache(o.CacheDir)
	return c, err
}

// compile compiles a module, or takes what the cache has of it. A cache that is damaged or full keeps no plugin from
// running.
func (c *compiler) compile(ctx context.Context, wasm []byte) (*program, error) {
	// A large module takes more than a second on one CPU.
	ctx = experimental.WithCompilationWorkers(ctx, min(4, runtime.GOMAXPROCS(0)))
	if c.cache == nil {
		return c.make(ctx, wasm, "")
	}
	entry := c.cache.entry(wasm)
	if err := entry.open(); err != nil {
		c.log.Warn("compiled a module without the cache", "error", err, "hint", cacheHint)
		return c.make(ctx, wasm, "")
	}
	defer entry.close()
	if entry.damage != nil {
		c.log.Warn("a compiled module in the cache is not what was put there, compiling it anew", "error", entry.damage)
	}
	p, err := c.make(ctx, wasm, entry.folder)
	if err != nil && ctx.Err() == nil {
		without, again := c.make(ctx, wasm, "")
		if again != nil {
			return nil, again // it is the module
		}
		c.log.Warn("compiled a module without the cache", "error", err, "hint", cacheHint)
		return without, nil
	}
	if err == nil {
		if err := entry.keep(); err != nil {
			c.log.Warn("a compiled module could not be kept in the cache", "error", err, "hint", cacheHint)
		}
	}
	return p, err
}

const cacheHint = "empty the compile cache's folder and see that its disk has room"

// make compiles a module, with the folder of its cache entry if that is not empty.
func (c *compiler) make(ctx context.Context, wasm []byte, folder string) (*program, error) {
	p, config := new(program), c.config
	if folder != "" {
		var err error
		if p.cache, err = wazero.NewCompilationCacheWithDir(folder); err != nil {
			return nil, err
		}
		config = config.WithCompilationCache(p.cache)
	}
	p.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	err := c.served.provide(ctx, p.runtime)
	if err == nil {
		p.code, err = p.runtime.CompileModule(ctx, wasm)
	}
	if err != nil {
		return nil, errors.Join(err, p.close(context.WithoutCancel(ctx)))
	}
	return p, nil
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
