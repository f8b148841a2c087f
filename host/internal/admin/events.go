package admin

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"eshost/host/event"
	"eshost/host/eventjson"
	"eshost/host/store"
)

const (
	defaultEvents = 100
	mostEvents    = 1000
	mostTypes     = 100
	// eventWindow is how many positions one statement looks through: one that searches for a rare type must
	// not search the whole log.
	eventWindow = 100_000
	// eventTime is how long a request searches before it answers with what it has found.
	eventTime = 2 * time.Second
)

// stream lists the events of one stream by version. They are as durable as they are final: a stream's
// versions have no holes, so nothing can come before what is there.
func (s *server) stream(w http.ResponseWriter, r *http.Request) error {
	p := query(r, "after", "limit")
	after := p.number("after", 0, 0, math.MaxInt64-mostEvents)
	limit := p.number("limit", defaultEvents, 1, mostEvents)
	if p.err != nil {
		return p.err
	}
	name := r.PathValue("stream")
	var events []event.Event
	if validName(name) && len(name) <= store.MaxNameBytes {
		ctx, cancel := context.WithTimeout(r.Context(), readTime)
		defer cancel()
		b, err := s.o.Store.Read(ctx, store.ReadOptions{Stream: name, UpTo: math.MaxInt64, Limit: int(limit), MaxBytes: s.o.Limits.Listed,
			Versions: &store.Versions{After: after, UpTo: after + limit}})
		if err != nil {
			return fmt.Errorf("read stream %q: %w", name, err)
		}
		events = withoutHoles(b.Events, after)
	}
	if len(events) == 0 && after == 0 {
		return notFound("POST here appends its first event", "stream %q has no events", shorten(name))
	}
	body := appendEvents([]byte(`{"stream":`+string(quote(name))+`,"events":`), events)
	if n := len(events); n > 0 {
		next := nextLink(r.URL, "after", strconv.FormatInt(events[n-1].Version, 10))
		body = append(append(body, `,"next":`...), quote(next)...)
		w.Header().Set("Link", "<"+next+`>; rel="next"`)
	}
	send(w, append(body, '}', '\n'))
	return nil
}

// withoutHoles cuts off what a writer that does not keep to the rules has put behind a missing version.
func withoutHoles(events []event.Event, after int64) []event.Event {
	for i := range events {
		if events[i].Version != after+int64(i)+1 {
			return events[:i]
		}
	}
	return events
}

// events lists the log, or streams it to those who ask for server-sent events.
func (s *server) events(w http.ResponseWriter, r *http.Request) error {
	if wantsFeed(r) {
		return s.eventFeed(w, r)
	}
	p := query(r, "after", "types", "limit")
	after := p.position("after", 0)
	filter := event.Filter{Types: p.types()}
	limit := int(p.number("limit", defaultEvents, 1, mostEvents))
	if p.err != nil {
		return p.err
	}
	watermark, _ := s.o.Host.Log()
	b, err := s.search(r.Context(), after, watermark, filter, limit)
	if err != nil {
		return err
	}
	body := appendEvents([]byte(`{"events":`), b.Events)
	body = append(body, `,"up_to":`...)
	body = strconv.AppendInt(body, int64(b.UpTo), 10)
	body = append(body, `,"watermark":`...)
	body = strconv.AppendInt(body, int64(watermark), 10)
	next := nextLink(r.URL, "after", strconv.FormatInt(int64(b.UpTo), 10))
	body = append(append(body, `,"next":`...), quote(next)...)
	w.Header().Set("Link", "<"+next+`>; rel="next"`)
	send(w, append(body, '}', '\n'))
	return nil
}

// types are the event types that a request names; none are all.
func (p *params) types() []string {
	types := p.list("types")
	if len(types) > mostTypes {
		p.fail("", "parameter types names more than %d types", mostTypes)
	}
	return types
}

// search reads events of (after, watermark], until there are enough or it has taken long enough. Invariant
// 1: nothing above the watermark is read.
func (s *server) search(ctx context.Context, after, watermark event.Position, filter event.Filter, limit int) (event.Batch, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	found := event.Batch{UpTo: after}
	began, size := time.Now(), 0
	for found.UpTo < watermark && len(found.Events) < limit && size < s.o.Limits.Listed && time.Since(began) < eventTime {
		b, err := s.o.Store.Read(ctx, store.ReadOptions{
			After:    found.UpTo,
			UpTo:     min(watermark, found.UpTo+eventWindow),
			Filter:   filter,
			Limit:    limit - len(found.Events),
			MaxBytes: s.o.Limits.Listed - size,
		})
		if err != nil {
			return b, fmt.Errorf("read events after %d: %w", found.UpTo, err)
		}
		for i := range b.Events {
			size += b.Events[i].Size()
		}
		found.Events = append(found.Events, b.Events...)
		found.UpTo = b.UpTo
	}
	return found, nil
}

func appendEvents(dst []byte, events []event.Event) []byte {
	dst = append(dst, '[')
	for i := range events {
		if i > 0 {
			dst = append(dst, ',', '\n')
		}
		dst = eventjson.Append(dst, &events[i])
	}
	return append(dst, ']')
}

func send(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client has gone
}

// wantsFeed reports whether a request asks for server-sent events.
func wantsFeed(r *http.Request) bool {
	for _, h := range r.Header.Values("Accept") {
		for media := range strings.SplitSeq(h, ",") {
			media, _, _ = strings.Cut(media, ";")
			if strings.EqualFold(strings.TrimSpace(media), "text/event-stream") {
				return true
			}
		}
	}
	return false
}
