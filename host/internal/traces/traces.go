// Package traces tells an OpenTelemetry collector of spans, by OTLP over HTTP in JSON.
//
// Whoever makes spans never waits for the collector: what it does not take in time is dropped.
package traces

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Options of New.
type Options struct {
	// URL is the collector's base URL.
	URL string
	// Host is the name that the spans come from.
	Host string
	// Every is how often spans are sent. Defaults to 1s.
	Every time.Duration
	// Logger defaults to a silent one.
	Logger *slog.Logger
}

const (
	waiting = 2048 // spans that may wait to be sent
	atOnce  = 512  // spans in one request
	// MaxLinks is how many links a span may have, which is what OpenTelemetry takes by default.
	MaxLinks = 128
	patience = 5 * time.Second
)

// Exporter sends spans.
type Exporter struct {
	o      Options
	client http.Client
	queue  chan Span
}

// Span is one piece of work, the only one of its trace; Links lead to what caused it.
type Span struct {
	Name       string
	Start, End time.Time
	Attributes []Attribute
	Links      []Link
	// Dropped is how many links there would be beyond MaxLinks.
	Dropped int
	// Err is why the work failed, nil if it did not.
	Err error
}

// Attribute is a span's. Value is a string or an int64.
type Attribute struct {
	Key   string
	Value any
}

// Link is a span's place in its trace, both in hex.
type Link struct{ Trace, Span string }

// ParseTraceparent reads the trace context of a W3C traceparent.
func ParseTraceparent(text string) (Link, bool) {
	parts := strings.Split(text, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || parts[0] == "00" && len(parts) != 4 {
		return Link{}, false
	}
	l := Link{parts[1], parts[2]}
	return l, isID(parts[0], 2, true) && isID(l.Trace, 32, false) && isID(l.Span, 16, false) && isID(parts[3], 2, true)
}

func isID(text string, size int, mayBeZero bool) bool {
	return len(text) == size && strings.Trim(text, "0123456789abcdef") == "" && (mayBeZero || strings.Trim(text, "0") != "")
}

// New returns an exporter that sends nothing before Run.
func New(o Options) *Exporter {
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Exporter{o: o, client: http.Client{Timeout: patience}, queue: make(chan Span, waiting)}
}

// Add has a span sent. It never blocks.
func (e *Exporter) Add(s Span) {
	select {
	case e.queue <- s:
	default: // the collector does not keep up
	}
}

// Run sends spans until ctx ends, and then what is left.
func (e *Exporter) Run(ctx context.Context) {
	ticker := time.NewTicker(e.o.Every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience/2)
			defer cancel()
			_ = e.send(bye) // it was not there, or it is too late
			return
		case <-ticker.C:
		}
		err := e.send(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			e.o.Logger.Warn("cannot send traces; they are dropped until the collector takes them", "error", err)
		} else if err == nil && failing {
			e.o.Logger.Info("sending traces again")
		}
		failing = err != nil
	}
}

// send sends what waits.
func (e *Exporter) send(ctx context.Context) error {
	for len(e.queue) > 0 {
		var spans []any
		for len(spans) < atOnce && len(e.queue) > 0 {
			spans = append(spans, encode(<-e.queue))
		}
		if err := e.post(ctx, spans); err != nil {
			return err
		}
	}
	return nil
}

type object = map[string]any

func (e *Exporter) post(ctx context.Context, spans []any) error {
	body, err := json.Marshal(object{"resourceSpans": []any{object{
		"resource":   object{"attributes": attributes([]Attribute{{"service.name", "eshost"}, {"service.instance.id", e.o.Host}})},
		"scopeSpans": []any{object{"scope": object{"name": "eshost"}, "spans": spans}},
	}}})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(e.o.URL, "/")+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answered %s", res.Status)
	}
	return nil
}

// encode gives a span OTLP's shape: ids in hex, times and integers as text.
func encode(s Span) any {
	o := object{
		"traceId":           fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()|1),
		"spanId":            fmt.Sprintf("%016x", rand.Uint64()|1),
		"name":              s.Name,
		"kind":              5, // CONSUMER
		"startTimeUnixNano": fmt.Sprint(s.Start.UnixNano()),
		"endTimeUnixNano":   fmt.Sprint(s.End.UnixNano()),
		"attributes":        attributes(s.Attributes),
	}
	if len(s.Links) > 0 {
		var links []any
		for _, l := range s.Links {
			links = append(links, object{"traceId": l.Trace, "spanId": l.Span})
		}
		o["links"], o["droppedLinksCount"] = links, s.Dropped
	}
	if s.Err != nil {
		o["status"] = object{"code": 2, "message": s.Err.Error()}
	}
	return o
}

func attributes(list []Attribute) []any {
	all := []any{}
	for _, a := range list {
		value := object{"stringValue": a.Value}
		if n, ok := a.Value.(int64); ok {
			value = object{"intValue": fmt.Sprint(n)}
		}
		all = append(all, object{"key": a.Key, "value": value})
	}
	return all
}
