package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/eventjson"
	"eshost/host/store"
)

// ParkedSequence is a failing or parked sequence as eshost parked, the HTTP API and the page show it.
type ParkedSequence struct {
	Key      string         `json:"key"`
	State    string         `json:"state"`    // retrying or parked
	Position event.Position `json:"position"` // the failed event
	Attempts int            `json:"attempts"` // of that event
	// NextAttempt is when it is tried again; missing where a person must act.
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	Kind        string     `json:"kind"` // of the failure
	Error       string     `json:"error"`
	Stack       string     `json:"stack,omitempty"` // a function a line, innermost first; missing in lists
	Digest      string     `json:"digest"`          // of the module that failed
	Since       time.Time  `json:"since"`
	Waiting     int        `json:"waiting"` // events, the failed one included
}

// ParkedPage is a part of a plugin's sequences, in order of their failed events.
type ParkedPage struct {
	Plugin    string           `json:"plugin"`
	Sequences []ParkedSequence `json:"sequences"`
	// Next is the After of the next page; 0 if this is the last.
	Next event.Position `json:"next,omitempty"`
}

// ParkedDetail is all that is known of one sequence.
type ParkedDetail struct {
	Plugin string `json:"plugin"`
	ParkedSequence
	// Event is the failed event in the JSON of eshost events, as it was appended.
	Event json.RawMessage `json:"event"`
	// Replaced is what the plugin gets in the place of the event's data, if somebody edited it.
	Replaced *Replaced `json:"replaced,omitempty"`
	// Behind are the first events that wait behind the failed one; Waiting-1 do.
	Behind []WaitingEvent `json:"behind"`
	// Requests are the newest of those about this sequence.
	Requests []Request `json:"requests"`
}

// WaitingEvent is an event that waits behind a failed one.
type WaitingEvent struct {
	Position event.Position `json:"position"`
	Type     string         `json:"type"`
	Stream   string         `json:"stream"`
	ID       string         `json:"id"`
	Time     time.Time      `json:"time"`
}

// Replaced is data that a person has put in the place of an event's. Data is JSON where the event's is, else base64.
type Replaced struct {
	Data   json.RawMessage `json:"data,omitempty"`
	Base64 []byte          `json:"data_base64,omitempty"`
	Size   int             `json:"size"` // in bytes
	Who    string          `json:"who"`
	Why    string          `json:"why"`
	At     time.Time       `json:"at"`
}

// Request is what a person asked of a plugin, and what became of it, as the tools show it.
type Request struct {
	ID          int64          `json:"id"`
	Plugin      string         `json:"plugin"`
	Action      string         `json:"action"`
	Key         string         `json:"key,omitempty"`
	Position    event.Position `json:"position,omitempty"`
	Generation  int            `json:"generation,omitempty"`
	Digest      string         `json:"digest,omitempty"`
	DataSize    int            `json:"data_size,omitempty"` // in bytes
	Who         string         `json:"who"`
	Why         string         `json:"why,omitempty"`
	State       string         `json:"state"` // pending, done or refused
	Answer      string         `json:"answer,omitempty"`
	RequestedAt time.Time      `json:"requested_at"`
	AnsweredAt  *time.Time     `json:"answered_at,omitempty"`
}

// ErrOtherEvent is matched when what is asked about an event concerns a sequence that has gone on: it was
// asked by somebody who saw an older state.
var ErrOtherEvent = errors.New("another event is the failed one")

// ListParked returns a page of a plugin's sequences, of one state or of both. It fails with
// store.ErrNotFound if the store does not know the plugin.
func ListParked(ctx context.Context, s store.State, plugin string, o store.SequenceOptions) (*ParkedPage, error) {
	g, err := s.FindPlugin(ctx, plugin)
	if err != nil {
		return nil, fmt.Errorf("list sequences of %s: %w", plugin, err)
	}
	limit := o.Limit
	o.Limit++
	list, err := s.ListSequences(ctx, g.ID, o)
	if err != nil {
		return nil, fmt.Errorf("list sequences of %s: %w", plugin, err)
	}
	page := &ParkedPage{Plugin: plugin, Sequences: []ParkedSequence{}}
	if len(list) > limit {
		list = list[:limit]
		page.Next = list[limit-1].Position
	}
	for i := range list {
		page.Sequences = append(page.Sequences, showSequence(&list[i]))
	}
	return page, nil
}

// ShowParked returns all about one sequence, with at most behind of the events that wait in it. It fails
// with store.ErrNotFound if there is no such plugin or sequence.
func ShowParked(ctx context.Context, s store.State, plugin, key string, behind int) (*ParkedDetail, error) {
	g, err := s.FindPlugin(ctx, plugin)
	if err != nil {
		return nil, fmt.Errorf("find plugin %s: %w", plugin, err)
	}
	const tries = 10
	for range tries {
		q, err := s.FindSequence(ctx, g.ID, key)
		if err != nil {
			return nil, fmt.Errorf("read the sequence: %w", err)
		}
		events, err := s.Queued(ctx, g.ID, key, behind+1)
		if err != nil {
			return nil, fmt.Errorf("read the sequence %q: %w", key, err)
		}
		if len(events) == 0 || events[0].Position != q.Position {
			continue // it went on in between
		}
		d := &ParkedDetail{Plugin: plugin, ParkedSequence: showSequence(&q), Event: eventjson.Append(nil, &events[0]), Behind: []WaitingEvent{}}
		for _, e := range events[1:] {
			d.Behind = append(d.Behind, WaitingEvent{Position: e.Position, Type: e.Type, Stream: e.Stream, ID: e.ID, Time: e.Time})
		}
		if d.Replaced, err = findReplaced(ctx, s, plugin, &events[0]); err != nil {
			return nil, err
		}
		d.Requests, err = requestsAbout(ctx, s, plugin, key)
		return d, err
	}
	return nil, fmt.Errorf("read the sequence %q: it went on at each of %d looks", key, tries)
}

func findReplaced(ctx context.Context, s store.State, plugin string, e *event.Event) (*Replaced, error) {
	r, err := s.Replacement(ctx, plugin, e.Position)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read what replaces event %d: %w", e.Position, err)
	}
	out := &Replaced{Size: r.Size, Who: r.Who, Why: r.Why, At: r.At}
	if event.IsJSON(e.ContentType) && event.ValidJSON(r.Data) {
		out.Data = r.Data
	} else {
		out.Base64 = r.Data
	}
	return out, nil
}

// requestsAbout are the newest requests about a key, those about all keys included.
func requestsAbout(ctx context.Context, s store.State, plugin, key string) ([]Request, error) {
	const lookedAt, most = 200, 10
	list, err := s.RequestLog(ctx, plugin, lookedAt)
	if err != nil {
		return nil, fmt.Errorf("read the requests: %w", err)
	}
	about := []Request{}
	for i := range list {
		r := &list[i]
		all := r.Action == store.AskRetry && r.Position == 0
		if (all || r.Position != 0 && r.Key == key) && len(about) < most {
			about = append(about, ShowRequest(r))
		}
	}
	return about, nil
}

func showSequence(q *store.Sequence) ParkedSequence {
	p := ParkedSequence{
		Key: q.Key, State: string(q.State), Position: q.Position, Attempts: q.Attempts, Kind: string(q.Kind),
		Error: q.Error, Stack: q.Stack, Digest: q.Digest, Since: q.Since, Waiting: q.Waiting,
	}
	if q.State == store.Retrying && !q.NextAttempt.IsZero() {
		p.NextAttempt = &q.NextAttempt
	}
	return p
}

// ShowRequest is a request as the tools show it.
func ShowRequest(r *store.Request) Request {
	out := Request{
		ID: r.ID, Plugin: r.Plugin, Action: string(r.Action), Key: r.Key, Position: r.Position, Generation: r.Generation,
		Digest: r.Digest, DataSize: r.DataSize, Who: r.Who, Why: r.Why, State: string(r.State), Answer: r.Answer, RequestedAt: r.RequestedAt,
	}
	if !r.AnsweredAt.IsZero() {
		out.AnsweredAt = &r.AnsweredAt
	}
	return out
}
