package abitest

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tetratelabs/wazero"
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

// link gives the runtime everything that a module may import.
func (m *Module) link(ctx context.Context) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, m.runtime); err != nil {
		return err
	}
	host := builder{m.runtime.NewHostModuleBuilder(abi.Module)}
	host.add(abi.FuncStateGet, 6, i64, m.stateGet)
	host.add(abi.FuncStateSet, 6, i32, m.stateSet)
	host.add(abi.FuncStateDelete, 4, i32, m.stateDelete)
	host.add(abi.FuncStateScan, 9, i64, m.stateScan)
	host.add(abi.FuncEmit, 2, i32, m.emit)
	host.add(abi.FuncLog, 3, 0, m.log)
	host.add(abi.FuncFail, 2, 0, m.fail)
	host.add(abi.FuncConfigGet, 4, i64, m.configGet)
	host.add(abi.FuncResultRead, 3, i32, m.resultRead)
	if _, err := host.Instantiate(ctx); err != nil {
		return err
	}
	assemblyscript := builder{m.runtime.NewHostModuleBuilder("env")}
	assemblyscript.add("abort", 4, 0, m.abort)
	assemblyscript.add("seed", 0, f64, func(_ guest, stack []uint64) { stack[0] = api.EncodeF64(1) })
	_, err := assemblyscript.Instantiate(ctx)
	return err
}

type builder struct{ wazero.HostModuleBuilder }

// add defines a function of so many i32; no result is 0.
func (b builder) add(name string, params int, result api.ValueType, call func(guest, []uint64)) {
	var results []api.ValueType
	if result != 0 {
		results = []api.ValueType{result}
	}
	f := api.GoModuleFunc(func(_ context.Context, module api.Module, stack []uint64) { call(guest{module.Memory()}, stack) })
	b.NewFunctionBuilder().WithGoModuleFunction(f, slices.Repeat([]api.ValueType{i32}, params), results).Export(name)
}

type guest struct{ memory api.Memory }

// bytes is a range of the guest's memory. One outside is a trap.
func (g guest) bytes(pointer, size uint64) []byte {
	b, ok := g.memory.Read(uint32(pointer), uint32(size))
	if !ok {
		panic(fmt.Sprintf("pointer %d and length %d are outside the memory", uint32(pointer), uint32(size)))
	}
	return b
}

func (g guest) text(pointer, size uint64) string { return string(g.bytes(pointer, size)) }

func (m *Module) stateGet(g guest, stack []uint64) {
	key, buf := Key{g.text(stack[0], stack[1]), g.text(stack[2], stack[3])}, g.bytes(stack[4], stack[5])
	value, found := m.Documents[key]
	if written, ok := m.written[key]; ok {
		if found = written != nil; found {
			value = *written
		}
	}
	switch errno := checkKey(key); {
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
	errno := checkKey(key)
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
	errno := checkKey(key)
	if errno == 0 {
		m.written[key] = nil
	}
	stack[0] = errno32(errno)
}

func (m *Module) stateScan(g guest, stack []uint64) {
	collection, prefix, after := g.text(stack[0], stack[1]), g.text(stack[2], stack[3]), g.text(stack[4], stack[5])
	limit, buf := int32(stack[6]), g.bytes(stack[7], stack[8])
	switch {
	case len(collection) > abi.MaxCollection || max(len(prefix), len(after)) > abi.MaxKey || limit > abi.MaxScan:
		stack[0] = errno64(abi.ErrnoTooLarge)
	case collection == "" || limit < 1 || !validNames(collection, prefix, after):
		stack[0] = errno64(abi.ErrnoInvalid)
	default:
		stack[0] = m.answer(m.scan(collection, prefix, after, int(limit)), buf)
	}
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
	e, err := abi.DecodeEmit(g.bytes(stack[0], stack[1]))
	if err != nil || e.Stream == "" || e.Type == "" || !validNames(e.Stream, e.StreamType, e.Type, e.ContentType) {
		stack[0] = errno32(abi.ErrnoInvalid)
		return
	}
	m.emitted = append(m.emitted, e)
	stack[0] = 0
}

func (m *Module) log(g guest, stack []uint64) {
	m.Logs = append(m.Logs, fmt.Sprint(int32(stack[0]), " ", g.text(stack[1], stack[2])))
}

func (m *Module) fail(g guest, stack []uint64) { m.failed = g.text(stack[0], stack[1]) }

func (m *Module) configGet(g guest, stack []uint64) {
	value, ok := m.Config[g.text(stack[0], stack[1])]
	buf := g.bytes(stack[2], stack[3])
	if !ok {
		stack[0] = errno64(abi.ErrnoNotFound)
		return
	}
	stack[0] = m.answer([]byte(value), buf)
}

func (m *Module) resultRead(g guest, stack []uint64) {
	buf, offset := g.bytes(stack[0], stack[1]), min(int(uint32(stack[2])), len(m.kept))
	stack[0] = uint64(copy(buf, m.kept[offset:]))
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
