package eventjson

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"eshost/host/store"
)

// Decoder reads events as JSON. The zero Decoder reads what its text alone says.
type Decoder struct {
	// Stream is the events' stream, whether or not they name it. Empty means that they must.
	Stream string
	// CloudEvents refuses what is no CloudEvent.
	CloudEvents bool
}

// Decode is the zero Decoder's.
func Decode(b []byte) (store.StreamAppend, error) { return Decoder{}.Decode(b) }

// Decode reads one object as an append of one event. What it returns shares b's memory. Everything
// that any store would refuse in the event alone is refused here.
func (d Decoder) Decode(b []byte) (store.StreamAppend, error) {
	list, err := parseObject(b)
	if err != nil {
		return store.StreamAppend{}, err
	}
	decode := d.decodeOwn
	if slices.ContainsFunc(list, func(m member) bool { return m.name == "specversion" }) {
		decode = d.decodeCloudEvent
	} else if d.CloudEvents {
		return store.StreamAppend{}, errors.New("specversion is missing, which a CloudEvent must have")
	}
	s, e, err := decode(list)
	if err != nil {
		return store.StreamAppend{}, err
	}
	return appendOf(s, e)
}

func appendOf(s store.StreamAppend, e store.NewEvent) (store.StreamAppend, error) {
	s.Events = []store.NewEvent{e}
	return s, store.AppendRequest{Streams: []store.StreamAppend{s}}.Validate()
}

const ownKeys = "stream, type, data, data_base64, stream_type, id, expected_version, metadata, content_type, time, position and version"

func (d Decoder) decodeOwn(list []member) (s store.StreamAppend, e store.NewEvent, err error) {
	s.Expected = store.AnyVersion
	for _, m := range list {
		if m.isNull() && m.name != "data" {
			continue
		}
		switch m.name {
		case "stream":
			s.Stream, err = m.text()
		case "stream_type":
			s.StreamType, err = m.text()
		case "expected_version":
			s.Expected, err = m.expected()
		case "type":
			e.Type, err = m.text()
		case "data":
			e.Data, err = m.onlyData(e.Data, m.raw)
		case "data_base64":
			e.Data, err = m.base64Data(e.Data)
		case "id":
			e.ID, err = m.text()
		case "metadata":
			e.Metadata = m.raw
		case "content_type":
			e.ContentType, err = m.text()
		case "time":
			e.Time, err = m.time()
		case "position", "version":
		default:
			return s, e, fmt.Errorf("unknown key %q, known are %s", m.name, ownKeys)
		}
		if err != nil {
			return s, e, err
		}
	}
	if e.Data == nil {
		return s, e, errors.New("data is missing")
	}
	if d.Stream != "" && s.Stream != "" && s.Stream != d.Stream {
		return s, e, fmt.Errorf("stream is %q, and the event is for stream %q", s.Stream, d.Stream)
	}
	s.Stream = cmp.Or(d.Stream, s.Stream)
	return s, e, nil
}

func (m member) isNull() bool { return string(m.raw) == "null" }

func (m member) text() (string, error) {
	if m.raw[0] != '"' {
		return "", fmt.Errorf("%s must be text", m.name)
	}
	return unquote(m.raw), nil
}

func (m member) time() (time.Time, error) {
	s, err := m.text()
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s must be like \"2026-01-31T12:00:00Z\", is %q", m.name, s)
	}
	return t.UTC(), nil
}

func (m member) expected() (store.Expected, error) {
	switch string(m.raw) {
	case `"any"`:
		return store.AnyVersion, nil
	case `"none"`:
		return store.NoStream, nil
	}
	n, err := strconv.ParseInt(string(m.raw), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf(`%s must be a whole number from 0, "none" or "any"`, m.name)
	}
	return store.Expected(n), nil
}

// onlyData refuses a second value for the data.
func (m member) onlyData(before, data []byte) ([]byte, error) {
	if before != nil {
		return nil, errors.New("data and data_base64 exclude each other")
	}
	return data, nil
}

func (m member) base64Data(before []byte) ([]byte, error) {
	s, err := m.text()
	if err != nil {
		return nil, err
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%s is not base64: %w", m.name, err)
	}
	return m.onlyData(before, data)
}

// quote writes a JSON text.
func quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return []byte(`""`) // cannot be: a string always has a JSON form
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}
