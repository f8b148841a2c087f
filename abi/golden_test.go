package abi

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
)

var update = flag.Bool("update", false, "write testdata anew")

// description is the JSON beside each golden vector, for the tests of SDKs in other languages.
// 64-bit numbers are strings, because JSON numbers lose digits in some languages.
type description struct {
	Kind  string `json:"kind"` // envelope, emit or scan
	About string `json:"about"`
	// DecodeOnly marks a vector that must be understood, but that version 1 does not write.
	DecodeOnly bool `json:"decode_only"`

	Envelope *envelopeFields `json:"envelope,omitempty"`
	Emit     *emitFields     `json:"emit,omitempty"`
	Scan     []scanFields    `json:"scan,omitzero"`
}

type envelopeFields struct {
	Position    string `json:"position"`
	Version     string `json:"version"`
	TimeMicros  string `json:"time_micros"`
	Attempt     uint32 `json:"attempt"`
	ID          string `json:"id"`
	Type        string `json:"type"`
	Stream      string `json:"stream"`
	StreamType  string `json:"stream_type"`
	DataHex     string `json:"data_hex"`
	Metadata    string `json:"metadata"`
	ContentType string `json:"content_type"`
}

type emitFields struct {
	Stream      string `json:"stream"`
	StreamType  string `json:"stream_type"`
	Type        string `json:"type"`
	DataHex     string `json:"data_hex"`
	Metadata    string `json:"metadata"`
	ContentType string `json:"content_type"`
}

type scanFields struct {
	Key      string `json:"key"`
	ValueHex string `json:"value_hex"`
}

func describeEnvelope(e *event.Event, attempt int) *envelopeFields {
	return &envelopeFields{
		Position:    strconv.FormatInt(int64(e.Position), 10),
		Version:     strconv.FormatInt(e.Version, 10),
		TimeMicros:  strconv.FormatInt(e.Time.UnixMicro(), 10),
		Attempt:     uint32(attempt),
		ID:          e.ID,
		Type:        e.Type,
		Stream:      e.Stream,
		StreamType:  e.StreamType,
		DataHex:     hex.EncodeToString(e.Data),
		Metadata:    string(e.Metadata),
		ContentType: e.ContentType,
	}
}

func describeEmit(e *event.Emitted) *emitFields {
	return &emitFields{
		Stream:      e.Stream,
		StreamType:  e.StreamType,
		Type:        e.Type,
		DataHex:     hex.EncodeToString(e.Data),
		Metadata:    string(e.Metadata),
		ContentType: e.ContentType,
	}
}

type vector struct {
	name string
	bin  []byte
	desc description
}

type envelopeCase struct {
	name, about string
	attempt     int
	event       event.Event
}

var envelopeCases = []envelopeCase{
	{
		name: "envelope-bank", about: "an ordinary event", attempt: 1,
		event: event.Event{
			Position: 4711, Version: 3, Time: time.Date(2024, 2, 29, 12, 30, 45, 123456000, time.UTC),
			ID: "0190163d-8694-739b-aea5-966c26f8ad91", Type: "Deposited", Stream: "account-42", StreamType: "account",
			Data: []byte(`{"amount":1250,"note":"salary"}`), Metadata: []byte(`{"tenant":"acme"}`), ContentType: "application/json",
		},
	},
	{
		name: "envelope-minimal", about: "everything that may be empty is empty", attempt: 1,
		event: event.Event{
			Position: 1, Version: 1, Time: time.UnixMicro(0).UTC(), ID: "a", Type: "T", Stream: "s",
			Data: []byte{}, Metadata: []byte{},
		},
	},
	{
		name: "envelope-limits", about: "the greatest numbers, and the earliest time that a store takes", attempt: math.MaxUint32,
		event: event.Event{
			Position: math.MaxInt64, Version: math.MaxInt64, Time: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
			ID: strings.Repeat("i", 512), Type: strings.Repeat("t", 512), Stream: strings.Repeat("s", 512), StreamType: strings.Repeat("k", 512),
			Data: bytes.Repeat([]byte{'9'}, 5000), Metadata: []byte(`{}`), ContentType: "application/json",
		},
	},
	{
		name: "envelope-unicode", about: "text of 1 to 4 bytes a character; lengths count bytes", attempt: 2,
		event: event.Event{
			Position: 9, Version: 2, Time: time.UnixMicro(1).UTC(), ID: "ключ-π", Type: "Überwiesen", Stream: "口座-🏦", StreamType: "口座",
			Data: []byte("{\"note\":\"naïve 🏦 \u2028 \\ud83c\\udfe6\"}"), Metadata: []byte(`{"who":"Zoë"}`), ContentType: "application/json",
		},
	},
	{
		name: "envelope-binary", about: "data that is no text: zero bytes, bytes that are no UTF-8; a time before 1970", attempt: 7,
		event: event.Event{
			Position: 2, Version: 1, Time: time.UnixMicro(-1).UTC(), ID: "b", Type: "Blob", Stream: "blob-1",
			Data: []byte{0x00, 0xff, 0xfe, 0x80, 0x00, 'E', 'S', 'H', '1', 0xc3}, Metadata: []byte(`{}`), ContentType: "application/octet-stream",
		},
	},
}

// laterEnvelope is what a later host may send: two slots more, bytes in another order, gaps between
// them, slots that share bytes.
func laterEnvelope() (envelopeCase, []byte) {
	c := envelopeCase{
		name: "envelope-later", about: "from a later host: two unknown slots, gaps, another order, slots that share bytes", attempt: 1,
		event: event.Event{
			Position: 77, Version: 5, Time: time.UnixMicro(1_700_000_000_000_000).UTC(), ID: "same", Type: "Moved", Stream: "same", StreamType: "",
			Data: []byte(`{"to":"X"}`), Metadata: []byte(`{}`), ContentType: "application/json",
		},
	}
	const slotCount, header = 9, 40 + 8*9
	body := []byte("\xaa\xaa\xaaapplication/json\xbb{\"to\":\"X\"}{}\xccMovedsame\xddnewer")
	at := func(s string) [2]uint32 {
		return [2]uint32{uint32(header + bytes.Index(body, []byte(s))), uint32(len(s))}
	}
	slots := [slotCount][2]uint32{
		at("same"), at("Moved"), at("same"), {header, 0}, at(`{"to":"X"}`), at(`{}`), at("application/json"), at("newer"), at("\xaa\xaa\xaa"),
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, EnvelopeMagic)
	b = le.AppendUint16(b, header)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(c.event.Position))
	b = le.AppendUint64(b, uint64(c.event.Version))
	b = le.AppendUint64(b, uint64(c.event.Time.UnixMicro()))
	b = le.AppendUint32(b, uint32(c.attempt))
	b = le.AppendUint32(b, slotCount)
	for _, s := range slots {
		b = le.AppendUint32(b, s[0])
		b = le.AppendUint32(b, s[1])
	}
	return c, append(b, body...)
}

type emitCase struct {
	name, about string
	emitted     event.Emitted
}

var emitCases = []emitCase{
	{
		name: "emit-full", about: "every slot is used",
		emitted: event.Emitted{
			Stream: "alert-42", StreamType: "alert", Type: "BalanceLow", Data: []byte(`{"account":"account-42","balance":-5}`),
			Metadata: []byte(`{"severity":"high"}`), ContentType: "application/json",
		},
	},
	{
		name: "emit-minimal", about: "only what an event must have: a stream, a type, and data that is JSON",
		emitted: event.Emitted{Stream: "s", Type: "T", Data: []byte("{}"), Metadata: []byte{}},
	},
	{
		name: "emit-unicode", about: "text beyond ASCII, data that is no text",
		emitted: event.Emitted{
			Stream: "口座-🏦", StreamType: "口座", Type: "Gelöscht", Data: []byte{0x00, 0xff, 0x80},
			Metadata: []byte(`{"who":"Zoë"}`), ContentType: "application/octet-stream",
		},
	},
}

type scanCase struct {
	name, about string
	docs        []scanFields
}

var scanCases = []scanCase{
	{name: "scan-empty", about: "no document was found", docs: []scanFields{}},
	{name: "scan-three", about: "three documents in byte order of their keys", docs: []scanFields{
		{Key: "account-1", ValueHex: hex.EncodeToString([]byte(`{"balance":950}`))},
		{Key: "account-10", ValueHex: hex.EncodeToString([]byte(`null`))},
		{Key: "account-é", ValueHex: hex.EncodeToString([]byte(`"` + strings.Repeat("ü", 300) + `"`))},
	}},
}

func appendScan(t *testing.T, docs []scanFields) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(len(docs)))
	for _, d := range docs {
		value, err := hex.DecodeString(d.ValueHex)
		if err != nil {
			t.Fatal(err)
		}
		b = le.AppendUint32(b, uint32(len(d.Key)))
		b = le.AppendUint32(b, uint32(len(value)))
		b = append(append(b, d.Key...), value...)
	}
	return b
}

func vectors(t *testing.T) []vector {
	var out []vector
	for _, c := range envelopeCases {
		out = append(out, vector{c.name, AppendEnvelope(nil, &c.event, c.attempt), description{
			Kind: "envelope", About: c.about, Envelope: describeEnvelope(&c.event, c.attempt),
		}})
	}
	later, bin := laterEnvelope()
	out = append(out, vector{later.name, bin, description{
		Kind: "envelope", About: later.about, DecodeOnly: true, Envelope: describeEnvelope(&later.event, later.attempt),
	}})
	for _, c := range emitCases {
		out = append(out, vector{c.name, AppendEmit(nil, &c.emitted), description{
			Kind: "emit", About: c.about, Emit: describeEmit(&c.emitted),
		}})
	}
	for _, c := range scanCases {
		out = append(out, vector{c.name, appendScan(t, c.docs), description{Kind: "scan", About: c.about, Scan: c.docs}})
	}
	return out
}

// TestGoldenVectors holds the codec to the committed bytes: what a module built years ago expects.
func TestGoldenVectors(t *testing.T) {
	known := make(map[string]bool)
	for _, v := range vectors(t) {
		known[v.name+".bin"], known[v.name+".json"] = true, true
		t.Run(v.name, func(t *testing.T) {
			golden(t, v.name+".bin", v.bin)
			golden(t, v.name+".json", describe(t, v.desc))
		})
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !f.IsDir() && !known[f.Name()] {
			t.Errorf("testdata/%s belongs to no vector", f.Name())
		}
	}
}

// TestDecodeGoldenVectors reads the committed bytes back and compares with their descriptions.
func TestDecodeGoldenVectors(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden vectors: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var want description
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		bin, err := os.ReadFile(strings.TrimSuffix(path, ".json") + ".bin")
		if err != nil {
			t.Fatal(err)
		}
		switch want.Kind {
		case "envelope":
			e, attempt, err := DecodeEnvelope(bin)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if got := describeEnvelope(&e, attempt); !reflect.DeepEqual(got, want.Envelope) {
				t.Errorf("%s: decoded %+v, want %+v", path, got, want.Envelope)
			}
		case "emit":
			e, err := DecodeEmit(bin)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if got := describeEmit(&e); !reflect.DeepEqual(got, want.Emit) {
				t.Errorf("%s: decoded %+v, want %+v", path, got, want.Emit)
			}
		case "scan":
			// The host only writes scans, TestGoldenVectors holds the bytes; guests read them.
		default:
			t.Errorf("%s: kind %q", path, want.Kind)
		}
	}
}

func describe(t *testing.T, d description) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; if the vector is new: go test ./abi -run Golden -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what is committed: modules in the field would break\n got %x\nwant %x", path, got, want)
	}
}
