package eventjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

func one(stream, kind string, expected store.Expected, e store.NewEvent) store.StreamAppend {
	return store.StreamAppend{Stream: stream, StreamType: kind, Expected: expected, Events: []store.NewEvent{e}}
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestDecode(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]store.StreamAppend{
		`{"stream":"a","type":"T","data":{"z": 1,  "a":[ ]}}`:          one("a", "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte(`{"z": 1,  "a":[ ]}`)}),
		` { "type" : "T" , "data" : null , "stream" : "a" } `:          one("a", "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte("null")}),
		`{"stream":"\u0061\"","type":"T","data":"}\"{"}`:               one(`a"`, "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte(`"}\"{"`)}),
		`{"stream":"a","type":"T","data":-1.50e3}`:                     one("a", "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte("-1.50e3")}),
		`{"stream":"a","type":"T","data_base64":"AP8="}`:               one("a", "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte{0, 255}}),
		`{"stream":"a","type":"T","data_base64":""}`:                   one("a", "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte{}}),
		`{"stream":"a","type":"T","data":1,"expected_version":"none"}`: one("a", "", store.NoStream, store.NewEvent{Type: "T", Data: []byte("1")}),
		`{"stream":"a","type":"T","data":1,"expected_version":"any"}`:  one("a", "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte("1")}),
		`{"stream":"a","stream_type":"k","type":"T","data":1,"id":"i","expected_version":7,"metadata":{"m": 1},"content_type":"c","time":"2026-01-31T13:00:00+01:00","position":5,"version":8}`: one("a", "k", 7,
			store.NewEvent{Type: "T", Data: []byte("1"), ID: "i", Metadata: []byte(`{"m": 1}`), ContentType: "c", Time: noon}),
		`{"stream":"a","stream_type":null,"type":"T","data":1,"id":null,"metadata":null,"time":null}`: one("a", "", store.AnyVersion, store.NewEvent{Type: "T", Data: []byte("1")}),

		`{"specversion":"1.0","id":"1","source":"/bank","type":"T","subject":"acc-1","time":"2026-01-31T12:00:00Z","traceparent":"x","count":3,"data":{"a":1}}`: one("acc-1", "", store.AnyVersion,
			store.NewEvent{ID: "1", Type: "T", Data: []byte(`{"a":1}`), Metadata: []byte(`{"count":3,"source":"/bank","traceparent":"x"}`), Time: noon}),
		`{"specversion":"1.0","id":"1","source":"/bank","type":"T"}`: one("/bank", "", store.AnyVersion,
			store.NewEvent{ID: "1", Type: "T", Data: []byte("null"), Metadata: []byte(`{"source":"/bank"}`)}),
		`{"specversion":"1.0","id":"1","source":"s","type":"T","datacontenttype":"text/plain; charset=utf-8","data":"a\nb"}`: one("s", "", store.AnyVersion,
			store.NewEvent{ID: "1", Type: "T", Data: []byte("a\nb"), ContentType: "text/plain; charset=utf-8", Metadata: []byte(`{"source":"s"}`)}),
		`{"specversion":"1.0","id":"1","source":"s","type":"T","datacontenttype":"application/vnd.x+json; v=1","data":"a"}`: one("s", "", store.AnyVersion,
			store.NewEvent{ID: "1", Type: "T", Data: []byte(`"a"`), ContentType: "application/vnd.x+json; v=1", Metadata: []byte(`{"source":"s"}`)}),
		`{"specversion":"1.0","id":"1","source":"s","type":"T","datacontenttype":"image/png","data_base64":"iVBORw=="}`: one("s", "", store.AnyVersion,
			store.NewEvent{ID: "1", Type: "T", Data: []byte("\x89PNG"), ContentType: "image/png", Metadata: []byte(`{"source":"s"}`)}),
	} {
		got, err := Decode([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", text, got, err, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", event.MaxJSONDepth) + strings.Repeat("]", event.MaxJSONDepth)
	for text, want := range map[string]string{
		`{`:                                   "not JSON: unexpected end of JSON input, at byte 1",
		`{"stream":"a"} x`:                    "not JSON: invalid character 'x' after top-level value, at byte 16",
		`[1]`:                                 "must be a JSON object",
		`"a"`:                                 "must be a JSON object",
		"{\"stream\":\"\xff\"}":               "must be UTF-8 and nested at most 256 deep",
		`{"data":` + deep + `}`:               "must be UTF-8 and nested at most 256 deep",
		`{}`:                                  "data is missing",
		`{"type":"T","data":1}`:               "stream is missing",
		`{"stream":"","type":"T","data":1}`:   "stream is missing",
		`{"stream":null,"type":"T","data":1}`: "stream is missing",
		`{"stream":"a","data":1}`:             "type is missing",
		`{"stream":"a","stream":"b","type":"T","data":1}`:                   `key "stream" occurs twice`,
		`{"stream":"a","str\u0065am":"b","type":"T","data":1}`:              `key "stream" occurs twice`,
		`{"stream":7,"type":"T","data":1}`:                                  "stream must be text",
		`{"stream":"a","tpye":"T","data":1}`:                                `unknown key "tpye", known are ` + ownKeys,
		`{"stream":"a","type":"T","data":1,"Data":1}`:                       `unknown key "Data", known are ` + ownKeys,
		`{"stream":"a","type":"T","data":1,"data_base64":""}`:               "data and data_base64 exclude each other",
		`{"stream":"a","type":"T","data_base64":"","data":1}`:               "data and data_base64 exclude each other",
		`{"stream":"a","type":"T","data_base64":"*"}`:                       "data_base64 is not base64: illegal base64 data at input byte 0",
		`{"stream":"a","type":"T","data":1,"expected_version":-1}`:          `expected_version must be a whole number from 0, "none" or "any"`,
		`{"stream":"a","type":"T","data":1,"expected_version":"3"}`:         `expected_version must be a whole number from 0, "none" or "any"`,
		`{"stream":"a","type":"T","data":1,"expected_version":1.0}`:         `expected_version must be a whole number from 0, "none" or "any"`,
		`{"stream":"a","type":"T","data":1,"metadata":[]}`:                  "metadata must be a JSON object",
		`{"stream":"a","type":"T","data":1,"time":"2026-01-31"}`:            `time must be like "2026-01-31T12:00:00Z", is "2026-01-31"`,
		`{"stream":"a","type":"T","data":1,"time":1769860800}`:              "time must be text",
		`{"stream":"a\u0000","type":"T","data":1}`:                          "stream must be UTF-8 without zero bytes",
		`{"stream":"` + strings.Repeat("x", 513) + `","type":"T","data":1}`: "stream has 513 bytes, at most 512 are allowed",

		`{"specversion":"0.3","id":"1","source":"s","type":"T"}`:                           `specversion must be "1.0", is "0.3"`,
		`{"specversion":1.0,"id":"1","source":"s","type":"T"}`:                             "specversion must be text",
		`{"specversion":"1.0","source":"s","type":"T"}`:                                    "id is missing, which a CloudEvent must have",
		`{"specversion":"1.0","id":"1","type":"T"}`:                                        "source is missing, which a CloudEvent must have",
		`{"specversion":"1.0","id":"1","source":"s"}`:                                      "type is missing",
		`{"specversion":"1.0","id":"1","source":"s","type":"T","stream_type":"k"}`:         `unknown key "stream_type": a CloudEvent's attribute has only a-z and 0-9 in its name`,
		`{"specversion":"1.0","id":"1","source":"s","type":"T","ext":{}}`:                  `attribute "ext" must be text, a number or a boolean`,
		`{"specversion":"1.0","id":"1","source":"s","type":"T","data":1,"data_base64":""}`: "data and data_base64 exclude each other",
		`{"specversion":"1.0"` + manyAttributes(256) + `}`:                                 "has more than 256 keys",
	} {
		_, err := Decode([]byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%.80s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"ext%d":1`, i)
	}
	return b.String()
}

const (
	lineA = `{"stream":"a","type":"T","data":{"n":1}}`
	lineB = `{"stream":"b","type":"T","data":"]}{[,\\\""}`
)

func TestReader(t *testing.T) {
	t.Parallel()
	long := `{"stream":"a","type":"T","data":"` + strings.Repeat("x", 1<<20) + `"}`
	for name, test := range map[string]struct {
		input string
		lines []int // where the events are
		err   string
	}{
		"empty":            {"", nil, "EOF"},
		"blank":            {"\n \r\n\t\n", nil, "EOF"},
		"lines":            {lineA + "\n" + lineB + "\n", []int{1, 2}, "EOF"},
		"no last line end": {lineA + "\n" + lineB, []int{1, 2}, "EOF"},
		"mark, CRLF":       {"\xef\xbb\xbf" + lineA + "\r\n\r\n" + lineB + "\r\n", []int{1, 3}, "EOF"},
		"long line":        {lineA + "\n" + long + "\n" + lineB, []int{1, 2, 3}, "EOF"},
		"bad line":         {lineA + "\n\nx\n" + lineB, []int{1}, "line 3: not JSON: invalid character 'x' looking for beginning of value, at byte 1"},
		"torn line":        {lineA + "\n" + lineA[:10], []int{1}, "line 2: not JSON: unexpected end of JSON input, at byte 10"},
		"UTF-16":           {"\xff\xfe{\x00", nil, "line 1: not JSON: invalid character 'ÿ' looking for beginning of value, at byte 1"},
		"too long":         {lineA + "\n" + `{"stream":"` + strings.Repeat("x", MaxObject), []int{1}, "line 2: an event's text has at most 25165824 bytes"},

		"array":              {"[" + lineA + "," + lineB + "]", []int{1, 1}, "EOF"},
		"array over lines":   {"\n[\n" + lineA + "\n,\n{\n\"stream\":\"a\",\n\"type\":\"T\",\"data\":1}\n]\n\n", []int{3, 5}, "EOF"},
		"empty array":        {" [ ] ", nil, "EOF"},
		"array, no end":      {"[" + lineA + "\n", []int{1}, "line 2: the array has no end"},
		"array, torn":        {"[" + lineA + ",\n" + lineA[:10], []int{1}, "line 2: the object has no end"},
		"array, no comma":    {"[" + lineA + "\n" + lineA + "]", []int{1}, "line 2: expected a comma or the array's end, found '{'"},
		"array, comma last":  {"[" + lineA + ",]", []int{1}, "line 1: expected an object, found ']'"},
		"array of numbers":   {"[1]", nil, "line 1: expected an object, found '1'"},
		"array, then more":   {"[" + lineA + "]\n" + lineA, []int{1}, "line 2: expected nothing after the array, found '{'"},
		"array, bad element": {"[" + lineA + ",\n{\"stream\":\"a\",,}]", []int{1}, "line 2: not JSON: invalid character ',' looking for beginning of object key string, at byte 15"},
		"array, too long":    {`[{"stream":"` + strings.Repeat("x", MaxObject), nil, "line 1: an event's text has at most 25165824 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := NewReader(iotest.OneByteReader(strings.NewReader(test.input)))
			if len(test.input) > 10_000 {
				r = NewReader(iotest.HalfReader(strings.NewReader(test.input)))
			}
			var lines []int
			item, err := r.Next()
			for ; err == nil; item, err = r.Next() {
				lines = append(lines, item.Line)
			}
			if !reflect.DeepEqual(lines, test.lines) || err.Error() != test.err {
				t.Errorf("got %v, %v, want %v, %s", lines, err, test.lines, test.err)
			}
		})
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, before := range []string{"", lineA + "\n", lineA[:9], "[", "[" + lineA, "[" + lineA + "," + lineA[:9]} {
		r := NewReader(io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)))
		var err error
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, broken) {
			t.Errorf("after %q: got %v", before, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, data := range []string{
		`{"a": 1}`, "null", `""`, "1", " 1", "1 ", "1\n", "{\n}", "{\r\n}", "", "\x00", "\xff", "text", "1,2", "1],[2", "{}{}", `"<&>"`,
		`{"a":1,"a":2}`, deep(event.MaxJSONDepth - 1), deep(event.MaxJSONDepth), deep(event.MaxJSONDepth + 1),
	} {
		checkRoundTrip(t, "a", []byte(data), []byte(`{"m": "<>"}`))
	}
	line := Append(nil, &event.Event{Stream: "a&b", Type: "T", Data: []byte(`{"n": 1}`), Metadata: []byte("{\n}"), ID: "i", Position: 7, Version: 2,
		StreamType: "k", ContentType: "application/json", Time: noon})
	want := `{"position":7,"stream":"a&b","stream_type":"k","version":2,"id":"i","type":"T","data":{"n": 1},"metadata":{},"content_type":"application/json","time":"2026-01-31T12:00:00Z"}`
	if string(line) != want {
		t.Errorf("got  %s\nwant %s", line, want)
	}
}

// checkRoundTrip holds Append and Decode to: what a store would hold comes back as the same event.
func checkRoundTrip(t *testing.T, stream string, data, metadata []byte) {
	t.Helper()
	if len(metadata) == 0 {
		metadata = []byte("{}") // as every store does
	}
	stored := event.Event{Position: 1, Stream: stream, Version: 1, ID: "i", Type: "T", Data: data, Metadata: metadata, ContentType: "application/json", Time: noon.Add(time.Microsecond)}
	asked := one(stream, "", store.AnyVersion, store.NewEvent{ID: "i", Type: "T", Data: data, Metadata: metadata})
	if (store.AppendRequest{Streams: []store.StreamAppend{asked}}).Validate() != nil || !event.ValidJSON(fmt.Appendf(nil, "[%s]", metadata)) {
		return // no store holds it, or no line does
	}
	line := Append(nil, &stored)
	if strings.ContainsAny(string(line), "\r\n") || !json.Valid(line) {
		t.Fatalf("not a line: %q", line)
	}
	got, err := Decode(line)
	if err != nil || !store.SameContent(&stored, &got, &got.Events[0]) {
		t.Errorf("data %q: %s came back as %+v, %v", data, line, got, err)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("a", []byte(`{"a":1}`), []byte(`{}`))
	f.Add("\u2028<", []byte("1,2"), []byte("{\n\"a\":[ ]}"))
	f.Fuzz(func(t *testing.T, stream string, data, metadata []byte) { checkRoundTrip(t, stream, data, metadata) })
}

// FuzzReader holds the reader to: it ends, lines never fall, and what it takes any store would take.
func FuzzReader(f *testing.F) {
	f.Add([]byte(lineA + "\n" + lineB))
	f.Add([]byte("[" + lineA + "," + lineB + "]"))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"T","ext":1,"data":"x","datacontenttype":"text/plain"}`))
	f.Fuzz(func(t *testing.T, input []byte) {
		r := NewReader(strings.NewReader(string(input)))
		last, left := 1, len(input)
		for {
			item, err := r.Next()
			if err != nil {
				var bad *LineError
				if !errors.Is(err, io.EOF) && (!errors.As(err, &bad) || bad.Line < last) {
					t.Fatalf("after line %d: %v", last, err)
				}
				return
			}
			if left -= item.Size; item.Line < last || left < 0 {
				t.Fatalf("item %+v after line %d", item, last)
			}
			last = item.Line
			if err := (store.AppendRequest{Streams: []store.StreamAppend{item.Append}}).Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
