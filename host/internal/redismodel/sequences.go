package redismodel

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/host/event"
	"eshost/host/store"
)

// sequence is a store.Sequence as Redis keeps it, under its key.
type sequence struct {
	State       store.SequenceState `json:"state"`
	Position    event.Position      `json:"position"`
	Attempts    int                 `json:"attempts"`
	NextAttempt time.Time           `json:"next_attempt,omitzero"`
	Kind        event.FailureKind   `json:"kind"`
	Error       string              `json:"error"`
	Stack       string              `json:"stack"`
	Digest      string              `json:"digest"`
	Since       time.Time           `json:"since,omitzero"`
}

func encodeSequence(q *store.Sequence) ([]byte, error) {
	b, err := json.Marshal(sequence{q.State, q.Position, q.Attempts, q.NextAttempt, q.Kind, q.Error, q.Stack, q.Digest, q.Since})
	if err != nil {
		return nil, fmt.Errorf("encode sequence %q: %w", q.Key, err)
	}
	return b, nil
}

func decodeSequence(key, encoded, waiting string) (store.Sequence, error) {
	var s sequence
	n, err := strconv.Atoi(waiting)
	if err == nil {
		err = json.Unmarshal([]byte(encoded), &s)
	}
	if err != nil {
		return store.Sequence{}, fmt.Errorf("%w: sequence %q: %w", ErrDamaged, key, err)
	}
	return store.Sequence{Key: key, State: s.State, Position: s.Position, Attempts: s.Attempts, NextAttempt: s.NextAttempt, Kind: s.Kind,
		Error: s.Error, Stack: s.Stack, Digest: s.Digest, Since: s.Since, Waiting: n}, nil
}

func (r *Reader) sequences(ctx context.Context, t tenure) ([]store.Sequence, error) {
	found, err := r.ask(ctx, t, sequencesScript, []string{r.keys.sequences(), r.keys.waiting()})
	if err != nil {
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	return decodeSequences(found)
}

// decodeSequences reads what the script answers after its first word.
func decodeSequences(found []any) ([]store.Sequence, error) {
	all := make([]store.Sequence, 0, len(found)/3)
	for i := 0; i+2 < len(found); i += 3 {
		q, err := decodeSequence(text(found, i), text(found, i+1), text(found, i+2))
		if err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	slices.SortFunc(all, func(a, b store.Sequence) int { return cmp.Compare(a.Position, b.Position) })
	return all, nil
}

// ListFailures reads the sequences of several read models in one Redis at once. Each has its own answer or error, with the
// contract of Reader.Sequences.
func ListFailures(ctx context.Context, readers []*Reader) (all [][]store.Sequence, errs []error) {
	all, errs = make([][]store.Sequence, len(readers)), make([]error, len(readers))
	if len(readers) == 0 {
		return all, errs
	}
	s := readers[0].server
	ctx, cancel := s.bound(ctx)
	defer cancel()
	asked := make([]*redis.Cmd, len(readers))
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for i, r := range readers {
			// With its source: one that Redis has forgotten cannot be sent again in the middle of a pipeline.
			asked[i] = sequencesScript.Eval(ctx, p, []string{r.keys.meta(), r.keys.sequences(), r.keys.waiting()}, "", r.database)
		}
		return nil
	})
	for i := range readers {
		answer, err := asked[i].Slice()
		if err = explain(ctx, err); err == nil {
			err = readers[i].verdict(answer, 0)
		}
		if err == nil {
			all[i], err = decodeSequences(answer[1:])
		}
		errs[i] = notBuilt(err)
	}
	return all, errs
}

// queued reads where a sequence's events are, and then the events from the log.
func (r *Reader) queued(ctx context.Context, t tenure, key string, limit int) ([]event.Event, error) {
	found, err := r.ask(ctx, t, waitingScript, []string{r.keys.waiting()}, key, limit)
	if err != nil {
		return nil, fmt.Errorf("read the sequence %q: %w", key, err)
	}
	positions := make([]event.Position, len(found))
	for i := range found {
		q, err := splitMember(text(found, i))
		if err != nil {
			return nil, err
		}
		positions[i] = q.Position
	}
	events, err := r.eventsAt(ctx, key, positions)
	if err != nil {
		return nil, fmt.Errorf("read the events of sequence %q: %w", key, err)
	}
	return events, nil
}

// eventsAt reads events of which each has its place in the log: in one go where the key is their stream, as it is
// unless another order was declared, else one by one.
func (r *Reader) eventsAt(ctx context.Context, stream string, positions []event.Position) ([]event.Event, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	byPosition := make(map[event.Position]event.Event, len(positions))
	b, err := r.log.Read(ctx, store.ReadOptions{After: positions[0] - 1, UpTo: positions[len(positions)-1], Stream: stream, Limit: 2 * len(positions)})
	if err != nil {
		return nil, err
	}
	for _, e := range b.Events {
		byPosition[e.Position] = e
	}
	events := make([]event.Event, 0, len(positions))
	for _, p := range positions {
		e, ok := byPosition[p]
		if !ok {
			one, err := r.log.Read(ctx, store.ReadOptions{After: p - 1, UpTo: p, Limit: 1})
			if err != nil {
				return nil, err
			}
			if len(one.Events) == 0 {
				continue // somebody has deleted it
			}
			e = one.Events[0]
		}
		events = append(events, e)
	}
	return events, nil
}
