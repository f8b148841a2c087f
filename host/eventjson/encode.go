package eventjson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"eshost/host/event"
)

// Append writes a stored event to dst as one line without its end. Appended again with Decode, it is
// the same event to the byte: data that would not survive in a line of JSON is written as base64.
func Append(dst []byte, e *event.Event) []byte {
	text := func(name, value string) {
		dst = append(append(dst, name...), quote(value)...)
	}
	dst = append(dst, `{"position":`...)
	dst = strconv.AppendInt(dst, int64(e.Position), 10)
	text(`,"stream":`, e.Stream)
	if e.StreamType != "" {
		text(`,"stream_type":`, e.StreamType)
	}
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendInt(dst, e.Version, 10)
	text(`,"id":`, e.ID)
	text(`,"type":`, e.Type)
	if fitsLine(e.Data) {
		dst = append(append(dst, `,"data":`...), e.Data...)
	} else {
		text(`,"data_base64":`, base64.StdEncoding.EncodeToString(e.Data))
	}
	dst = append(append(dst, `,"metadata":`...), metadata(e.Metadata)...)
	text(`,"content_type":`, e.ContentType)
	text(`,"time":`, e.Time.UTC().Format(time.RFC3339Nano))
	return append(dst, '}')
}

// fitsLine reports whether data is a JSON value that a line holds and gives back unchanged.
func fitsLine(data []byte) bool {
	if len(data) == 0 || data[0] <= ' ' || data[len(data)-1] <= ' ' || bytes.ContainsAny(data, "\r\n") || !event.ValidJSON(data) {
		return false
	}
	// In the line it lies one level deeper.
	if bytes.Count(data, []byte{'['})+bytes.Count(data, []byte{'{'}) < event.MaxJSONDepth {
		return true
	}
	return event.ValidJSON(slices.Concat([]byte{'['}, data, []byte{']'}))
}

// metadata takes line ends out: between members they mean nothing.
func metadata(b []byte) []byte {
	var line bytes.Buffer
	if err := json.Compact(&line, b); err != nil {
		return []byte("{}") // cannot be: a store holds only objects
	}
	return line.Bytes()
}
