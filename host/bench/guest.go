package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"eshost/abi"
	"eshost/host/internal/meter"
)

// guest is a module on bare wazero with the least host around it that the balances modules can live
// with, so that what differs between two guests is the module alone.
type guest struct {
	ctx     context.Context
	runtime wazero.Runtime
	module  api.Module
	entry   api.Function
	inbox   uint32
	stack   [2]uint64
	docs    map[string][]byte
	kept    []byte
	text    string
}

const guestInbox = 4096

func newGuest(ctx context.Context, wasm []byte, closing bool) (*guest, error) {
	ctx = context.WithoutCancel(ctx)
	g := &guest{ctx: ctx, runtime: runtimeFor(ctx, closing), docs: make(map[string][]byte)}
	if err := g.provide(); err != nil {
		return nil, err
	}
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithStderr(io.Discard)
	compiled, err := g.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	if g.module, err = g.runtime.InstantiateModule(ctx, compiled, config); err != nil {
		return nil, fmt.Errorf("instantiate: %w", err)
	}
	for _, start := range []string{abi.ExportInitialize, abi.ExportInit} {
		if f := g.module.ExportedFunction(start); f != nil {
			if _, err := f.Call(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", start, err)
			}
		}
	}
	got, err := g.module.ExportedFunction(abi.ExportInbox).Call(ctx, guestInbox)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	g.inbox = uint32(got[0])
	g.entry = g.module.ExportedFunction(abi.ExportHandle)
	return g, nil
}

func (g *guest) handle(envelope []byte) error {
	if len(envelope) > guestInbox || !g.module.Memory().Write(g.inbox, envelope) {
		return errors.New("the event does not fit the inbox")
	}
	g.stack[0] = uint64(len(envelope))
	if err := g.entry.CallWithStack(g.ctx, g.stack[:]); err != nil {
		return fmt.Errorf("handle: %w", err)
	}
	if status := abi.Status(int32(g.stack[0])); status != abi.StatusOK {
		return fmt.Errorf("handle: status %d: %s", status, g.text)
	}
	return nil
}

func (g *guest) provide() error {
	if _, err := wasi_snapshot_preview1.Instantiate(g.ctx, g.runtime); err != nil {
		return err
	}
	const i, l, f = api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF64
	host := g.runtime.NewHostModuleBuilder(abi.Module)
	export(host, abi.FuncStateGet, []api.ValueType{i, i, i, i, i, i}, []api.ValueType{l}, g.stateGet)
	export(host, abi.FuncStateSet, []api.ValueType{i, i, i, i, i, i}, []api.ValueType{i}, g.stateSet)
	export(host, abi.FuncConfigGet, []api.ValueType{i, i, i, i}, []api.ValueType{l}, func(_ api.Module, s []uint64) { s[0] = notFound })
	export(host, abi.FuncResultRead, []api.ValueType{i, i, i}, []api.ValueType{i}, func(m api.Module, s []uint64) {
		part := g.kept[min(uint64(len(g.kept)), uint64(uint32(s[2]))):]
		part = part[:min(uint64(len(part)), uint64(uint32(s[1])))]
		m.Memory().Write(uint32(s[0]), part)
		s[0] = uint64(len(part))
	})
	export(host, abi.FuncLog, []api.ValueType{i, i, i}, nil, func(api.Module, []uint64) {})
	export(host, abi.FuncFail, []api.ValueType{i, i}, nil, func(m api.Module, s []uint64) { g.text = string(view(m, s[0], s[1])) })
	if _, err := host.Instantiate(g.ctx); err != nil {
		return err
	}
	env := g.runtime.NewHostModuleBuilder("env")
	export(env, "abort", []api.ValueType{i, i, i, i}, nil, func(api.Module, []uint64) { panic(errors.New("abort")) })
	export(env, "seed", nil, []api.ValueType{f}, func(_ api.Module, s []uint64) { s[0] = api.EncodeF64(1) })
	if _, err := env.Instantiate(g.ctx); err != nil {
		return err
	}
	host = g.runtime.NewHostModuleBuilder(meter.ImportModule)
	export(host, meter.Refuel, nil, nil, func(m api.Module, _ []uint64) {
		m.ExportedGlobal(meter.FuelGlobal).(api.MutableGlobal).Set(200_000)
	})
	export(host, meter.Overflow, nil, nil, func(api.Module, []uint64) { panic(errors.New("stack overflow")) })
	_, err := host.Instantiate(g.ctx)
	return err
}

const notFound = math.MaxUint64 // -1

func export(b wazero.HostModuleBuilder, name string, params, results []api.ValueType, call func(api.Module, []uint64)) {
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, s []uint64) { call(m, s) }), params, results).Export(name)
}

func view(m api.Module, ptr, size uint64) []byte {
	b, _ := m.Memory().Read(uint32(ptr), uint32(size))
	return b
}

func (g *guest) stateGet(m api.Module, s []uint64) {
	doc, ok := g.docs[string(view(m, s[2], s[3]))]
	if !ok {
		s[0] = notFound
		return
	}
	if uint64(len(doc)) <= uint64(uint32(s[5])) {
		m.Memory().Write(uint32(s[4]), doc)
	} else {
		g.kept = doc
	}
	s[0] = uint64(len(doc))
}

func (g *guest) stateSet(m api.Module, s []uint64) {
	g.docs[string(view(m, s[2], s[3]))] = append([]byte(nil), view(m, s[4], s[5])...)
	s[0] = 0
}
