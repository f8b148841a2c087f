package plugin_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"eshost/abi"
	"eshost/host/event"
	"eshost/host/internal/plugin"
)

// A record is one call of a host function: its number, then nine arguments of four bytes.
const recordSize = 1 + 9*4

// callerModule is a guest that imports every function the host serves and makes the calls in its event's data. Arguments are
// cut to 18 bits and the sign, so that half of the addresses lie in its memory of 512 KiB.
func callerModule(functions []plugin.ServedFunction) []byte {
	leb := func(v int) []byte { return binary.AppendUvarint(nil, uint64(v)) }
	sized := func(b []byte) []byte { return append(leb(len(b)), b...) }
	section := func(id byte, count int, items []byte) []byte {
		return append([]byte{id}, sized(append(leb(count), items...))...)
	}
	n := len(functions)
	types := slices.Concat([]byte{0x60, 0, 0}, []byte{0x60, 1, 0x7f, 1, 0x7f})
	var imports []byte
	for i, f := range functions {
		types = slices.Concat(types, []byte{0x60}, sized(f.Params), sized(f.Results))
		imports = slices.Concat(imports, sized([]byte(f.Module)), sized([]byte(f.Name)), []byte{0}, leb(i+2))
	}
	const inbox, slotData = 0x10000, 40 + 8*4
	i32c := func(v uint32) []byte {
		out := []byte{0x41}
		for s := int64(int32(v)); ; s >>= 7 {
			if s>>6 == 0 || s>>6 == -1 {
				return append(out, byte(s)&0x7f)
			}
			out = append(out, byte(s)&0x7f|0x80)
		}
	}
	// Local 1 is the next record, local 2 the end of the data.
	body := slices.Concat([]byte{1, 2, 0x7f},
		i32c(inbox), i32c(inbox+slotData), []byte{0x28, 0, 0, 0x6a, 0x22, 1},
		i32c(inbox+slotData+4), []byte{0x28, 0, 0, 0x6a, 0x21, 2},
		[]byte{0x02, 0x40, 0x03, 0x40},                                          // block: out, loop: more
		[]byte{0x20, 1}, i32c(recordSize), []byte{0x6a, 0x20, 2, 0x4b, 0x0d, 1}, // if next + size > end: out
		bytes.Repeat([]byte{0x02, 0x40}, n+1), // one block for each function, and one around them
		[]byte{0x20, 1, 0x2d, 0, 0}, i32c(uint32(n)), []byte{0x70, 0x0e}, leb(n-1))
	for i := range n {
		body = append(body, leb(i)...)
	}
	for i, f := range functions {
		body = append(body, 0x0b)
		for j, p := range f.Params {
			body = slices.Concat(body, []byte{0x20, 1, 0x28, 0}, leb(1+4*j), i32c(0x8003ffff), []byte{0x71})
			if p == api.ValueTypeI64 {
				body = append(body, 0xac)
			}
		}
		body = slices.Concat(body, []byte{0x10}, leb(i), bytes.Repeat([]byte{0x1a}, len(f.Results)), []byte{0x0c}, leb(n-1-i))
	}
	body = slices.Concat(body, []byte{0x0b, 0x20, 1}, i32c(recordSize), []byte{0x6a, 0x21, 1, 0x0c, 0, 0x0b, 0x0b, 0x41, 0, 0x0b})
	export := func(name string, kind byte, index int) []byte {
		return slices.Concat(sized([]byte(name)), []byte{kind}, leb(index))
	}
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, n+2, types), section(2, n, imports), section(3, 3, []byte{0, 1, 1}), section(5, 1, []byte{0, 8}),
		section(7, 4, slices.Concat(export("memory", 2, 0), export("eshost_abi_v1", 0, n), export("eshost_inbox", 0, n+1), export("handle", 0, n+2))),
		section(10, 3, slices.Concat(sized([]byte{0, 0x0b}), sized(slices.Concat([]byte{0}, i32c(inbox), []byte{0x0b})), sized(body))))
}

// FuzzHostCalls lets a guest call any function with any arguments: the ABI's, AssemblyScript's and WASI's. Whatever it does is its
// own failure, and what gets through has been checked.
func FuzzHostCalls(f *testing.F) {
	e := newEngine(f, plugin.EngineOptions{})
	functions := e.ServedFunctions()
	m, err := e.Load(f.Context(), callerModule(functions), plugin.Spec{Name: "caller", Grants: plugin.Grants(),
		Config: map[string]string{"k": "v"}, Limits: plugin.Limits{Time: 20 * time.Millisecond}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = m.Close(f.Context()) })
	// The event's data begin at 0x10000 + 96 + id and names; what a seed needs is put behind its records.
	record := func(name string, args ...int) []byte {
		i := slices.IndexFunc(functions, func(g plugin.ServedFunction) bool { return g.Name == name })
		if i < 0 {
			f.Fatalf("no function %s", name)
		}
		out := []byte{byte(i)}
		for _, a := range append(args, make([]int, 9-len(args))...) {
			out = binary.LittleEndian.AppendUint32(out, uint32(a))
		}
		return out
	}
	first := newEvent("")
	data := 0x10000 + abi.EnvelopeSize(first) - len(first.Metadata) - len(first.ContentType)
	const c, k = 0x20000, 0x30000
	for _, g := range functions {
		f.Add(slices.Concat(record(g.Name, data+74, 1, data+75, 1, data+76, 7), record(g.Name, -1, -1, -1, -1), []byte(`ck{"a":1}`)))
	}
	documents := slices.Concat(record("state_set", data+148, 1, data+149, 1, data+150, 7), record("state_get", data+148, 1, data+149, 1, k, 3),
		record("result_read", k, 100, 0), record("state_scan", data+148, 1, 0, 0, 0, 0, 1000, c, 1000), []byte(`ck{"a":1}`))
	f.Add(documents)
	emitted := abi.AppendEmit(nil, &event.Emitted{Stream: "s", Type: "T", Data: []byte("{}"), Metadata: []byte("{}")})
	f.Add(slices.Concat(record("emit", data+37, len(emitted)), emitted))
	ev, fx := newEvent(""), newMemory()
	ev.Data = documents
	if err := instance(f, m).Handle(f.Context(), ev, 1, fx); err != nil || string(fx.docs["c\x00k"]) != `{"a":1}` {
		f.Fatalf("the guest does not make its calls: %v, %q", err, fx.docs)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := instance(t, m)
		ev := newEvent("")
		ev.Data = data
		fx := newMemory("docs", "a", "1")
		err := in.Handle(t.Context(), ev, 1, fx)
		var failed *event.Failure
		if err != nil && !errors.As(err, &failed) {
			t.Errorf("the host is in trouble: %v", err)
		}
		if failed != nil && (!utf8.ValidString(failed.Message) || len(failed.Message) > 10*abi.MaxFailText+1<<10) { // an escape has up to ten bytes
			t.Errorf("the message is %q", failed.Message)
		}
		for name, value := range fx.docs {
			if !event.ValidJSON(value) || bytes.Count([]byte(name), []byte{0}) != 1 || !utf8.ValidString(name) {
				t.Errorf("document %q has the value %q", name, value)
			}
		}
		for _, e := range fx.emitted {
			if e.Stream == "" || e.Type == "" || e.Cause != ev.Position || !event.ValidJSON(e.Metadata) || e.ContentType == "application/json" && !event.ValidJSON(e.Data) {
				t.Errorf("emitted %+v", e)
			}
		}
	})
}

// FuzzManifest: no section crashes the reader, and what it accepts can be shown to people.
func FuzzManifest(f *testing.F) {
	for _, section := range []string{
		`{"name": "balances", "version": "1.2", "events": ["Deposited"], "collections": ["accounts"], "later": true}`,
		`{}`, `null`, `[]`, `{"events": 3}`, "{\"name\": \"\\u001b[31m\"}", `{"name": "a", "name": "b"}`, "\xff", "",
	} {
		f.Add(section)
	}
	empty := guest(f, "empty")
	f.Fuzz(func(t *testing.T, section string) {
		if len(section) > 100_000 {
			t.Skip("the format of the test's own section is too small for it")
		}
		m, err := plugin.ReadManifest(withSection(empty, "eshost.manifest", section))
		if err != nil {
			if !errors.Is(err, plugin.ErrManifest) {
				t.Errorf("got %v", err)
			}
			return
		}
		if m == nil {
			t.Fatal("the section was not found")
		}
		for _, text := range slices.Concat([]string{m.Name, m.Version}, m.Events, m.Collections) {
			if !utf8.ValidString(text) || plugin.Printable(text, 1<<20) != text {
				t.Errorf("it has the text %q", text)
			}
		}
	})
}

// FuzzEnvelope sends events through a guest that copies its envelope into a document: what a guest sees is the event.
func FuzzEnvelope(f *testing.F) {
	e := newEngine(f, plugin.EngineOptions{})
	m := load(f, e, "copy", plugin.Spec{})
	f.Add(int64(1), int64(1), int64(0), uint8(1), "id", "Type", "stream", "kind", []byte("{}"), []byte("{}"), "application/json")
	f.Add(int64(1)<<62, int64(1)<<40, int64(-1), uint8(255), "größer", "日本", "\x00", "", []byte{0xff}, []byte(`{"a":"b"}`), "")
	f.Fuzz(func(t *testing.T, position, version, micros int64, attempt uint8, id, typ, stream, streamType string, data, metadata []byte, contentType string) {
		want := event.Event{Position: event.Position(position), Version: version, Time: time.UnixMicro(micros).UTC(), ID: id, Type: typ,
			Stream: stream, StreamType: streamType, Data: data, Metadata: metadata, ContentType: contentType}
		if abi.EnvelopeSize(&want) > 400_000 {
			t.Skip("a document would be too large")
		}
		fx := newMemory()
		if err := instance(t, m).Handle(t.Context(), &want, int(attempt), fx); err != nil {
			t.Fatal(err)
		}
		hex := fx.docs["c\x00k"]
		envelope := make([]byte, (len(hex)-2)/2)
		for i := range envelope {
			envelope[i] = (hex[1+2*i]-'a')<<4 | (hex[2+2*i] - 'a')
		}
		got, seen, err := abi.DecodeEnvelope(envelope)
		if err != nil {
			t.Fatal(err)
		}
		if seen != int(attempt) || got.Position != want.Position || got.Version != want.Version || !got.Time.Equal(want.Time) || got.ID != id ||
			got.Type != typ || got.Stream != stream || got.StreamType != streamType || !bytes.Equal(got.Data, data) ||
			!bytes.Equal(got.Metadata, metadata) || got.ContentType != contentType {
			t.Errorf("the guest saw %+v, attempt %d; the event was %+v", got, seen, want)
		}
	})
}
