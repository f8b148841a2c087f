package plugin

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"time"
	"unicode/utf8"

	"eshost/abi"
	"eshost/host/event"
)

// abiFuncs are the functions of the ABI's version 1, as abi/ABI.md has them.
func abiFuncs() []hostFunc {
	f := func(name, params, results, grant string, call func(*Instance, []uint64)) hostFunc {
		return hostFunc{abi.Module, name, types(params), types(results), grant, call}
	}
	return []hostFunc{
		f(abi.FuncStateGet, "iiiiii", "I", abi.GrantState, stateGet),
		f(abi.FuncStateSet, "iiiiii", "i", abi.GrantState, stateSet),
		f(abi.FuncStateDelete, "iiii", "i", abi.GrantState, stateDelete),
		f(abi.FuncStateScan, "iiiiiiiii", "I", abi.GrantState, stateScan),
		f(abi.FuncEmit, "ii", "i", abi.GrantEmit, emit),
		f(abi.FuncLog, "iii", "", abi.GrantLog, logLine),
		f(abi.FuncFail, "ii", "", "", fail),
		f(abi.FuncConfigGet, "iiii", "I", "", configGet),
		f(abi.FuncResultRead, "iii", "i", "", resultRead),
	}
}

// view is a range of the guest's memory, given as a pointer and a length on the stack. It is valid until the guest runs
// again.
//
// Invariant 6: every address a guest names is checked here. One outside its memory stops it.
func (in *Instance) view(pointer, length uint64) []byte {
	b, ok := in.mem.Read(uint32(pointer), uint32(length))
	if !ok {
		in.stop(in.protocol("it gave the host a pointer or length outside its memory"))
	}
	return b
}

// answer hands data to a guest that offered a buffer: written if it fits, else kept for result_read.
func answer[T ~string | ~[]byte](in *Instance, data T, buf []byte) uint64 {
	if len(data) <= len(buf) {
		copy(buf, data)
		in.charge(len(data) / copyBytes)
	} else {
		in.job.kept = []byte(data)
	}
	return uint64(len(data))
}

// status is what a function that returns nothing answers, in its result's place.
func status(stack []uint64, e abi.Errno) { stack[0] = uint64(uint32(e)) }

// length64 is the same for a function that returns data.
func length64(stack []uint64, e abi.Errno) { stack[0] = uint64(int64(e)) }

func stateGet(in *Instance, stack []uint64) {
	collection, key, buf := in.view(stack[0], stack[1]), in.view(stack[2], stack[3]), in.view(stack[4], stack[5])
	in.job.kept = nil
	if e := in.checkDocument(collection, key); e != 0 {
		length64(stack, e)
		return
	}
	if in.job.reads++; in.job.reads > abi.MaxReads {
		length64(stack, abi.ErrnoQuota)
		return
	}
	left := in.leave()
	value, ok, err := in.job.fx.Get(in.call.Context, collection, key)
	in.enter(left, err)
	if !ok {
		length64(stack, abi.ErrnoNotFound)
		return
	}
	stack[0] = answer(in, value, buf)
}

func stateSet(in *Instance, stack []uint64) {
	collection, key, value := in.view(stack[0], stack[1]), in.view(stack[2], stack[3]), in.view(stack[4], stack[5])
	e := in.checkDocument(collection, key)
	if e == 0 {
		e = in.checkValue(value)
	}
	if e == 0 {
		e = in.countWrite(len(collection) + len(key) + len(value))
	}
	if e == 0 {
		left := in.leave()
		in.enter(left, in.job.fx.Set(collection, key, value))
	}
	status(stack, e)
}

func stateDelete(in *Instance, stack []uint64) {
	collection, key := in.view(stack[0], stack[1]), in.view(stack[2], stack[3])
	e := in.checkDocument(collection, key)
	if e == 0 {
		e = in.countWrite(len(collection) + len(key))
	}
	if e == 0 {
		left := in.leave()
		in.enter(left, in.job.fx.Delete(collection, key))
	}
	status(stack, e)
}

func stateScan(in *Instance, stack []uint64) {
	collection, prefix, after := in.view(stack[0], stack[1]), in.view(stack[2], stack[3]), in.view(stack[4], stack[5])
	limit, buf := int32(stack[6]), in.view(stack[7], stack[8])
	in.job.kept = nil
	if e := in.checkScan(collection, prefix, after, limit); e != 0 {
		length64(stack, e)
		return
	}
	left := in.leave()
	docs, err := in.job.fx.Scan(in.call.Context, collection, prefix, after, int(limit))
	in.enter(left, err)
	in.job.reads += len(docs)
	size := 4
	for i := range docs {
		size += 8 + len(docs[i].Key) + len(docs[i].Data)
	}
	if size > abi.MaxScanBytes {
		length64(stack, abi.ErrnoTooLarge)
		return
	}
	in.charge(size / copyBytes)
	if size <= len(buf) {
		appendDocuments(buf[:0], docs)
	} else {
		in.job.kept = appendDocuments(make([]byte, 0, size), docs)
	}
	stack[0] = uint64(size)
}

func appendDocuments(b []byte, docs []event.Document) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(docs)))
	for i := range docs {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(docs[i].Key)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(docs[i].Data)))
		b = append(b, docs[i].Key...)
		b = append(b, docs[i].Data...)
	}
	return b
}

func logLine(in *Instance, stack []uint64) {
	text := in.view(stack[1], stack[2])
	text = text[:min(len(text), abi.MaxLogLine+1)]
	in.charge(len(text) * fuelPerPrint)
	in.log(slogLevel(int32(stack[0])), text)
}

func (in *Instance) log(level slog.Level, text []byte) {
	var position event.Position
	if in.job.event != nil {
		position = in.job.event.Position
	}
	if !in.muted {
		in.module.log.line(in.call.Context, level, position, text)
	}
}

func fail(in *Instance, stack []uint64) {
	text := in.view(stack[0], stack[1])
	text = text[:min(len(text), abi.MaxFailText+1)]
	in.charge(len(text) * fuelPerPrint)
	in.job.fail = printable(text, abi.MaxFailText)
}

func configGet(in *Instance, stack []uint64) {
	key, buf := in.view(stack[0], stack[1]), in.view(stack[2], stack[3])
	in.job.kept = nil
	if len(key) > abi.MaxKey {
		length64(stack, abi.ErrnoTooLarge)
		return
	}
	value, ok := in.module.spec.Config[string(key)]
	if !ok {
		length64(stack, abi.ErrnoNotFound)
		return
	}
	stack[0] = answer(in, value, buf)
}

func resultRead(in *Instance, stack []uint64) {
	buf, offset := in.view(stack[0], stack[1]), uint32(stack[2])
	n := 0
	if int64(offset) < int64(len(in.job.kept)) {
		n = copy(buf, in.job.kept[offset:])
	}
	in.charge(n / copyBytes)
	stack[0] = uint64(n)
}

// leave and enter surround what the host does for the guest. The guest does not pay for the time that takes. An error of the
// host's stops the guest, so that it can neither see nor swallow it.
func (in *Instance) leave() time.Duration {
	in.job.inEffects = true
	return in.budget.leave()
}

func (in *Instance) enter(left time.Duration, err error) {
	in.job.inEffects = false
	in.budget.enter(left)
	if err != nil {
		in.stop(err)
	}
}

func (in *Instance) checkDocument(collection, key []byte) abi.Errno {
	switch {
	case in.job.fx == nil:
		return abi.ErrnoDenied
	case len(collection) > abi.MaxCollection || len(key) > abi.MaxKey:
		return abi.ErrnoTooLarge
	case len(collection) == 0 || len(key) == 0 || !validName(collection) || !validName(key):
		return abi.ErrnoInvalid
	}
	return 0
}

func (in *Instance) checkValue(value []byte) abi.Errno {
	if len(value) > abi.MaxDocument {
		return abi.ErrnoTooLarge
	}
	in.charge(len(value) * fuelPerJSON)
	if !event.ValidJSON(value) {
		return abi.ErrnoInvalid
	}
	return 0
}

func (in *Instance) checkScan(collection, prefix, after []byte, limit int32) abi.Errno {
	switch {
	case in.job.fx == nil:
		return abi.ErrnoDenied
	case len(collection) > abi.MaxCollection || len(prefix) > abi.MaxKey || len(after) > abi.MaxKey || limit > abi.MaxScan:
		return abi.ErrnoTooLarge
	case len(collection) == 0 || limit < 1 || !validName(collection) || !validName(prefix) || !validName(after):
		return abi.ErrnoInvalid
	}
	if in.job.reads++; in.job.reads > abi.MaxReads {
		return abi.ErrnoQuota
	}
	return 0
}

func (in *Instance) countWrite(size int) abi.Errno {
	if in.job.writes == abi.MaxWrites || in.job.writeBytes+size > abi.MaxWriteBytes {
		return abi.ErrnoQuota
	}
	in.job.writes++
	in.job.writeBytes += size
	return 0
}

// validName accepts what every database stores as text and compares alike: UTF-8 without zero bytes.
func validName(b []byte) bool {
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return utf8.Valid(b[i:]) && bytes.IndexByte(b[i:], 0) < 0
		}
		if c == 0 {
			return false
		}
	}
	return true
}
