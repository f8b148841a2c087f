package storetest

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var sequenceCases = []testCase{
	{"fields come back, in another process too", sequenceFields},
	{"in order of the failed event", sequenceOrder},
	{"queued events are in order", sequenceQueued},
	{"a sequence that is over", sequenceOver},
	{"one, and a page at a time", sequencePages},
}

func sequenceFields(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 3)
	o := own(t, s, "p")
	first := store.Sequence{Key: "k é", State: store.Retrying, Position: p[0], Attempts: 2, NextAttempt: time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC),
		Kind: event.FailTrap, Error: "line 1\nline 2", Stack: "handle\nmain", Digest: "d1", Since: time.Date(2026, 1, 2, 3, 4, 5, 1000, time.UTC)}
	o.commit(t, p[2], func(c *store.Commit) {
		c.Queue = []store.QueuedEvent{{Key: first.Key, Position: p[0]}, {Key: first.Key, Position: p[2]}}
		c.Sequences = []store.Sequence{first}
	})
	check1 := func(want store.Sequence) {
		t.Helper()
		got, err := db.open(t).Sequences(t.Context(), o.ID)
		check(t, err)
		if len(got) != 1 {
			t.Fatalf("got %+v", got)
		}
		if !got[0].NextAttempt.Equal(want.NextAttempt) || !got[0].Since.Equal(want.Since) {
			t.Errorf("times are %v and %v, want %v and %v", got[0].NextAttempt, got[0].Since, want.NextAttempt, want.Since)
		}
		got[0].NextAttempt, got[0].Since = want.NextAttempt, want.Since
		if got[0] != want {
			t.Errorf("got  %+v\nwant %+v", got[0], want)
		}
	}
	first.Waiting = 2
	check1(first)

	parked := store.Sequence{Key: first.Key, State: store.Parked, Position: p[2], Attempts: 5, Kind: event.FailReject, Error: "no", Digest: "d2", Since: first.Since}
	o.commit(t, p[2], func(c *store.Commit) {
		c.Dequeue = []store.QueuedEvent{{Key: first.Key, Position: p[0]}}
		c.Sequences = []store.Sequence{parked}
	})
	parked.Waiting = 1
	check1(parked) // a sequence that has no next attempt has none when it comes back
}

func sequenceOrder(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 4)
	o := own(t, s, "p")
	other := own(t, s, "q")
	o.commit(t, p[3], func(c *store.Commit) {
		for i, key := range []string{"z", "a", "m", "b"} {
			c.Queue = append(c.Queue, store.QueuedEvent{Key: key, Position: p[i]})
			c.Sequences = append([]store.Sequence{{Key: key, State: store.Parked, Position: p[i]}}, c.Sequences...)
		}
	})
	got, err := s.Sequences(t.Context(), o.ID)
	check(t, err)
	var keys []string
	for _, q := range got {
		keys = append(keys, q.Key)
		if q.Waiting != 1 {
			t.Errorf("%d events wait in %s", q.Waiting, q.Key)
		}
	}
	if !reflect.DeepEqual(keys, []string{"z", "a", "m", "b"}) {
		t.Errorf("got %v", keys)
	}
	if got, err := s.Sequences(t.Context(), other.ID); err != nil || len(got) != 0 {
		t.Errorf("another plugin has %+v (%v)", got, err)
	}
}

func sequenceQueued(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 6)
	o := own(t, s, "p")
	o.commit(t, p[5], func(c *store.Commit) {
		c.Queue = []store.QueuedEvent{{Key: "k", Position: p[4]}, {Key: "k", Position: p[0]}, {Key: "other", Position: p[1]}, {Key: "k", Position: p[2]}}
		c.Sequences = []store.Sequence{{Key: "k", State: store.Parked, Position: p[0]}, {Key: "other", State: store.Parked, Position: p[1]}}
	})
	for _, c := range []struct {
		key   string
		limit int
		want  []string
	}{
		{"k", 10, []string{"e-0", "e-2", "e-4"}}, {"k", 3, []string{"e-0", "e-2", "e-4"}}, {"k", 1, []string{"e-0"}}, {"other", 10, []string{"e-1"}}, {"none", 10, []string{}},
	} {
		got, err := s.Queued(t.Context(), o.ID, c.key, c.limit)
		if check(t, err); !reflect.DeepEqual(ids(got), c.want) {
			t.Errorf("%s, limit %d: got %v, want %v", c.key, c.limit, ids(got), c.want)
		}
	}
	got, err := s.Queued(t.Context(), o.ID, "k", 1)
	if check(t, err); !reflect.DeepEqual(got, readAll(t, s)[:1]) {
		t.Errorf("queued is %+v, the log has %+v", got, readAll(t, s)[:1])
	}
}

func sequenceOver(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 2)
	o := own(t, s, "p")
	o.commit(t, p[1], func(c *store.Commit) {
		c.Queue = []store.QueuedEvent{{Key: "k", Position: p[0]}, {Key: "l", Position: p[1]}}
		c.Sequences = []store.Sequence{{Key: "k", State: store.Retrying, Position: p[0]}, {Key: "l", State: store.Retrying, Position: p[1]}}
	})
	o.commit(t, p[1], func(c *store.Commit) {
		c.Dequeue = []store.QueuedEvent{{Key: "k", Position: p[0]}, {Key: "none", Position: p[0]}}
		c.Sequences = []store.Sequence{{Key: "k"}, {Key: "none"}}
	})
	if got := contents(t, s, o.Generation); strings.Contains(got, `sequence "k"`) || !strings.Contains(got, `sequence "l"`) {
		t.Errorf("the store holds\n%s", got)
	}
	if left, err := s.Queued(t.Context(), o.ID, "k", 10); err != nil || len(left) != 0 {
		t.Errorf("still queued: %v (%v)", ids(left), err)
	}
}

func sequencePages(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 7)
	o := own(t, s, "p")
	o.commit(t, p[6], func(c *store.Commit) {
		for i := range 6 {
			q := store.Sequence{Key: string(rune('z' - i)), State: store.Parked, Position: p[i], Error: "no", Stack: "handle"}
			if i%2 == 1 {
				q.State = store.Retrying
			}
			c.Sequences = append(c.Sequences, q)
			c.Queue = append(c.Queue, store.QueuedEvent{Key: q.Key, Position: p[i]})
		}
		c.Queue = append(c.Queue, store.QueuedEvent{Key: "z", Position: p[6]})
	})
	for _, c := range []struct {
		o    store.SequenceOptions
		want string
	}{
		{store.SequenceOptions{Limit: 100}, "zyxwvu"}, {store.SequenceOptions{Limit: 2}, "zy"}, {store.SequenceOptions{Limit: 2, After: p[1]}, "xw"},
		{store.SequenceOptions{Limit: 100, State: store.Parked}, "zxv"}, {store.SequenceOptions{Limit: 1, State: store.Retrying, After: p[1]}, "w"},
		{store.SequenceOptions{Limit: 1, After: p[5]}, ""},
	} {
		got, err := s.ListSequences(t.Context(), o.ID, c.o)
		check(t, err)
		keys := ""
		for _, q := range got {
			keys += q.Key
			if q.Stack != "" || q.Error != "no" || q.Waiting != 1 && q.Key != "z" {
				t.Errorf("got %+v", q)
			}
		}
		if keys != c.want {
			t.Errorf("%+v: got %s, want %s", c.o, keys, c.want)
		}
	}
	if q, err := s.FindSequence(t.Context(), o.ID, "z"); err != nil || q.Position != p[0] || q.Stack != "handle" || q.Waiting != 2 {
		t.Errorf("got %+v (%v)", q, err)
	}
	_, err := s.FindSequence(t.Context(), o.ID, "none")
	wantError(t, err, store.ErrNotFound)
	for _, position := range []event.Position{p[0], p[6]} {
		if q, err := s.SequenceWith(t.Context(), o.ID, position); err != nil || q.Key != "z" || q.Position != p[0] || q.Waiting != 2 {
			t.Errorf("with %d: got %+v (%v)", position, q, err)
		}
	}
	_, err = s.SequenceWith(t.Context(), o.ID, p[6]+100)
	wantError(t, err, store.ErrNotFound)
	_, err = s.SequenceWith(t.Context(), o.ID+100, p[0])
	wantError(t, err, store.ErrNotFound)
}
