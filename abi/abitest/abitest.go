// Package abitest runs a module against a host in memory, for tests of SDKs and of plugins in any language. It answers as
// abi/ABI.md says, but it neither meters nor limits: it is no sandbox.
package abitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"eshost/abi"
	"eshost/host/event"
)

// Key names a document.
type Key struct{ Collection, Key string }

// Module is one plugin: a compiled module, what it is configured with, and what its events did.
type Module struct {
	Config    map[string]string
	Documents map[Key]string
	Emitted   []event.Emitted
	Logs      []string // "level text"
	// Output is what the module wrote to standard output and error since it was instantiated.
	Output bytes.Buffer

	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	instance *instance

	// Of the event being handled.
	written map[Key]*string // nil was deleted
	emitted []event.Emitted
	failed  string
	kept    []byte
}

type instance struct {
	module api.Module
	inbox  uint32
	size   uint32
	handle api.Function
	stack  [1]uint64
}

// Load compiles a module, and closes it when the test ends.
func Load(t testing.TB, wasm []byte) *Module {
	t.Helper()
	ctx := context.Background()
	config := wazero.NewRuntimeConfigInterpreter() // a test runs a module for a moment, a compiler works for seconds
	m := &Module{Config: map[string]string{}, Documents: map[Key]string{}, runtime: wazero.NewRuntimeWithConfig(ctx, config)}
	t.Cleanup(func() {
		if err := m.runtime.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := m.link(ctx); err != nil {
		t.Fatalf("link: %v", err)
	}
	var err error
	if m.compiled, err = m.runtime.CompileModule(ctx, wasm); err != nil {
		t.Fatalf("compile: %v", err)
	}
	return m
}

// Imports lists the functions that the module imports, as "module.function", sorted.
func (m *Module) Imports() []string {
	var names []string
	for _, f := range m.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		names = append(names, module+"."+name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Exports lists what the module exports, sorted.
func (m *Module) Exports() []string {
	names := slices.Collect(maps.Keys(m.compiled.ExportedFunctions()))
	names = slices.AppendSeq(names, maps.Keys(m.compiled.ExportedMemories()))
	slices.Sort(names)
	return names
}

// Manifest returns the module's custom section of that name, or nil.
func (m *Module) Manifest() []byte {
	for _, section := range m.compiled.CustomSections() {
		if section.Name() == abi.ManifestSection {
			return section.Data()
		}
	}
	return nil
}

// Failure is an event that was not handled.
type Failure struct {
	Status abi.Status // unless the module crashed
	Text   string     // what was given to fail
	Trap   error      // how the module crashed
}

func (f *Failure) Error() string {
	if f.Trap != nil {
		return fmt.Sprintf("trap: %s: %v", f.Text, f.Trap)
	}
	if f.Status == abi.StatusReject {
		return "reject: " + f.Text
	}
	if f.Status == abi.StatusRetry {
		return "retry: " + f.Text
	}
	return fmt.Sprintf("status %d: %s", f.Status, f.Text)
}

// Deliver has the module handle an event. Its effects are kept if the status is 0; else the error is a *Failure. After
// a trap the next event gets a new instance.
func (m *Module) Deliver(e *event.Event, attempt int) error {
	ctx := context.Background()
	m.written, m.emitted, m.failed, m.kept = map[Key]*string{}, nil, "", nil
	status, err := m.call(ctx, abi.AppendEnvelope(nil, e, attempt))
	if err != nil {
		closing := errors.Join(err, m.discard(ctx))
		return &Failure{Text: m.failed, Trap: closing}
	}
	if status != abi.StatusOK {
		return &Failure{Status: status, Text: m.failed}
	}
	for key, value := range m.written {
		if value == nil {
			delete(m.Documents, key)
		} else {
			m.Documents[key] = *value
		}
	}
	m.Emitted = append(m.Emitted, m.emitted...)
	return nil
}

func (m *Module) call(ctx context.Context, envelope []byte) (abi.Status, error) {
	if m.instance == nil {
		if err := m.instantiate(ctx); err != nil {
			return 0, err
		}
	}
	in, size := m.instance, uint32(len(envelope))
	if size > in.size {
		if err := in.grow(ctx, size); err != nil {
			return 0, err
		}
	}
	if !in.module.Memory().Write(in.inbox, envelope) {
		return 0, errors.New("the inbox lies outside the memory")
	}
	in.stack[0] = uint64(size)
	if err := in.handle.CallWithStack(ctx, in.stack[:]); err != nil {
		return 0, err
	}
	return abi.Status(int32(in.stack[0])), nil
}

func (m *Module) instantiate(ctx context.Context) error {
	m.Output.Reset()
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithStdout(&m.Output).WithStderr(&m.Output)
	module, err := m.runtime.InstantiateModule(ctx, m.compiled, config)
	if err != nil {
		return fmt.Errorf("instantiate: %w", err)
	}
	m.instance = &instance{module: module, handle: module.ExportedFunction(abi.ExportHandle)}
	if module.ExportedFunction(abi.ExportMarker) == nil || m.instance.handle == nil || module.Memory() == nil {
		return fmt.Errorf("module lacks %s, %s or its memory", abi.ExportMarker, abi.ExportHandle)
	}
	if f := module.ExportedFunction(abi.ExportInitialize); f != nil {
		if _, err := f.Call(ctx); err != nil {
			return fmt.Errorf("%s: %w", abi.ExportInitialize, err)
		}
	}
	if f := module.ExportedFunction(abi.ExportInit); f != nil {
		result, err := f.Call(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", abi.ExportInit, err)
		}
		if result[0] != 0 {
			return fmt.Errorf("%s: status %d: %s", abi.ExportInit, int32(result[0]), m.failed)
		}
	}
	return m.instance.grow(ctx, abi.MinInboxBuffer)
}

func (in *instance) grow(ctx context.Context, size uint32) error {
	result, err := in.module.ExportedFunction(abi.ExportInbox).Call(ctx, uint64(size))
	if err != nil {
		return fmt.Errorf("%s: %w", abi.ExportInbox, err)
	}
	in.inbox, in.size = uint32(result[0]), size
	return nil
}

func (m *Module) discard(ctx context.Context) error {
	if m.instance == nil {
		return nil
	}
	err := m.instance.module.Close(ctx)
	m.instance = nil
	return err
}
