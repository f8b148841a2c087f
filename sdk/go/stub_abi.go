//go:build !wasip1

package eshost

import "unsafe"

// The functions of abi.go for native tests: they go to the TestHost that is delivering an event.

func bytesAt(p unsafe.Pointer, size uint32) []byte { return unsafe.Slice((*byte)(p), size) }

// give writes what fits, or has the host keep it for hostResultRead.
func give(data []byte, errno Errno, buf unsafe.Pointer, size uint32) int64 {
	if errno != 0 {
		return int64(errno)
	}
	if len(data) <= int(size) {
		copy(bytesAt(buf, size), data)
	} else {
		delivering("result_read").kept = data
	}
	return int64(len(data))
}

func hostStateGet(collection, key string, buf unsafe.Pointer, size uint32) int64 {
	data, errno := delivering("state_get").stateGet(collection, key)
	return give(data, errno, buf, size)
}

func hostStateSet(collection, key string, value unsafe.Pointer, size uint32) int32 {
	return int32(delivering("state_set").stateSet(collection, key, bytesAt(value, size)))
}

func hostStateDelete(collection, key string) int32 {
	return int32(delivering("state_delete").stateDelete(collection, key))
}

func hostStateScan(collection, prefix, after string, limit uint32, buf unsafe.Pointer, size uint32) int64 {
	list, errno := delivering("state_scan").stateScan(collection, prefix, after, limit)
	return give(list, errno, buf, size)
}

func hostEmit(argument unsafe.Pointer, size uint32) int32 {
	return int32(delivering("emit").emit(bytesAt(argument, size)))
}

func hostLog(level int32, text string) {
	h := delivering("log")
	h.logs = append(h.logs, LogLine{int(level), text})
}

func hostFail(text string) { delivering("fail").failText = text }

func hostConfigGet(key string, buf unsafe.Pointer, size uint32) int64 {
	value, errno := delivering("config_get").configGet(key)
	return give(value, errno, buf, size)
}

func hostResultRead(buf unsafe.Pointer, size, offset uint32) int32 {
	kept := delivering("result_read").kept
	return int32(copy(bytesAt(buf, size), kept[min(int(offset), len(kept)):]))
}
