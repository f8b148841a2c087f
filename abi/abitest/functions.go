package abitest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"eshost/abi"
	"eshost/host/event"
)

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
	f64 = api.ValueTypeF64
)

// function is one that a module may import.
type function struct {
	module, name    string
	params, results []api.ValueType
	call            func(guest, []uint64) // nil for WASI's, which wazero has
}

// functions are those of abi/ABI.md and AssemblyScript's own.
func (m *Module) functions() []function {
	f := func(name string, params int, result api.ValueType, call func(guest, []uint64)) function {
		return function{abi.Module, name, slices.Repeat([]api.ValueType{i32}, params), results(result), call}
	}
	return []function{
		f(abi.FuncStateGet, 6, i64, m.stateGet),
		f(abi.FuncStateSet, 6, i32, m.stateSet),
		f(abi.FuncStateDelete, 4, i32, m.stateDelete),
		f(abi.FuncStateScan, 9, i64, m.stateScan),
		f(abi.FuncEmit, 2, i32, m.emit),
		f(abi.FuncLog, 3, 0, m.log),
		f(abi.FuncFail, 2, 0, m.fail),
		f(abi.FuncConfigGet, 4, i64, m.configGet),
		f(abi.FuncResultRead, 3, i32, m.resultRead),
		{"env", "abort", slices.Repeat([]api.ValueType{i32}, 4), nil, m.abort},
		{"env", "seed", nil, results(f64), m.seed},
	}
}

// results is one result, or none for 0.
func results(t api.ValueType) []api.ValueType {
	if t == 0 {
		return nil
	}
	return []api.ValueType{t}
}

// link gives the runtime everything that a module may import.
func (m *Module) link(ctx context.Context) error {
	wasi, err := wasi_snapshot_preview1.NewBuilder(m.runtime).Compile(ctx)
	if err != nil {
		return err
	}
	for name, f := range wasi.ExportedFunctions() {
		m.served = append(m.served, function{wasi_snapshot_preview1.ModuleName, name, f.ParamTypes(), f.ResultTypes(), nil})
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, m.runtime); err != nil {
		return err
	}
	own := m.functions()
	m.served = append(m.served, own...)
	for _, module := range []string{abi.Module, "env"} {
		builder := m.runtime.NewHostModuleBuilder(module)
		for _, f := range own {
			if f.module == module {
				call := api.GoModuleFunc(func(_ context.Context, module api.Module, stack []uint64) { f.call(guest{m, module.Memory()}, stack) })
				builder.NewFunctionBuilder().WithGoModuleFunction(call, f.params, f.results).Export(f.name)
			}
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

type guest struct {
	of     *Module
	memory api.Memory
}

// bytes is a range of the guest's memory. One outside is a trap.
func (g guest) bytes(pointer, size uint64) []byte {
	b, ok := g.memory.Read(uint32(pointer), uint32(size))
	if !ok {
		g.of.outside = fmt.Sprintf("pointer %d and length %d, in a memory of %d bytes", uint32(pointer), uint32(size), g.memory.Size())
		panic("outside the memory: " + g.of.outside)
	}
	return b
}

func (g guest) text(pointer, size uint64) string { return string(g.bytes(pointer, size)) }

// denied says why the host does not carry out a call, whatever its arguments: it was told to refuse it, or no event is
// being handled.
func (m *Module) denied(function string) abi.Errno {
	if m.refuse != nil {
		if errno := m.refuse(function); errno != 0 {
			return errno
		}
	}
	if m.current == nil && function != abi.FuncConfigGet {
		return abi.ErrnoDenied
	}
	return 0
}

func (m *Module) stateGet(g guest, stack []uint64) {
	key, buf := Key{g.text(stack[0], stack[1]), g.text(stack[2], stack[3])}, g.bytes(stack[4], stack[5])
	m.kept = nil
	value, found := m.Documents[key]
	if written, ok := m.written[key]; ok {
		if found = written != nil; found {
			value = *written
		}
	}
	if m.invent != "" {
		value, found = m.invent, true
	}
	switch errno := cmp.Or(m.denied(abi.FuncStateGet), checkKey(key)); {
	case errno != 0:
		stack[0] = errno64(errno)
	case !found:
		stack[0] = errno64(abi.ErrnoNotFound)
	default:
		stack[0] = m.answer([]byte(value), buf)
	}
}

func (m *Module) stateSet(g guest, stack []uint64) {
	key, value := Key{g.text(stack[0], stack[1]), g.text(stack[2], stack[3])}, g.text(stack[4], stack[5])
	errno := cmp.Or(m.denied(abi.FuncStateSet), checkKey(key))
	switch {
	case errno != 0:
	case len(value) > abi.MaxDocument:
		errno = abi.ErrnoTooLarge
	case !event.ValidJSON([]byte(value)):
		errno = abi.ErrnoInvalid
	default:
		m.written[key] = &value
	}
	stack[0] = errno32(errno)
}

func (m *Module) stateDelete(g guest, stack []uint64) {
	key := Key{g.text(stack[0], stack[1]), g.text(stack[2], stack[3])}
	errno := cmp.Or(m.denied(abi.FuncStateDelete), checkKey(key))
	if errno == 0 {
		m.written[key] = nil
	}
	stack[0] = errno32(errno)
}

func (m *Module) stateScan(g guest, stack []uint64) {
	collection, prefix, after := g.text(stack[0], stack[1]), g.text(stack[2], stack[3]), g.text(stack[4], stack[5])
	limit, buf := int32(stack[6]), g.bytes(stack[7], stack[8])
	m.kept = nil
	errno := m.denied(abi.FuncStateScan)
	switch {
	case errno != 0:
	case len(collection) > abi.MaxCollection || max(len(prefix), len(after)) > abi.MaxKey || limit > abi.MaxScan:
		errno = abi.ErrnoTooLarge
	case collection == "" || limit < 1 || !validNames(collection, prefix, after):
		errno = abi.ErrnoInvalid
	}
	if errno != 0 {
		stack[0] = errno64(errno)
		return
	}
	stack[0] = m.answer(m.scan(collection, prefix, after, int(limit)), buf)
}

func (m *Module) scan(collection, prefix, after string, limit int) []byte {
	docs := maps.Clone(m.Documents)
	for key, value := range m.written {
		if delete(docs, key); value != nil {
			docs[key] = *value
		}
	}
	maps.DeleteFunc(docs, func(k Key, _ string) bool {
		return k.Collection != collection || !strings.HasPrefix(k.Key, prefix) || k.Key <= after
	})
	keys := slices.SortedFunc(maps.Keys(docs), func(a, b Key) int { return strings.Compare(a.Key, b.Key) })
	keys = keys[:min(limit, len(keys))]
	list := binary.LittleEndian.AppendUint32(nil, uint32(len(keys)))
	for _, key := range keys {
		list = binary.LittleEndian.AppendUint32(list, uint32(len(key.Key)))
		list = binary.LittleEndian.AppendUint32(list, uint32(len(docs[key])))
		list = append(append(list, key.Key...), docs[key]...)
	}
	return list
}

func (m *Module) emit(g guest, stack []uint64) {
	b := g.bytes(stack[0], stack[1])
	errno := m.denied(abi.FuncEmit)
	var e event.Emitted
	if errno == 0 {
		e, errno = decodeEmitted(b)
	}
	if errno == 0 {
		m.emitted = append(m.emitted, e)
	}
	stack[0] = errno32(errno)
}

// The limits of an event in the log.
const (
	maxEventName = 512
	maxMetadata  = 256 << 10
)

func decodeEmitted(b []byte) (event.Emitted, abi.Errno) {
	e, err := abi.DecodeEmit(b)
	isJSON := e.ContentType == "" || e.ContentType == "application/json"
	isObject := len(e.Metadata) == 0 || event.ValidJSON(e.Metadata) && bytes.HasPrefix(bytes.TrimLeft(e.Metadata, " \t\r\n"), []byte("{"))
	switch {
	case err != nil:
		return e, abi.ErrnoInvalid
	case len(e.Data) > abi.MaxEmitData || len(e.Metadata) > maxMetadata,
		max(len(e.Stream), len(e.StreamType), len(e.Type), len(e.ContentType)) > maxEventName:
		return e, abi.ErrnoTooLarge
	case e.Stream == "" || e.Type == "" || !validNames(e.Stream, e.StreamType, e.Type, e.ContentType),
		isJSON && !event.ValidJSON(e.Data), !isObject:
		return e, abi.ErrnoInvalid
	}
	return e, 0
}

func (m *Module) log(g guest, stack []uint64) {
	m.Logs = append(m.Logs, fmt.Sprint(int32(stack[0]), " ", g.text(stack[1], stack[2])))
}

func (m *Module) fail(g guest, stack []uint64) { m.failed = g.text(stack[0], stack[1]) }

func (m *Module) configGet(g guest, stack []uint64) {
	key, buf := g.text(stack[0], stack[1]), g.bytes(stack[2], stack[3])
	m.kept = nil
	value, found := m.Config[key]
	errno := m.denied(abi.FuncConfigGet)
	switch {
	case errno != 0:
	case len(key) > abi.MaxKey:
		errno = abi.ErrnoTooLarge
	case !found:
		errno = abi.ErrnoNotFound
	}
	if errno != 0 {
		stack[0] = errno64(errno)
		return
	}
	stack[0] = m.answer([]byte(value), buf)
}

func (m *Module) resultRead(g guest, stack []uint64) {
	buf, offset := g.bytes(stack[0], stack[1]), min(int(uint32(stack[2])), len(m.kept))
	stack[0] = uint64(copy(buf, m.kept[offset:]))
}

// seed is what Math.random starts from: a number from 1 up to 2.
func (m *Module) seed(_ guest, stack []uint64) {
	stack[0] = 0x3ff<<52 | m.random.Uint64()&(1<<52-1)
}

// abort is AssemblyScript's: message and file are UTF-16, their lengths in bytes in the four bytes before.
func (m *Module) abort(g guest, stack []uint64) {
	text := func(pointer uint64) string {
		if uint32(pointer) < 4 {
			return ""
		}
		b := g.bytes(pointer, uint64(binary.LittleEndian.Uint32(g.bytes(pointer-4, 4))))
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		return string(utf16.Decode(units))
	}
	m.failed = fmt.Sprintf("%s at %s:%d:%d", text(stack[0]), text(stack[1]), uint32(stack[2]), uint32(stack[3]))
	panic(m.failed)
}

// answer writes data that fits, and keeps what does not.
func (m *Module) answer(data, buf []byte) uint64 {
	if m.kept = nil; len(data) <= len(buf) {
		copy(buf, data)
	} else {
		m.kept = data
	}
	return uint64(len(data))
}

func checkKey(k Key) abi.Errno {
	switch {
	case len(k.Collection) > abi.MaxCollection || len(k.Key) > abi.MaxKey:
		return abi.ErrnoTooLarge
	case k.Collection == "" || k.Key == "" || !validNames(k.Collection, k.Key):
		return abi.ErrnoInvalid
	}
	return 0
}

func validNames(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		return !utf8.ValidString(name) || strings.ContainsRune(name, 0)
	})
}

func errno32(e abi.Errno) uint64 { return uint64(uint32(e)) }
func errno64(e abi.Errno) uint64 { return uint64(int64(e)) }
