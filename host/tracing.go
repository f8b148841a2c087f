package host

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/traces"
	"eshost/host/store"
)

// traced returns what a plugin's runner reads from and writes to, with a span for each batch if traces are wanted.
func (h *Host) traced(plugin string, state delivery.State, feed delivery.Feed) (delivery.State, delivery.Feed) {
	if h.traces == nil {
		return state, feed
	}
	t := &batchTracer{plugin: plugin, to: h.traces}
	return tracedState{state, t}, tracedFeed{feed, t}
}

// sendTraces sends spans until stop is called: a stopping host's last batches are told of too.
func (h *Host) sendTraces(ctx context.Context) (stop func()) {
	if h.traces == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { defer close(done); h.traces.Run(ctx) }()
	return func() { cancel(); <-done }
}

// batchTracer makes a span of each batch, from when its handling could begin to the end of its commit. Its links lead
// to where the batch's events were made, as far as their metadata has a traceparent.
type batchTracer struct {
	plugin string
	to     *traces.Exporter

	mu        sync.Mutex
	fetched   []fetched
	retried   []traces.Link // of the sequence that is gone through
	retriedAt time.Time
	last      time.Time // when the last batch was handed over to be committed
}

// fetched is a batch that was read and may not be handled yet.
type fetched struct {
	after, upTo event.Position
	at          time.Time
	links       []linked
	more        int // links beyond those
}

type linked struct {
	position event.Position
	link     traces.Link
}

type tracedFeed struct {
	delivery.Feed
	t *batchTracer
}

func (f tracedFeed) Next(ctx context.Context, after event.Position, limit, maxBytes int) (event.Batch, error) {
	b, err := f.Feed.Next(ctx, after, limit, maxBytes)
	if err == nil {
		f.t.note(after, b)
	}
	return b, err
}

type tracedState struct {
	delivery.State
	t *batchTracer
}

func (s tracedState) Queued(ctx context.Context, generation int64, key string, limit int) ([]event.Event, error) {
	events, err := s.State.Queued(ctx, generation, key, limit)
	links, _ := linksOf(events)
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.t.retried, s.t.retriedAt = nil, time.Now()
	for _, l := range links {
		s.t.retried = append(s.t.retried, l.link)
	}
	return events, err
}

func (s tracedState) Commit(ctx context.Context, c store.Commit) error {
	span := s.t.begin(&c)
	err := s.State.Commit(ctx, c)
	span.End, span.Err = time.Now(), err
	s.t.to.Add(span)
	return err
}

// note remembers a batch that was read. What was read before from there on is not what comes next.
func (t *batchTracer) note(after event.Position, b event.Batch) {
	f := fetched{after: after, upTo: b.UpTo, at: time.Now()}
	f.links, f.more = linksOf(b.Events)
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := len(t.fetched); n > 0 && t.fetched[n-1].after >= after; n-- {
		t.fetched = t.fetched[:n-1]
	}
	t.fetched = append(t.fetched, f)
}

// begin makes the span of a batch that is about to be committed.
func (t *batchTracer) begin(c *store.Commit) traces.Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	s := traces.Span{Name: "batch " + t.plugin, Start: t.last, Attributes: []traces.Attribute{
		{Key: "eshost.plugin", Value: t.plugin},
		{Key: "eshost.generation", Value: c.Generation},
		{Key: "eshost.position.after", Value: int64(c.Expected)},
		{Key: "eshost.position.last", Value: int64(c.Position)},
		{Key: "eshost.documents", Value: int64(len(c.Documents))},
		{Key: "eshost.emitted", Value: int64(len(c.Emitted))},
		{Key: "eshost.module", Value: c.Digest},
	}}
	t.last = now
	if c.Position == c.Expected {
		s.Name, s.Start, s.Links, t.retried = "retry "+t.plugin, t.retriedAt, t.retried, nil
		return s
	}
	var rest []fetched
	for _, f := range t.fetched {
		if f.after < c.Position && f.at.After(s.Start) {
			s.Start = f.at
		}
		for len(f.links) > 0 && f.links[0].position <= c.Position {
			if len(s.Links) < traces.MaxLinks {
				s.Links = append(s.Links, f.links[0].link)
			} else {
				s.Dropped++
			}
			f.links = f.links[1:]
		}
		if f.upTo > c.Position {
			rest = append(rest, f)
		} else {
			s.Dropped += f.more
		}
	}
	t.fetched = rest
	return s
}

// linksOf finds where events were made; beyond traces.MaxLinks they are only counted.
func linksOf(events []event.Event) (links []linked, more int) {
	for i := range events {
		e := &events[i]
		if !bytes.Contains(e.Metadata, []byte(`"traceparent"`)) {
			continue
		}
		var m struct{ Traceparent string }
		if json.Unmarshal(e.Metadata, &m) != nil {
			continue
		}
		link, ok := traces.ParseTraceparent(m.Traceparent)
		switch {
		case !ok:
		case len(links) < traces.MaxLinks:
			links = append(links, linked{e.Position, link})
		default:
			more++
		}
	}
	return links, more
}
