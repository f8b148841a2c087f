package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"

	"eshost/host/store"
)

// problem is an error as clients see it: RFC 9457.
type problem struct {
	status int
	kind   string // the last part of the type
	title  string
	detail string // one sentence about this occurrence
	hint   string // what to do next
	// members are further ones of the object.
	members map[string]any
	// retryAfter, if set, tells when to try again.
	retryAfter time.Duration
	// err is logged and not shown.
	err error
}

func (p *problem) Error() string { return p.title + ": " + p.detail }

func (p *problem) Unwrap() error { return p.err }

// problemType is what the types of all problems begin with.
const problemType = "urn:eshost:problem:"

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter) {
	object := map[string]any{"type": problemType + p.kind, "title": p.title, "status": p.status, "detail": p.detail}
	maps.Copy(object, p.members)
	if p.hint != "" {
		object["hint"] = p.hint
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(p.retryAfter.Seconds()))))
	}
	w.Header().Del("ETag")
	writeJSON(w, p.status, "application/problem+json", object)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := marshal(v)
	if err != nil { // cannot be: everything written is made of texts, numbers and JSON that was checked
		status, body = http.StatusInternalServerError, []byte("{}")
	}
	body = append(body, '\n')
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone
}

// marshal is json.Marshal without its care for HTML: nothing here is put into a page as it is.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// quote writes a JSON text.
func quote(s string) []byte {
	b, err := marshal(s)
	if err != nil {
		return []byte(`""`) // cannot be: a text always has a JSON form
	}
	return b
}

func badRequest(hint, format string, args ...any) *problem {
	return &problem{status: http.StatusBadRequest, kind: "bad-request", title: "The request is wrong", detail: fmt.Sprintf(format, args...), hint: hint}
}

func notFound(hint, format string, args ...any) *problem {
	return &problem{status: http.StatusNotFound, kind: "not-found", title: "There is no such thing", detail: fmt.Sprintf(format, args...), hint: hint}
}

// unavailable is for what will work again.
func unavailable(kind string, after time.Duration, hint, format string, args ...any) *problem {
	return &problem{status: http.StatusServiceUnavailable, kind: kind, title: "Not available now", detail: fmt.Sprintf(format, args...), hint: hint,
		retryAfter: after}
}

// asProblem finds what to tell the client of an error.
func asProblem(err error) *problem {
	var p *problem
	var version *store.VersionConflictError
	var id *store.IDConflictError
	var invalid *store.InvalidError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &version):
		return &problem{status: http.StatusConflict, kind: "version-conflict", title: "The stream is at another version", detail: version.Error(),
			hint:    fmt.Sprintf("read the stream, decide again, and append with expected=%d", version.Actual),
			members: map[string]any{"stream": version.Stream, "expected": int64(version.Expected), "actual": version.Actual}}
	case errors.As(err, &id):
		return &problem{status: http.StatusConflict, kind: "id-conflict", title: "The event id is taken", detail: id.Error(),
			hint: "give another event another id", members: map[string]any{"id": id.ID, "position": id.Position}}
	case errors.As(err, &invalid):
		return badRequest("", "%s", invalid.Error())
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.Is(err, store.ErrNotBuilt):
		p := unavailable("not-built", time.Second, "it is built anew from the log; GET /v1/plugins says how far it is, or what it waits for", "%s", err.Error())
		return p
	case errors.Is(err, store.ErrAway) && !errors.Is(err, context.Canceled):
		p := unavailable("read-model-unavailable", 2*time.Second, "see /v1/status and the host's log", "Redis, which keeps the read model, does not answer")
		p.err = err
		return p
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		p := unavailable("store-unavailable", 2*time.Second, "see /readyz and the host's log", "the database does not answer")
		p.err = err
		return p
	case errors.Is(err, context.Canceled), errors.Is(err, ErrStopping):
		p := unavailable("stopping", time.Second, "try again, or ask another host", "the host is stopping")
		p.err = err
		return p
	}
	return &problem{status: http.StatusInternalServerError, kind: "internal", title: "The host failed", detail: "something went wrong in the host",
		hint: "the host's log says what", err: err}
}

func tooLarge(limit int64) *problem {
	return &problem{status: http.StatusRequestEntityTooLarge, kind: "too-large", title: "The request is too large",
		detail: fmt.Sprintf("a request has at most %d bytes", limit), hint: "send the events in several requests"}
}

// fail answers with an error, and logs one that is the host's own.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := asProblem(err)
	if p.err != nil && r.Context().Err() == nil {
		level := slog.LevelWarn
		if p.status == http.StatusInternalServerError {
			level = slog.LevelError
		}
		s.log.Log(r.Context(), level, "a request failed", "method", r.Method, "path", r.URL.Path, "status", p.status, "error", p.err)
	}
	p.write(w)
}
