package abitest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"eshost/abi"
	"eshost/host/event"
)

// sampleTypes is how many of a manifest's event types are tried.
const sampleTypes = 8

// sampleEvents are the events that a module gets: those it was given, else some of the types that its manifest names, in two
// streams, with more than one kind of data.
func (k *kit) sampleEvents() []event.Event {
	if len(k.options.Events) > 0 {
		return k.options.Events
	}
	types := k.manifest().Events
	if len(types) == 0 {
		types = []string{"Sample"}
	}
	types = types[:min(len(types), sampleTypes)]
	var events []event.Event
	for round := range 2 {
		for i, eventType := range types {
			for _, stream := range []string{"sample-1", "sample-é-2"} {
				events = append(events, sample(len(events)+1, stream, eventType, []string{
					`{"id":"7","name":"Ada","amount":1250,"total":1250,"items":[1,2]}`, `{"owner":"Grace","currency":"EUR","amount":300}`,
				}[(round+i)%2]))
			}
		}
	}
	return events
}

func sample(position int, stream, eventType, data string) event.Event {
	return event.Event{
		Position: event.Position(position), Version: int64(position+1) / 2, ID: fmt.Sprintf("sample-%d", position), Type: eventType, Stream: stream,
		StreamType: "sample", Time: time.UnixMicro(1_700_000_000_123_456 + int64(position)), Data: []byte(data), Metadata: []byte(`{}`),
		ContentType: "application/json",
	}
}

// with is the first sample with another content.
func (k *kit) with(change func(*event.Event)) event.Event {
	e := k.samples[0]
	change(&e)
	return e
}

// later lays an event out as a later host might: with more slots than version 1 has, other bytes between the slots' own, and
// the slots' bytes in another order.
func later(e *event.Event, extra int) []byte {
	const fixed, known = 40, 7
	plain := abi.AppendEnvelope(nil, e, 1)
	le, header := binary.LittleEndian, fixed+8*(known+extra)
	b := make([]byte, header, len(plain)+1024)
	copy(b, plain[:fixed])
	le.PutUint16(b[4:], uint16(header))
	le.PutUint32(b[36:], known+uint32(extra))
	filler := strings.Repeat("\xff{}\x00", 5)
	for i := known + extra - 1; i >= 0; i-- {
		b = append(b, filler[:3+5*(i%4)]...)
		content := []byte("what slot 7 and those after it hold")
		if i < known {
			at, size := le.Uint32(plain[fixed+8*i:]), le.Uint32(plain[fixed+8*i+4:])
			content = plain[at : at+size]
		}
		le.PutUint32(b[fixed+8*i:], uint32(len(b)))
		le.PutUint32(b[fixed+8*i+4:], uint32(len(content)))
		b = append(b, content...)
	}
	return append(b, filler...)
}
