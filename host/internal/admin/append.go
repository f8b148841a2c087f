package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"eshost/host/event"
	"eshost/host/eventjson"
	"eshost/host/store"
)

// maxAppended is the most events of one request.
const maxAppended = 10_000

// OutcomeUnknownError is what Host.Append fails with when events may or may not be stored.
type OutcomeUnknownError struct {
	IDs []string // to try again with
	Err error
}

func (e *OutcomeUnknownError) Error() string {
	return "it is not known whether the events were stored: " + e.Err.Error()
}

// Unwrap returns why.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// ErrStopping is what Host.Append fails with when the host stops.
var ErrStopping = errors.New("the host is stopping")

// queue is the room for appends: so many requests with so many bytes. What does not fit is refused.
type queue struct {
	places places
	bytes  *semaphore.Weighted
}

func newQueue(l Limits) queue {
	return queue{newPlaces(l.Appends), semaphore.NewWeighted(l.AppendBytes)}
}

func full() *problem {
	return unavailable("queue-full", time.Second, "send it again later: nothing of it was stored", "the queue of appends is full")
}

// append stores the events of a request at the end of a stream.
func (s *server) append(w http.ResponseWriter, r *http.Request) error {
	if !s.queue.places.take() {
		return full()
	}
	defer s.queue.places.leave()
	p := query(r, "expected", "stream_type")
	expected, asked := p.text("expected")
	streamType, _ := p.text("stream_type")
	if p.err != nil {
		return p.err
	}
	body, err := s.readBody(w, r)
	defer s.queue.bytes.Release(int64(body.Cap()))
	if err != nil {
		return err
	}
	appended, err := decodeBody(r, body.Bytes())
	if err != nil {
		return err
	}
	if asked {
		if appended.Expected, err = parseExpected(expected, appended.Expected); err != nil {
			return err
		}
	}
	if streamType != "" && appended.StreamType != "" && appended.StreamType != streamType {
		return badRequest("", "the query says stream_type %q, the events say %q", shorten(streamType), shorten(appended.StreamType))
	}
	if streamType != "" {
		appended.StreamType = streamType
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.Limits.AppendTime)
	defer cancel()
	recorded, err := s.o.Host.Append(ctx, store.AppendRequest{Streams: []store.StreamAppend{appended}})
	if err != nil {
		return explainAppend(err)
	}
	answerAppend(w, appended.Stream, recorded)
	return nil
}

// explainAppend says what became of events that were not answered with positions.
func explainAppend(err error) error {
	var unknown *OutcomeUnknownError
	if errors.As(err, &unknown) {
		p := unavailable("outcome-unknown", 2*time.Second, "send the events again with these ids: those that are stored are not stored twice",
			"it is not known whether the events were stored")
		p.members, p.err = map[string]any{"ids": unknown.IDs}, err
		return p
	}
	if errors.Is(err, context.DeadlineExceeded) {
		p := full()
		p.detail, p.err = "the queue of appends does not move: the database does not answer", err
		return p
	}
	return err
}

// appendedEvent is where an event was stored.
type appendedEvent struct {
	ID        string         `json:"id"`
	Version   int64          `json:"version"`
	Position  event.Position `json:"position"`
	Duplicate bool           `json:"duplicate"`
}

// answerAppend says where the events are: with 201, or with 200 if all of them were stored before.
func answerAppend(w http.ResponseWriter, stream string, recorded []store.Recorded) {
	status := http.StatusOK
	answer := struct {
		Stream   string          `json:"stream"`
		Version  int64           `json:"version"`
		Position event.Position  `json:"position"`
		Events   []appendedEvent `json:"events"`
	}{Stream: stream, Events: make([]appendedEvent, 0, len(recorded))}
	for _, rec := range recorded {
		if !rec.Duplicate {
			status = http.StatusCreated
		}
		answer.Version = max(answer.Version, rec.Version)
		answer.Position = max(answer.Position, rec.Position)
		answer.Events = append(answer.Events, appendedEvent{rec.ID, rec.Version, rec.Position, rec.Duplicate})
	}
	w.Header().Set("Eshost-Position", strconv.FormatInt(int64(answer.Position), 10))
	writeJSON(w, status, "application/json", answer)
}

// readBody reads a request's body, bounded by itself and together with all others. The caller gives back
// what the buffer holds, whatever the error.
func (s *server) readBody(w http.ResponseWriter, r *http.Request) (*bytes.Buffer, error) {
	limit := s.o.Limits.Body
	if r.ContentLength > limit {
		return &bytes.Buffer{}, tooLarge(limit)
	}
	const first = 8 << 10
	return readInto(http.MaxBytesReader(w, r.Body, limit), s.queue.bytes, max(r.ContentLength+1, first), limit+1)
}

// readInto reads to the end into a buffer whose capacity is taken from room.
func readInto(in io.Reader, room *semaphore.Weighted, size, most int64) (*bytes.Buffer, error) {
	var data []byte
	for ; ; size = min(2*size, most) {
		if !room.TryAcquire(size - int64(cap(data))) {
			return bytes.NewBuffer(data), full()
		}
		data = append(make([]byte, 0, size), data...)
		for len(data) < cap(data) {
			n, err := in.Read(data[len(data):cap(data)])
			data = data[:len(data)+n]
			if errors.Is(err, io.EOF) {
				return bytes.NewBuffer(data), nil
			}
			if err != nil {
				return bytes.NewBuffer(data), readError(err)
			}
		}
	}
}

func readError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &problem{status: http.StatusRequestTimeout, kind: "timeout", title: "The request took too long", detail: "the body did not come in time"}
	}
	return badRequest("", "the body cannot be read to its end")
}

// decodeBody reads the events of a request in whichever form they come.
func decodeBody(r *http.Request, body []byte) (store.StreamAppend, error) {
	d := eventjson.Decoder{Stream: r.PathValue("stream")}
	if d.Stream == "" {
		return store.StreamAppend{}, badRequest("POST /v1/streams/STREAM", "the path names no stream")
	}
	contentType := r.Header.Get("Content-Type")
	if _, binary := r.Header["Ce-Specversion"]; binary {
		return decodeBinary(r.Header, d, contentType, body)
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = contentType
	}
	first := bytes.TrimLeft(body, " \t\r\n")
	array := len(first) > 0 && first[0] == '['
	switch media {
	case "application/json":
	case "application/x-ndjson", "application/jsonl":
		if array {
			return store.StreamAppend{}, badRequest("send it as application/json", "the body is an array, not lines")
		}
		return decodeMany(d.NewReader(bytes.NewReader(body)))
	case "application/cloudevents+json":
		if d.CloudEvents = true; array {
			return store.StreamAppend{}, badRequest("send it as application/cloudevents-batch+json", "the body is an array, not one event")
		}
	case "application/cloudevents-batch+json":
		if d.CloudEvents = true; !array {
			return store.StreamAppend{}, badRequest("send it as application/cloudevents+json", "the body is no array of events")
		}
	default:
		return store.StreamAppend{}, &problem{status: http.StatusUnsupportedMediaType, kind: "unsupported-media-type", title: "The body's type is not taken here",
			detail: fmt.Sprintf("events are not sent as %q", shorten(contentType)),
			hint: "send Content-Type application/json, application/x-ndjson, application/cloudevents+json or application/cloudevents-batch+json, " +
				"or the headers of a CloudEvent in binary mode"}
	}
	if array {
		return decodeMany(d.NewReader(bytes.NewReader(body)))
	}
	one, err := d.Decode(body)
	if err != nil {
		return one, badRequest("", "the event: %v", err)
	}
	return one, nil
}

// decodeBinary reads a CloudEvent whose attributes are headers.
func decodeBinary(h http.Header, d eventjson.Decoder, contentType string, body []byte) (store.StreamAppend, error) {
	attributes := map[string]string{}
	for name, values := range h {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		value, err := percentDecode(values[0])
		if err != nil || len(values) > 1 {
			return store.StreamAppend{}, badRequest("", "header %s is not one percent-encoded text", shorten(name))
		}
		attributes[attribute] = value
	}
	one, err := d.Binary(attributes, contentType, body)
	if err != nil {
		return one, badRequest("", "the event: %v", err)
	}
	return one, nil
}

// percentDecode reads a header's value by the rules of the CloudEvents HTTP binding, where + is itself.
func percentDecode(s string) (string, error) {
	if !strings.ContainsRune(s, '%') {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("half an escape")
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", err
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

// decodeMany puts events together. They are all of one stream; versions that they expect must follow one another.
func decodeMany(in *eventjson.Reader) (store.StreamAppend, error) {
	all := store.StreamAppend{Expected: store.AnyVersion}
	for n := 1; ; n++ {
		item, err := in.Next()
		var bad *eventjson.LineError
		switch {
		case errors.Is(err, io.EOF) && n == 1:
			return all, badRequest("", "the body has no events")
		case errors.Is(err, io.EOF):
			return all, nil
		case errors.As(err, &bad):
			return all, badRequest("nothing was stored", "event %d, line %d: %v", n, bad.Line, bad.Err)
		case err != nil:
			return all, badRequest("", "event %d: %v", n, err)
		case n > maxAppended:
			return all, badRequest("send them in several requests", "a request has at most %d events", maxAppended)
		}
		one := item.Append
		if one.Expected != store.AnyVersion {
			first := one.Expected - store.Expected(n-1)
			if first < 0 || n > 1 && all.Expected != first {
				return all, badRequest("only the first event needs expected_version", "event %d: expected_version does not follow from the events before", n)
			}
			all.Expected = first
		}
		if n > 1 && one.StreamType != "" && one.StreamType != all.StreamType {
			return all, badRequest("", "event %d: stream_type is another than the first event's", n)
		}
		if n == 1 {
			all.Stream, all.StreamType = one.Stream, one.StreamType
		}
		all.Events = append(all.Events, one.Events...)
	}
}

// parseExpected reads the query's expected version, which must agree with what the events say.
func parseExpected(text string, events store.Expected) (store.Expected, error) {
	var expected store.Expected
	switch text {
	case "any":
		expected = store.AnyVersion
	case "none":
		expected = store.NoStream
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return 0, badRequest("", `parameter expected must be a whole number from 0, "none" or "any", is %q`, shorten(text))
		}
		expected = store.Expected(n)
	}
	if events != store.AnyVersion && events != expected {
		return 0, badRequest("say it once", "the query expects version %s, the first event expects %s", expected, events)
	}
	return expected, nil
}
