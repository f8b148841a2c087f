package abitest

import (
	"encoding/binary"
	"fmt"
	"slices"
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

// The envelope's layout.
const (
	fixedHeader = 40
	knownSlots  = 7
)

// withMoreSlots lays an event out as a later host might, with slots that version 1 does not know.
func withMoreSlots(e *event.Event) []byte {
	contents := slotContents(e)
	return envelope(e, append(contents, []byte("what a later host has to say"), nil, []byte("7")), func(int) (int, int) { return 0, 0 })
}

// withMovedSlots puts the slots' bytes in another order, with other bytes between.
func withMovedSlots(e *event.Event) []byte {
	return envelope(e, slotContents(e), func(i int) (place, gap int) { return knownSlots - 1 - i, 3 + 5*(i%4) })
}

func slotContents(e *event.Event) [][]byte {
	return [][]byte{[]byte(e.ID), []byte(e.Type), []byte(e.Stream), []byte(e.StreamType), e.Data, e.Metadata, []byte(e.ContentType)}
}

// envelope is an event's header with these slots, the i-th of which is written at a place among the others, behind a gap.
func envelope(e *event.Event, contents [][]byte, layout func(i int) (place, gap int)) []byte {
	le, header := binary.LittleEndian, fixedHeader+8*len(contents)
	b := make([]byte, header)
	copy(b, abi.AppendEnvelope(nil, e, 1)[:fixedHeader])
	le.PutUint16(b[4:], uint16(header))
	le.PutUint32(b[36:], uint32(len(contents)))
	order := make([]int, len(contents))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		first, _ := layout(i)
		second, _ := layout(j)
		return first - second
	})
	for _, i := range order {
		_, gap := layout(i)
		b = append(b, strings.Repeat("\xff{}\x00", gap)[:gap]...)
		le.PutUint32(b[fixedHeader+8*i:], uint32(len(b)))
		le.PutUint32(b[fixedHeader+8*i+4:], uint32(len(contents[i])))
		b = append(b, contents[i]...)
	}
	return b
}
