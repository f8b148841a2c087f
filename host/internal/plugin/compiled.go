package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"

	"github.com/tetratelabs/wazero"
)

// compiledKey is what makes two compiled modules the same: the original bytes and what the rewriting depends on.
type compiledKey struct {
	digest      [sha256.Size]byte
	memoryPages uint32
}

// compiled is one module ready to be instantiated, shared by all plugins and instances that use it.
type compiled struct {
	key   compiledKey
	ready chan struct{} // closed when the fields below are set
	err   error

	program *program
	info    Info
	exports guestExports
	names   map[string]string // of functions that wazero only has numbers for

	refs int // guarded by Engine.mu
}

func (c *compiled) digest() string { return hex.EncodeToString(c.key.digest[:]) }

// acquire returns the compiled module for the bytes, compiling it if nobody has. Each acquire needs a release.
func (e *Engine) acquire(ctx context.Context, wasm []byte, memoryPages uint32) (*compiled, error) {
	key := compiledKey{sha256.Sum256(wasm), memoryPages}
	for {
		c, mine, err := e.entry(key)
		if err != nil {
			return nil, err
		}
		if mine {
			c.err = e.build(ctx, c, wasm)
			close(c.ready)
		} else if err := c.wait(ctx); err != nil {
			e.release(c)
			return nil, err
		}
		if c.err == nil {
			return c, nil
		}
		e.release(c)
		if mine || ctx.Err() != nil || !errors.Is(c.err, context.Canceled) && !errors.Is(c.err, context.DeadlineExceeded) {
			return nil, c.err
		}
		// Whoever was compiling gave up; that is no verdict on the module.
	}
}

func (c *compiled) wait(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// entry takes a reference to the key's entry. mine tells the caller to build it.
func (e *Engine) entry(key compiledKey) (c *compiled, mine bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, false, errors.New("the engine is closed")
	}
	c, ok := e.compiled[key]
	if !ok {
		c = &compiled{key: key, ready: make(chan struct{})}
		e.compiled[key] = c
	}
	c.refs++
	return c, !ok, nil
}

// retire gives up a module's own reference. It reports false when that has been done.
func (e *Engine) retire(m *Module) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.closed {
		return false
	}
	m.closed = true
	e.drop(m.code)
	return true
}

// admit counts a new instance of a module, which keeps the module's code.
func (e *Engine) admit(m *Module) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || m.closed {
		return errors.New("the module is closed")
	}
	m.code.refs++
	e.instances++
	return nil
}

// dismiss forgets an instance.
func (e *Engine) dismiss(m *Module) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.instances--
	e.drop(m.code)
}

// release drops a reference.
func (e *Engine) release(c *compiled) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drop(c)
}

// drop drops a reference; e.mu is held. With the last one the machine code goes. A failed entry goes at once, so that the
// next load tries again.
func (e *Engine) drop(c *compiled) {
	c.refs--
	failed := false
	select {
	case <-c.ready:
		failed = c.err != nil
	default:
	}
	if (c.refs == 0 || failed) && e.compiled[c.key] == c {
		delete(e.compiled, c.key)
	}
	if c.refs == 0 && c.program != nil {
		_ = c.program.close(context.Background()) // frees memory, which cannot fail
	}
}

func (e *Engine) build(ctx context.Context, c *compiled, wasm []byte) (err error) {
	// Invariant 6: a module that finds a mistake in a parser or compiler is refused, it does not end the host.
	defer func() {
		if r := recover(); r != nil {
			err = refuse(ErrNotModule, "this is a mistake in the host: please report it, with the module", "the module could not be read: panic: %v", r)
		}
	}()
	if err := checkHeader(wasm); err != nil {
		return err
	}
	metered, err := e.opts.Meter.Rewrite(wasm, c.key.memoryPages)
	if err != nil {
		return err
	}
	manifest, err := readManifest(wasm)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.program, err = e.compile(ctx, metered); err != nil {
		return err
	}
	if c.exports, err = e.checkExports(c.program.code); err != nil {
		return err
	}
	if err := e.checkImports(c.program.code); err != nil {
		return err
	}
	c.info = e.describe(c, wasm, manifest)
	c.names = exportNames(c.program.code)
	return nil
}

func (e *Engine) compile(ctx context.Context, metered []byte) (*program, error) {
	limited, cancel := context.WithTimeout(ctx, e.opts.CompileTime)
	defer cancel()
	p, err := e.compiler.compile(limited, metered)
	switch {
	case err == nil:
		return p, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, refuse(ErrCompileTime, "make the module smaller: a release build, fewer dependencies, smaller functions",
			"the module was not compiled after %v", e.opts.CompileTime)
	}
	return nil, refuse(ErrNotModule, "build the module again: the file is damaged, or its compiler is", "the module does not validate: %s", printable(err.Error(), maxMessage))
}

// exportNames maps the numbers that stand for functions without a name in stack traces to what they are exported as.
func exportNames(code wazero.CompiledModule) map[string]string {
	names := make(map[string]string)
	for name, f := range code.ExportedFunctions() {
		names["$"+strconv.FormatUint(uint64(f.Index()), 10)] = name
	}
	return names
}
