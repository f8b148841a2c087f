package host

import (
	"context"
	"testing"
	"time"

	"eshost/host/store"
)

// answering is a store that keeps what requests were answered.
type answering struct {
	store.Store
	answered []int64
}

func (s *answering) AnswerRequest(_ context.Context, _, _ int64, a store.Answer) error {
	s.answered = append(s.answered, a.Request)
	return nil
}

// TestReloadOfAnotherHost: how long another host has had for its answer is for the database's clock to say, whatever this
// host's says.
func TestReloadOfAnotherHost(t *testing.T) {
	t.Parallel()
	s := &answering{}
	h := &Host{store: s, self: store.Host{ID: "this"}}
	for id, r := range map[int64]store.Request{
		1: {RequestedAt: time.Now().Add(-time.Hour), Age: time.Second},
		2: {RequestedAt: time.Now().Add(time.Hour), Age: reloadPatience + time.Second},
	} {
		r.ID, r.Key, r.Action = id, "another", store.AskReload
		h.reloadFor(t.Context(), r)
	}
	if len(s.answered) != 1 || s.answered[0] != 2 {
		t.Errorf("answered for the other host were %v, not the second one", s.answered)
	}
}
