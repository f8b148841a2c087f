//go:build !wasip1

package eshost

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The golden vectors of abi/testdata hold this package to the host's bytes.

type vector struct {
	bin        []byte
	Kind       string
	DecodeOnly bool `json:"decode_only"`
	Envelope   *struct {
		Position, Version string
		TimeMicros        string `json:"time_micros"`
		Attempt           uint32
		ID, Type, Stream  string
		StreamType        string  `json:"stream_type"`
		Data              hexText `json:"data_hex"`
		Metadata          string
		ContentType       string `json:"content_type"`
	}
	Emit *struct {
		Stream, Type string
		StreamType   string  `json:"stream_type"`
		Data         hexText `json:"data_hex"`
		Metadata     string
		ContentType  string `json:"content_type"`
	}
	Scan []struct {
		Key   string
		Value hexText `json:"value_hex"`
	}
}

type hexText []byte

func (h *hexText) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode([]byte{}, text)
	return err
}

// vectors runs check as a subtest of each golden vector of a kind.
func vectors(t *testing.T, kind string, check func(*testing.T, vector)) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "abi", "testdata", kind+"-*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors of kind %s: %v", kind, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			if v.Kind != kind {
				t.Fatalf("is of kind %q", v.Kind)
			}
			if v.bin, err = os.ReadFile(strings.TrimSuffix(path, ".json") + ".bin"); err != nil {
				t.Fatal(err)
			}
			check(t, v)
		})
	}
}

func number(t *testing.T, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEventsAreRead(t *testing.T) {
	vectors(t, "envelope", func(t *testing.T, v vector) {
		var e Event
		e.read(v.bin)
		want := v.Envelope
		got := []any{
			e.Position(), e.Version(), e.Time(), uint32(e.Attempt()), e.ID(), e.Type(), e.Stream(), e.StreamType(),
			string(e.Data()), e.DataText(), string(e.Metadata()), e.ContentType(),
		}
		if !reflect.DeepEqual(got, []any{
			number(t, want.Position), number(t, want.Version), time.UnixMicro(number(t, want.TimeMicros)).UTC(), want.Attempt,
			want.ID, want.Type, want.Stream, want.StreamType, string(want.Data), string(want.Data), want.Metadata, want.ContentType,
		}) {
			t.Errorf("read %q\nwant %+v", got, want)
		}
	})
}

// The strings of one event must not be the next one's, though their memory is taken again where they are equal.
func TestAnEventIsReadAfterAnother(t *testing.T) {
	var e Event
	var kept []string
	for _, data := range []string{"one", "one", "two", "", "three"} {
		e.read(TestEvent{Type: data, Stream: "same", Data: []byte(data)}.envelope())
		if e.Type() != data || e.DataText() != data || e.Stream() != "same" || e.ID() != "" {
			t.Errorf("read %q %q %q %q, want %q", e.Type(), e.DataText(), e.Stream(), e.ID(), data)
		}
		kept = append(kept, e.Type())
	}
	if got := strings.Join(kept, ","); got != "one,one,two,,three" {
		t.Errorf("kept strings became %s", got)
	}
}

func TestAnUnknownEnvelopeIsRefused(t *testing.T) {
	good := TestEvent{Type: "T"}.envelope()
	spoilt := bytes.Clone(good)
	spoilt[3] = '2'
	for _, envelope := range [][]byte{nil, good[:95], spoilt} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was read", envelope)
				}
			}()
			new(Event).read(envelope)
		}()
	}
}

func TestTheFakeHostWritesEventsAsTheHostDoes(t *testing.T) {
	vectors(t, "envelope", func(t *testing.T, v vector) {
		if v.DecodeOnly {
			t.Skip("is only read")
		}
		e := TestEvent{
			Position: number(t, v.Envelope.Position), Version: number(t, v.Envelope.Version),
			Time: time.UnixMicro(number(t, v.Envelope.TimeMicros)), Attempt: int(v.Envelope.Attempt),
			ID: v.Envelope.ID, Type: v.Envelope.Type, Stream: v.Envelope.Stream, StreamType: v.Envelope.StreamType,
			Data: v.Envelope.Data, Metadata: v.Envelope.Metadata, ContentType: v.Envelope.ContentType,
		}
		if got := e.envelope(); !bytes.Equal(got, v.bin) {
			t.Errorf("wrote %q\nwant %q", got, v.bin)
		}
	})
}

func TestEmittedEventsAreWritten(t *testing.T) {
	vectors(t, "emit", func(t *testing.T, v vector) {
		e := NewEvent{
			Stream: v.Emit.Stream, StreamType: v.Emit.StreamType, Type: v.Emit.Type,
			Data: v.Emit.Data, Metadata: []byte(v.Emit.Metadata), ContentType: v.Emit.ContentType,
		}
		if got := e.encode(); !bytes.Equal(got, v.bin) {
			t.Errorf("wrote %q\nwant %q", got, v.bin)
		}
		var h TestHost
		if errno := h.emit(v.bin); errno != 0 {
			t.Fatal(errno)
		}
		if !reflect.DeepEqual(h.emits, []NewEvent{e}) {
			t.Errorf("the fake host read %q\nwant %q", h.emits, e)
		}
	})
}

func TestScansAreRead(t *testing.T) {
	vectors(t, "scan", func(t *testing.T, v vector) {
		docs := decodeScan(v.bin)
		if len(docs) != len(v.Scan) {
			t.Fatalf("read %d documents, want %d", len(docs), len(v.Scan))
		}
		for i, want := range v.Scan {
			if docs[i].Key != want.Key || !bytes.Equal(docs[i].Data, want.Value) {
				t.Errorf("document %d is %q, want %q", i, docs[i], want)
			}
		}
	})
}
