// Package abitest is the conformance kit: it holds a module, or a new SDK, to the sentences of abi/ABI.md. README.md
// beside this file says how.
//
// Check makes a report, Test makes subtests of it, and Load hands a module single events. All run a module against a host
// in memory that answers as abi/ABI.md says. It is made to find mistakes and no sandbox: it neither meters nor counts.
package abitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

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
	served   []function
	compiled wazero.CompiledModule
	instance *instance
	limit    time.Duration // of one call of the module; 0 is none
	late     bool          // a call took longer
	stuck    bool          // and could not be stopped

	// Answers that take the place of the host's, for the kit.
	refuse func(function string) abi.Errno // 0 lets the call through
	invent string                          // the document that state_get finds under every key, unless empty

	current *event.Event // what is being handled; nil while an instance starts
	random  *source      // what random_get draws from
	job
}

// job is what the event being handled has done so far.
type job struct {
	written map[Key]*string // nil was deleted
	emitted []event.Emitted
	failed  string
	kept    []byte
	outside string // an address outside the module's memory, if it gave one
}

type instance struct {
	module api.Module
	inbox  uint32
	size   uint32
	handle api.Function
}

// Load compiles a module, and closes it when the test ends.
func Load(t testing.TB, wasm []byte) *Module {
	t.Helper()
	ctx := context.Background()
	m, err := open(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.runtime.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return m
}

// maxMemoryPages is how much memory a module may have, in pages of 64 KiB.
const maxMemoryPages = 4096

func open(ctx context.Context, wasm []byte) (*Module, error) {
	// An interpreter: a test runs a module for a moment, a compiler works for seconds.
	config := wazero.NewRuntimeConfigInterpreter().WithCloseOnContextDone(true).WithMemoryLimitPages(maxMemoryPages).WithCustomSections(true)
	m := &Module{Config: map[string]string{}, Documents: map[Key]string{}, runtime: wazero.NewRuntimeWithConfig(ctx, config)}
	if err := m.link(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("link: %w", err), m.runtime.Close(ctx))
	}
	var err error
	if m.compiled, err = m.runtime.CompileModule(ctx, wasm); err != nil {
		return nil, errors.Join(fmt.Errorf("compile: %w", err), m.runtime.Close(ctx))
	}
	return m, nil
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
	return m.deliver(e, abi.AppendEnvelope(nil, e, attempt))
}

// deliver hands over an event as these bytes, which the caller laid out.
func (m *Module) deliver(e *event.Event, envelope []byte) error {
	if m.stuck {
		return &Failure{Trap: errTime{m.limit}}
	}
	ctx := context.Background()
	status, err := m.call(ctx, e, envelope)
	if m.stuck {
		return &Failure{Trap: err} // what else there is belongs to the call that is still running
	}
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

func (m *Module) call(ctx context.Context, e *event.Event, envelope []byte) (abi.Status, error) {
	m.job = job{written: map[Key]*string{}}
	if m.instance == nil {
		if err := m.instantiate(ctx); err != nil {
			return 0, err
		}
	}
	in, size := m.instance, uint32(len(envelope))
	m.begin(e)
	if size > in.size {
		if err := m.grow(ctx, size); err != nil {
			return 0, err
		}
	}
	if !in.module.Memory().Write(in.inbox, envelope) {
		return 0, errors.New("the inbox lies outside the memory")
	}
	status, err := m.invoke(ctx, in.handle, uint64(size))
	return abi.Status(int32(status)), err
}

// begin starts a job: an event's, or with nil an instance's start.
func (m *Module) begin(e *event.Event) {
	m.job = job{written: map[Key]*string{}}
	m.current, m.random = e, newSource(e)
}

func (m *Module) instantiate(ctx context.Context) error {
	m.Output.Reset()
	m.begin(nil)
	var module api.Module
	err := m.limited(ctx, func(ctx context.Context) (err error) {
		module, err = m.runtime.InstantiateModule(ctx, m.compiled, m.config())
		return err
	})
	if err != nil {
		return fmt.Errorf("instantiate: %w", err)
	}
	m.instance = &instance{module: module, handle: module.ExportedFunction(abi.ExportHandle)}
	if module.ExportedFunction(abi.ExportMarker) == nil || m.instance.handle == nil || module.Memory() == nil {
		return fmt.Errorf("module lacks %s, %s or its memory", abi.ExportMarker, abi.ExportHandle)
	}
	if f := module.ExportedFunction(abi.ExportInitialize); f != nil {
		if _, err := m.invoke(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", abi.ExportInitialize, err)
		}
	}
	if f := module.ExportedFunction(abi.ExportInit); f != nil {
		status, err := m.invoke(ctx, f)
		if err != nil {
			return fmt.Errorf("%s: %w", abi.ExportInit, err)
		}
		if status != 0 {
			return fmt.Errorf("%s: status %d: %s", abi.ExportInit, int32(status), m.failed)
		}
	}
	return m.grow(ctx, abi.MinInboxBuffer)
}

// grow asks the module for a buffer of at least size bytes.
func (m *Module) grow(ctx context.Context, size uint32) error {
	at, err := m.invoke(ctx, m.instance.module.ExportedFunction(abi.ExportInbox), uint64(size))
	if err != nil {
		return fmt.Errorf("%s: %w", abi.ExportInbox, err)
	}
	m.instance.inbox, m.instance.size = uint32(at), size
	return nil
}

// invoke calls a function of the module. Without a result it answers 0.
func (m *Module) invoke(ctx context.Context, f api.Function, params ...uint64) (result uint64, err error) {
	err = m.limited(ctx, func(ctx context.Context) error {
		results, err := f.Call(ctx, params...)
		if len(results) > 0 {
			result = results[0]
		}
		return err
	})
	return result, err
}

func (m *Module) discard(ctx context.Context) error {
	if m.instance == nil || m.stuck {
		return nil
	}
	err := m.instance.module.Close(ctx)
	m.instance = nil
	return err
}
