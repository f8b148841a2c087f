package eshost

import (
	"encoding/binary"
	"time"
)

// Event is the event that is being handled. It reads from the buffer that the host wrote, so neither the Event nor
// the slices it returns may be kept when the handler returns; its strings may.
type Event struct {
	envelope []byte
	texts    [slotCount]string // made when asked for
	made     [slotCount]bool
}

// Layout of the envelope, see abi/ABI.md.
const (
	envelopeMagic = 0x31485345 // "ESH1"
	envelopeFixed = 40
)

const (
	slotID = iota
	slotType
	slotStream
	slotStreamType
	slotData
	slotMetadata
	slotContentType
	slotCount
)

func (e *Event) read(envelope []byte) {
	le := binary.LittleEndian
	if len(envelope) < envelopeFixed+8*slotCount || le.Uint32(envelope) != envelopeMagic || le.Uint32(envelope[36:]) < slotCount {
		panic("the host sent an event that this version of the SDK does not understand")
	}
	e.envelope = envelope
	e.made = [slotCount]bool{}
}

// Position is the event's place in the whole log. It grows from event to event, with holes.
func (e *Event) Position() int64 { return int64(binary.LittleEndian.Uint64(e.envelope[8:])) }

// Version is the event's place in its stream, from 1, without holes.
func (e *Event) Version() int64 { return int64(binary.LittleEndian.Uint64(e.envelope[16:])) }

// Time is when the event was recorded, in UTC and microseconds.
func (e *Event) Time() time.Time {
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(e.envelope[24:]))).UTC()
}

// Attempt is how often this event was handed to the plugin, this time included: 1, unless it failed before.
func (e *Event) Attempt() int { return int(binary.LittleEndian.Uint32(e.envelope[32:])) }

// ID is the event's identity, unique in the log.
func (e *Event) ID() string { return e.text(slotID) }

// Type is the event's type, for example Deposited.
func (e *Event) Type() string { return e.text(slotType) }

// Stream is the stream, which is to say the aggregate, that the event belongs to.
func (e *Event) Stream() string { return e.text(slotStream) }

// StreamType is the kind of stream. May be empty.
func (e *Event) StreamType() string { return e.text(slotStreamType) }

// Data is the event's data, exactly the bytes that were appended. Valid until the handler returns; do not write to it.
func (e *Event) Data() []byte { return e.slot(slotData) }

// DataText is Data as text.
func (e *Event) DataText() string { return e.text(slotData) }

// Metadata is the event's metadata, a JSON object. Valid until the handler returns; do not write to it.
func (e *Event) Metadata() []byte { return e.slot(slotMetadata) }

// ContentType says what Data is, as a media type, for example application/json.
func (e *Event) ContentType() string { return e.text(slotContentType) }

func (e *Event) slot(i int) []byte {
	at := envelopeFixed + 8*i
	offset, size := binary.LittleEndian.Uint32(e.envelope[at:]), binary.LittleEndian.Uint32(e.envelope[at+4:])
	return e.envelope[offset : offset+size : offset+size]
}

// text makes a slot a string, once an event. The string of the event before is taken again where it is the same, as
// types mostly are.
func (e *Event) text(i int) string {
	if !e.made[i] {
		if b := e.slot(i); string(b) != e.texts[i] {
			e.texts[i] = string(b)
		}
		e.made[i] = true
	}
	return e.texts[i]
}
