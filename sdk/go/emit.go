package eshost

import (
	"encoding/binary"
	"unsafe"
)

// NewEvent is an event to emit.
type NewEvent struct {
	Stream     string // its event becomes the last of this stream
	StreamType string // empty means what the stream has
	Type       string
	Data       []byte
	Metadata   []byte // a JSON object, or empty
	// ContentType says what Data is, as a media type. Defaults to application/json.
	ContentType string
}

// Emit appends an event to the log, if and when the handler returns nil. It happens once, however often the handled
// event is tried or replayed. The plugin needs "emit" in its allow list.
func Emit(e NewEvent) error {
	argument := e.encode()
	return done(hostEmit(unsafe.Pointer(unsafe.SliceData(argument)), uint32(len(argument))), "emit", e.Stream, e.Type)
}

// Layout of emit's argument, see abi/ABI.md.
const (
	emitMagic  = 0x31544d45 // "EMT1"
	emitSlots  = 6
	emitHeader = 16 + 8*emitSlots
)

func (e *NewEvent) encode() []byte {
	le := binary.LittleEndian
	size := len(e.Stream) + len(e.StreamType) + len(e.Type) + len(e.Data) + len(e.Metadata) + len(e.ContentType)
	b := make([]byte, 0, emitHeader+size)
	b = le.AppendUint32(b, emitMagic)
	b = le.AppendUint16(b, emitHeader)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, emitSlots)
	b = le.AppendUint32(b, 0)
	at := emitHeader
	for _, n := range [emitSlots]int{len(e.Stream), len(e.StreamType), len(e.Type), len(e.Data), len(e.Metadata), len(e.ContentType)} {
		b = le.AppendUint32(b, uint32(at))
		b = le.AppendUint32(b, uint32(n))
		at += n
	}
	b = append(b, e.Stream...)
	b = append(b, e.StreamType...)
	b = append(b, e.Type...)
	b = append(b, e.Data...)
	b = append(b, e.Metadata...)
	return append(b, e.ContentType...)
}
