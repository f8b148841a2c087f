package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
)

// Layout of the event's envelope and of emit's argument.
const (
	EnvelopeMagic  = 0x31485345 // "ESH1"
	EmitMagic      = 0x31544d45 // "EMT1"
	envelopeFixed  = 40
	envelopeSlots  = 7
	envelopeHeader = envelopeFixed + 8*envelopeSlots
	emitFixed      = 16
	emitSlots      = 6
	emitHeader     = emitFixed + 8*emitSlots
	maxSlots       = 64
)

// ErrEnvelope is returned for bytes that are no envelope.
var ErrEnvelope = errors.New("malformed envelope")

// EnvelopeSize returns how many bytes AppendEnvelope adds for e.
func EnvelopeSize(e *event.Event) int {
	return envelopeHeader + len(e.ID) + len(e.Type) + len(e.Stream) + len(e.StreamType) + len(e.Data) + len(e.Metadata) + len(e.ContentType)
}

// AppendEnvelope appends e's envelope to b. Attempts count from 1.
func AppendEnvelope(b []byte, e *event.Event, attempt int) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, EnvelopeMagic)
	b = le.AppendUint16(b, envelopeHeader)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(e.Position))
	b = le.AppendUint64(b, uint64(e.Version))
	b = le.AppendUint64(b, uint64(e.Time.UnixMicro()))
	b = le.AppendUint32(b, uint32(attempt))
	b = le.AppendUint32(b, envelopeSlots)
	at := uint32(envelopeHeader)
	for _, n := range [envelopeSlots]int{len(e.ID), len(e.Type), len(e.Stream), len(e.StreamType), len(e.Data), len(e.Metadata), len(e.ContentType)} {
		b = le.AppendUint32(b, at)
		b = le.AppendUint32(b, uint32(n))
		at += uint32(n)
	}
	b = append(b, e.ID...)
	b = append(b, e.Type...)
	b = append(b, e.Stream...)
	b = append(b, e.StreamType...)
	b = append(b, e.Data...)
	b = append(b, e.Metadata...)
	return append(b, e.ContentType...)
}

// DecodeEnvelope reads an envelope. The event's Data and Metadata alias b.
func DecodeEnvelope(b []byte) (event.Event, int, error) {
	slot, err := slots(b, EnvelopeMagic, envelopeFixed, 36, envelopeSlots)
	if err != nil {
		return event.Event{}, 0, err
	}
	le := binary.LittleEndian
	e := event.Event{
		Position:    event.Position(le.Uint64(b[8:])),
		Version:     int64(le.Uint64(b[16:])),
		Time:        time.UnixMicro(int64(le.Uint64(b[24:]))).UTC(),
		ID:          string(slot[0]),
		Type:        string(slot[1]),
		Stream:      string(slot[2]),
		StreamType:  string(slot[3]),
		Data:        slot[4],
		Metadata:    slot[5],
		ContentType: string(slot[6]),
	}
	return e, int(le.Uint32(b[32:])), nil
}

// AppendEmit appends the argument of emit for e to b. Cause and ID are the host's to give.
func AppendEmit(b []byte, e *event.Emitted) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, EmitMagic)
	b = le.AppendUint16(b, emitHeader)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, emitSlots)
	b = le.AppendUint32(b, 0)
	at := uint32(emitHeader)
	for _, n := range [emitSlots]int{len(e.Stream), len(e.StreamType), len(e.Type), len(e.Data), len(e.Metadata), len(e.ContentType)} {
		b = le.AppendUint32(b, at)
		b = le.AppendUint32(b, uint32(n))
		at += uint32(n)
	}
	b = append(b, e.Stream...)
	b = append(b, e.StreamType...)
	b = append(b, e.Type...)
	b = append(b, e.Data...)
	b = append(b, e.Metadata...)
	return append(b, e.ContentType...)
}

// DecodeEmit reads what a guest gave to emit. Nothing of the result aliases b.
func DecodeEmit(b []byte) (event.Emitted, error) {
	slot, err := slots(b, EmitMagic, emitFixed, 8, emitSlots)
	if err != nil {
		return event.Emitted{}, err
	}
	return event.Emitted{
		Stream:      string(slot[0]),
		StreamType:  string(slot[1]),
		Type:        string(slot[2]),
		Data:        append([]byte{}, slot[3]...),
		Metadata:    append([]byte{}, slot[4]...),
		ContentType: string(slot[5]),
	}, nil
}

// slots checks a header and returns the first want slots. It is safe on any bytes.
func slots(b []byte, magic uint32, fixed, countAt, want int) ([][]byte, error) {
	le := binary.LittleEndian
	if len(b) < fixed || le.Uint32(b) != magic {
		return nil, fmt.Errorf("%w: no header", ErrEnvelope)
	}
	header, n := int(le.Uint16(b[4:])), int(le.Uint32(b[countAt:]))
	if n < want || n > maxSlots || header < fixed+8*n || header > len(b) {
		return nil, fmt.Errorf("%w: %d slots in a header of %d bytes", ErrEnvelope, n, header)
	}
	out := make([][]byte, want)
	for i := range out {
		off, size := uint64(le.Uint32(b[fixed+8*i:])), uint64(le.Uint32(b[fixed+8*i+4:]))
		if off < uint64(header) && size > 0 || off+size > uint64(len(b)) {
			return nil, fmt.Errorf("%w: slot %d is outside", ErrEnvelope, i)
		}
		out[i] = b[off : off+size : off+size]
	}
	return out, nil
}
