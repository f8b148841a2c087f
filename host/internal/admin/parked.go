package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// Operations is what people do to plugins. Answers are values that become JSON.
type Operations interface {
	// ListParked returns some of a plugin's failing and parked sequences.
	ListParked(ctx context.Context, plugin string, o store.SequenceOptions) (any, error)
	// ShowParked returns all about one of them, with some of the events that wait in it.
	ShowParked(ctx context.Context, plugin, key string, behind int) (any, error)
	// Ask puts a request to the plugin's owner and waits until it is answered or ctx ends. It fails with
	// store.ErrNotFound and with ErrOtherEvent.
	Ask(ctx context.Context, r store.Request) (Asked, error)
	// Reload looks at hosts.toml and the modules now.
	Reload(ctx context.Context) (any, error)
}

// ErrOtherEvent is what Ask fails with when the failed event is not the one that is meant.
var ErrOtherEvent = errors.New("another event is the failed one")

// Asked is what became of a request.
type Asked struct {
	State  store.RequestState
	Answer string // one sentence, once it is not pending
	View   any    // the whole request
}

const (
	defaultBehind = 20
	defaultAnswer = 10 * time.Second
	longestAnswer = time.Minute
)

// parkedList lists the sequences of a plugin that wait for a retry or a person.
func (s *server) parkedList(w http.ResponseWriter, r *http.Request) error {
	p := query(r, "state", "after", "limit")
	o := store.SequenceOptions{After: p.position("after", 0), Limit: int(p.number("limit", defaultListed, 1, mostListed))}
	if text, ok := p.text("state"); ok {
		if o.State = store.SequenceState(text); o.State != store.Parked && o.State != store.Retrying {
			p.fail("", "parameter state must be parked or retrying, is %q", shorten(text))
		}
	}
	if p.err != nil {
		return p.err
	}
	name := r.PathValue("plugin")
	if _, err := s.findPlugin(r.Context(), name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	page, err := s.o.Operations.ListParked(ctx, name, o)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", page)
	return nil
}

// parkedSequence shows one sequence: its event, its error, and what waits behind it.
func (s *server) parkedSequence(w http.ResponseWriter, r *http.Request) error {
	p := query(r, "behind")
	behind := p.number("behind", defaultBehind, 0, mostListed)
	if p.err != nil {
		return p.err
	}
	name, key := r.PathValue("plugin"), r.PathValue("key")
	if _, err := s.findPlugin(r.Context(), name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	detail, err := s.o.Operations.ShowParked(ctx, name, key, int(behind))
	if errors.Is(err, store.ErrNotFound) {
		return noSequence(name, key)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", detail)
	return nil
}

func noSequence(plugin, key string) *problem {
	return notFound("GET /v1/plugins/"+plugin+"/parked lists what waits", "no event of key %q waits in plugin %q", shorten(key), plugin)
}

// wish is the body of a request about a plugin.
type wish struct {
	Key      *string         `json:"key"`
	Position event.Position  `json:"position"`
	Data     json.RawMessage `json:"data"`
	Base64   *string         `json:"data_base64"`
	// Generation is which one to go back to or to drop.
	Generation int    `json:"generation"`
	Who        string `json:"who"`
	Why        string `json:"why"`
}

// ask makes the handler of one thing that people ask of a plugin. The path says of which plugin: nothing in
// the body can mean another one.
func (s *server) ask(action store.Action) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		p := query(r, "timeout")
		timeout := p.duration("timeout", defaultAnswer, longestAnswer)
		if p.err != nil {
			return p.err
		}
		name := r.PathValue("plugin")
		if _, err := s.findPlugin(r.Context(), name); err != nil {
			return err
		}
		request, err := s.readWish(w, r, action)
		if err != nil {
			return err
		}
		request.Plugin, request.Action = name, action
		return s.put(w, r, request, timeout)
	}
}

// readWish reads what is asked.
func (s *server) readWish(w http.ResponseWriter, r *http.Request, action store.Action) (store.Request, error) {
	var body wish
	if err := s.readObject(w, r, &body); err != nil {
		return store.Request{}, err
	}
	about := store.Request{Position: body.Position, Generation: body.Generation, Data: body.Data, Who: s.signed(w, body.Who), Why: body.Why}
	switch {
	case body.Position < 0:
		return about, badRequest("", "position must not be negative")
	case body.Generation < 0:
		return about, badRequest("", "generation must not be negative")
	case body.Data != nil && body.Base64 != nil:
		return about, badRequest("", "data and data_base64 exclude each other")
	case body.Base64 != nil:
		data, err := base64.StdEncoding.DecodeString(*body.Base64)
		if err != nil {
			return about, badRequest("", "data_base64 is not base64")
		}
		about.Data = data
	}
	if body.Key != nil {
		about.Key = *body.Key
	}
	if action == store.AskSkip || action == store.AskEdit {
		if body.Key == nil {
			return about, badRequest("GET …/parked lists the keys", "key is missing")
		}
	}
	return about, nil
}

// readObject reads a small JSON object; none at all is an empty one.
func (s *server) readObject(w http.ResponseWriter, r *http.Request, into any) error {
	if !s.queue.places.take() {
		return full()
	}
	defer s.queue.places.leave()
	body, err := s.readBody(w, r)
	defer s.queue.bytes.Release(int64(body.Cap()))
	if err != nil || body.Len() == 0 {
		return err
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return &problem{status: http.StatusUnsupportedMediaType, kind: "unsupported-media-type", title: "The body's type is not taken here",
			detail: fmt.Sprintf("this is not sent as %q", shorten(r.Header.Get("Content-Type"))), hint: "send Content-Type application/json"}
	}
	dec := json.NewDecoder(strings.NewReader(body.String()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return badRequest("", "the body: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("", "the body goes on after its object")
	}
	return nil
}

// signed is who asks: what they call themselves, and the token that vouches for it.
func (s *server) signed(w http.ResponseWriter, who string) string {
	token := ""
	if rec, ok := w.(*recorder); ok {
		token = rec.token
	}
	switch {
	case token == "":
		return cmp.Or(who, "somebody over HTTP")
	case who == "":
		return "token " + token
	}
	return who + " (token " + token + ")"
}

// put asks and waits for the answer: 200 when it is done, 202 when it still waits, 409 when it was refused.
func (s *server) put(w http.ResponseWriter, r *http.Request, request store.Request, timeout time.Duration) error {
	patient(w, timeout)
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	asked, err := s.o.Operations.Ask(ctx, request)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noSequence(request.Plugin, request.Key)
	case errors.Is(err, ErrOtherEvent):
		return &problem{status: http.StatusConflict, kind: "other-event", title: "Another event is the failed one", detail: err.Error(),
			hint: "look at the sequence again"}
	case errors.Is(err, store.ErrTooManyRequests):
		return unavailable("too-many-requests", 5*time.Second, "wait until the plugin's owner has answered some", "%v", err)
	case err != nil:
		return err
	}
	switch asked.State {
	case store.Refused:
		return &problem{status: http.StatusConflict, kind: "refused", title: "The plugin's owner refused", detail: asked.Answer,
			members: map[string]any{"request": asked.View}}
	case store.Done:
		writeJSON(w, http.StatusOK, "application/json", asked.View)
	default:
		writeJSON(w, http.StatusAccepted, "application/json", asked.View)
	}
	return nil
}

// reload looks at hosts.toml and the modules now, as SIGHUP does.
func (s *server) reload(w http.ResponseWriter, r *http.Request) error {
	if err := query(r).err; err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), longestAnswer)
	defer cancel()
	outcomes, err := s.o.Operations.Reload(ctx)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", map[string]any{"reloads": outcomes})
	return nil
}
