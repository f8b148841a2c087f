package eventjson

import (
	"reflect"
	"strings"
	"testing"

	"eshost/host/store"
)

// TestDecodeForStream reads events whose stream is known.
func TestDecodeForStream(t *testing.T) {
	t.Parallel()
	d := Decoder{Stream: "s"}
	for text, want := range map[string]store.StreamAppend{
		`{"type":"T","data":1}`:              one("s", "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte("1")}),
		`{"stream":"s","type":"T","data":1}`: one("s", "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte("1")}),
		`{"specversion":"1.0","id":"1","source":"x","subject":"y","type":"T"}`: one("s", "", store.AnyVersion,
			store.NewEvent{ID: "1", Type: "T", Data: []byte("null"), Metadata: []byte(`{"source":"x","subject":"y"}`)}),
		`{"specversion":"1.0","id":"1","source":"x","subject":"s","type":"T"}`: one("s", "", store.AnyVersion,
			store.NewEvent{ID: "1", Type: "T", Data: []byte("null"), Metadata: []byte(`{"source":"x"}`)}),
	} {
		if got, err := d.Decode([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", text, got, err, want)
		}
	}
	if _, err := d.Decode([]byte(`{"stream":"other","type":"T","data":1}`)); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("another stream: %v", err)
	}
	if _, err := (Decoder{CloudEvents: true}).Decode([]byte(`{"stream":"s","type":"T","data":1}`)); err == nil || !strings.Contains(err.Error(), "specversion") {
		t.Errorf("no CloudEvent: %v", err)
	}
}

// TestBinary reads CloudEvents in binary mode.
func TestBinary(t *testing.T) {
	t.Parallel()
	attributes := func(more ...string) map[string]string {
		m := map[string]string{"specversion": "1.0", "id": "1", "source": `a"b`, "type": "T"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	for _, c := range []struct {
		contentType, data, stored, as string
	}{
		{"application/json", `{"a": 1}`, `{"a": 1}`, "application/json"}, {"", `{"a": 1}`, `{"a": 1}`, ""}, {"", "\xff", "\xff", "application/octet-stream"},
		{"text/plain", "", "", "text/plain"}, {"", "", "null", ""},
	} {
		s, err := Decoder{}.Binary(attributes("count", "3"), c.contentType, []byte(c.data))
		want := one(`a"b`, "", store.AnyVersion, store.NewEvent{ID: "1", Type: "T", Data: []byte(c.stored), ContentType: c.as, Metadata: []byte(`{"count":"3","source":"a\"b"}`)})
		if err != nil || !reflect.DeepEqual(s, want) {
			t.Errorf("%q %q: got %+v, %v", c.contentType, c.data, s, err)
		}
	}
	for want, bad := range map[string]map[string]string{
		"is no attribute":   attributes("data", "x"),
		"must be UTF-8":     attributes("subject", "\xff"),
		"specversion":       {"id": "1", "source": "s", "type": "T"},
		"unknown key":       attributes("Bad-Name", "x"),
		"must be like":      attributes("time", "noon"),
		"id is missing":     attributes("id", ""),
		"must be \"1.0\"":   attributes("specversion", "2.0"),
		"source is missing": attributes("source", ""),
	} {
		if _, err := (Decoder{}).Binary(bad, "", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", bad, err, want)
		}
	}
	if _, err := (Decoder{}).Binary(attributes(), "application/json", []byte("{")); err == nil || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("broken JSON: %v", err)
	}
}
