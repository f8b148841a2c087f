package delivery

import (
	"slices"

	"eshost/host/store"
)

// request follows a commit that carries out, or refuses, what a person has asked for.
func (m *model) request(c *applied, w *way, want *changes) {
	m.t.Helper()
	if len(c.Answers) != 1 || c.Position != c.Expected {
		m.t.Fatalf("commit %d to %d answers %v", c.Expected, c.Position, c.Answers)
	}
	a := c.Answers[0]
	req := m.requests[a.Request-1]
	q := m.sequences[req.Key]
	state := store.Done
	switch req.Action {
	case store.AskPause, store.AskResume:
		m.paused = req.Action == store.AskPause
	case store.AskRetry:
		switch {
		case req.Position == 0:
			for key := range m.sequences {
				m.tryAgain(key, c, want)
			}
		case q == nil:
			state = store.Refused
		default:
			m.tryAgain(req.Key, c, want)
		}
	case store.AskSkip, store.AskEdit:
		switch {
		case q == nil || q.Position != req.Position || q.Kind == "":
			state = store.Refused
		case req.Action == store.AskEdit:
			m.edits[q.Position] = req.Data
			m.tryAgain(req.Key, c, want)
		default:
			m.skip(q, c, w, want)
		}
	}
	if a.State != state || a.Text == "" {
		m.t.Errorf("request %+v is %s (%s), must be %s", req, a.State, a.Text, state)
	}
	edited := state == store.Done && req.Action == store.AskEdit
	if edited != (len(c.Replacements) == 1) || edited && (string(c.Replacements[0].Data) != string(req.Data) || c.Replacements[0].Position != req.Position) {
		m.t.Errorf("request %+v replaces %v", req, c.Replacements)
	}
}

func (m *model) tryAgain(key string, c *applied, want *changes) {
	q := m.sequences[key]
	q.State, q.Attempts, q.NextAttempt = store.Retrying, 0, c.sequence(key).NextAttempt
	want.sequences[key] = q.Sequence
}

func (m *model) skip(q *modelSequence, c *applied, w *way, want *changes) {
	m.skipped[q.Position] = true
	want.dequeue = append(want.dequeue, store.QueuedEvent{Key: q.Key, Position: q.Position})
	q.queue = q.queue[1:]
	if len(q.queue) == 0 {
		delete(m.sequences, q.Key)
		want.sequences[q.Key] = store.Sequence{Key: q.Key}
		return
	}
	q.Position, q.Attempts, q.State, q.Digest = q.queue[0], 0, store.Retrying, digestOf(w.script.version)
	q.Kind, q.Error, q.Stack, q.NextAttempt = "", "", "", c.sequence(q.Key).NextAttempt
	want.sequences[q.Key] = q.Sequence
}

// sequence is the one that the commit writes under a key.
func (c *applied) sequence(key string) store.Sequence {
	if i := slices.IndexFunc(c.Sequences, func(s store.Sequence) bool { return s.Key == key }); i >= 0 {
		return c.Sequences[i]
	}
	return store.Sequence{}
}
