package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var requestCases = []testCase{
	{"fields come back, in another process too", requestFields},
	{"say how old they are", requestAge},
	{"what nobody would store", requestInvalid},
	{"pending ones, oldest first", requestPending},
	{"too many", requestTooMany},
	{"one plugin does not keep another waiting", requestFair},
	{"the log of a plugin", requestLog},
	{"answered without a commit", requestAnswer},
	{"answered by a commit, or nothing of it", requestCommit},
	{"two answers, one counts", requestRace},
	{"replacements", requestReplacements},
	{"pause", requestPause},
}

func ask(t *testing.T, s store.Store, r store.Request) int64 {
	t.Helper()
	if r.Who == "" {
		r.Who = "ada"
	}
	id, err := s.Ask(t.Context(), r)
	check(t, err)
	return id
}

func find(t *testing.T, s store.Store, id int64) store.Request {
	t.Helper()
	r, err := s.Request(t.Context(), id)
	check(t, err)
	return r
}

func requestFields(t *testing.T, db *database) {
	s := db.open(t)
	for _, want := range []store.Request{
		{Plugin: "p", Action: store.AskEdit, Key: "k é", Position: 1 << 40, Data: []byte("\x00\xff{"), Who: "Ada é", Why: `it "was" wrong; it's 5`},
		{Plugin: "p", Action: store.AskEdit, Position: 1, Data: []byte{}, Who: "ada", Why: "empty it"},
		{Plugin: "p", Action: store.AskRebuild, Generation: 3, Digest: "abc", Who: "ada"},
	} {
		id := ask(t, s, want)
		got := find(t, db.open(t), id)
		if got.RequestedAt.IsZero() || !got.AnsweredAt.IsZero() || got.ID != id || got.State != store.Pending || got.DataSize != len(want.Data) {
			t.Errorf("got %+v", got)
		}
		if !bytes.Equal(got.Data, want.Data) {
			t.Errorf("data is %q", got.Data)
		}
		want.ID, want.State, want.RequestedAt, want.DataSize, want.Data, got.Data, got.Age = id, store.Pending, got.RequestedAt, len(want.Data), nil, nil, 0
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	_, err := s.Request(t.Context(), 1<<40)
	wantError(t, err, store.ErrNotFound)
}

// requestAge: a request says how old it is, so that nobody needs a clock of their own for it.
func requestAge(t *testing.T, db *database) {
	s := db.open(t)
	began := time.Now()
	id := ask(t, s, store.Request{Plugin: "p", Action: store.AskRebuild})
	asked := time.Now()
	ages := func() (ages [3]time.Duration) {
		t.Helper()
		log, err := s.RequestLog(t.Context(), "p", 1)
		check(t, err)
		pending, err := s.PendingRequests(t.Context())
		check(t, err)
		return [3]time.Duration{find(t, s, id).Age, log[0].Age, pending[0].Age}
	}
	grows(t, began, asked, func() []time.Duration { all := ages(); return all[:] })
}

// grows holds ages to the time that has gone by since something happened, between two moments.
func grows(t *testing.T, earliest, latest time.Time, ages func() []time.Duration) {
	t.Helper()
	const step = 100 * time.Millisecond // a database may count in less than a millisecond, or in whole ones
	eventually(t, "it is some milliseconds old", func() bool { return time.Since(latest) > step })
	least := time.Since(latest) - 2*time.Millisecond
	for i, age := range ages() {
		if most := time.Since(earliest) + 2*time.Millisecond; age < least || age > most {
			t.Errorf("age %d is %s, not between %s and %s", i, age, least, most)
		}
	}
}

func requestInvalid(t *testing.T, db *database) {
	s := db.open(t)
	good := store.Request{Plugin: "p", Action: store.AskEdit, Key: "k", Position: 1, Data: []byte("1"), Who: "ada", Why: "because"}
	for what, spoil := range map[string]func(r *store.Request){
		"no plugin":          func(r *store.Request) { r.Plugin = "" },
		"no action":          func(r *store.Request) { r.Action = "" },
		"an unknown action":  func(r *store.Request) { r.Action = "explode" },
		"nobody":             func(r *store.Request) { r.Who = "" },
		"no reason":          func(r *store.Request) { r.Why = "" },
		"no position":        func(r *store.Request) { r.Position = 0 },
		"no data":            func(r *store.Request) { r.Data = nil },
		"data for a skip":    func(r *store.Request) { r.Action = store.AskSkip },
		"too much data":      func(r *store.Request) { r.Data = make([]byte, store.MaxDataBytes+1) },
		"a long name":        func(r *store.Request) { r.Who = strings.Repeat("a", store.MaxWhoBytes+1) },
		"a long reason":      func(r *store.Request) { r.Why = strings.Repeat("a", store.MaxWhyBytes+1) },
		"lines":              func(r *store.Request) { r.Why = "a\nb" },
		"a terminal's codes": func(r *store.Request) { r.Who = "\x1b[31m" },
		"no UTF-8":           func(r *store.Request) { r.Why = "\xff" },
		"a zero byte":        func(r *store.Request) { r.Key = "a\x00b" },
		"a long key":         func(r *store.Request) { r.Key = strings.Repeat("k", store.MaxNameBytes+1) },
	} {
		r := good
		spoil(&r)
		if _, err := s.Ask(t.Context(), r); err == nil {
			t.Errorf("%s is taken", what)
		} else {
			wantError(t, err, store.ErrInvalid)
		}
	}
	ask(t, s, good)
	if pending, err := s.PendingRequests(t.Context()); err != nil || len(pending) != 1 {
		t.Errorf("pending are %+v (%v)", pending, err)
	}
}

func requestPending(t *testing.T, db *database) {
	s := db.open(t)
	if pending, err := s.PendingRequests(t.Context()); err != nil || len(pending) != 0 {
		t.Errorf("a new store has %+v (%v)", pending, err)
	}
	var want []int64
	for i := range 6 {
		want = append(want, ask(t, s, store.Request{Plugin: fmt.Sprint("p", i%2), Action: store.AskRetry}))
	}
	want = append(want, ask(t, s, store.Request{Plugin: "p0", Action: store.AskEdit, Position: 3, Data: []byte("12"), Why: "because"}))
	check(t, s.AnswerRequest(t.Context(), 0, 0, store.Answer{Request: want[2], State: store.Done}))
	want = append(want[:2], want[3:]...)
	got, err := s.PendingRequests(t.Context())
	check(t, err)
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, r := range got {
		if r.ID != want[i] || r.State != store.Pending || r.Data != nil {
			t.Errorf("number %d is %+v, want %d", i, r, want[i])
		}
	}
	if last := got[len(got)-1]; last.DataSize != 2 || last.Position != 3 || last.Who != "ada" || last.Why != "because" {
		t.Errorf("the last is %+v", last)
	}
}

func requestTooMany(t *testing.T, db *database) {
	s := db.open(t)
	var first int64
	for i := range store.MaxPending {
		if id := ask(t, s, store.Request{Plugin: "p", Action: store.AskRetry}); i == 0 {
			first = id
		}
	}
	_, err := s.Ask(t.Context(), store.Request{Plugin: "p", Action: store.AskRetry, Who: "ada"})
	wantError(t, err, store.ErrTooManyRequests)
	ask(t, s, store.Request{Plugin: "q", Action: store.AskRetry})
	check(t, s.AnswerRequest(t.Context(), 0, 0, store.Answer{Request: first, State: store.Refused, Text: "no"}))
	ask(t, s, store.Request{Plugin: "p", Action: store.AskRetry})
}

func requestFair(t *testing.T, db *database) {
	s := db.open(t)
	for range 300 {
		ask(t, s, store.Request{Plugin: "busy", Action: store.AskRetry})
	}
	late := ask(t, s, store.Request{Plugin: "other", Action: store.AskRetry})
	got, err := s.PendingRequests(t.Context())
	check(t, err)
	if n := len(got); n < 2 || n > 300 || got[n-1].ID != late {
		t.Errorf("%d are pending, the last is %+v", n, got[n-1])
	}
}

func requestLog(t *testing.T, db *database) {
	s := db.open(t)
	var ids []int64
	for i := range 4 {
		ids = append(ids, ask(t, s, store.Request{Plugin: "p", Action: store.AskEdit, Position: event.Position(i + 1), Data: []byte("1"), Why: "because"}))
	}
	ask(t, s, store.Request{Plugin: "other", Action: store.AskPause})
	check(t, s.AnswerRequest(t.Context(), 0, 0, store.Answer{Request: ids[3], State: store.Done, Text: "as asked"}))
	got, err := s.RequestLog(t.Context(), "p", 3)
	check(t, err)
	if len(got) != 3 || got[0].ID != ids[3] || got[2].ID != ids[1] || got[1].Data != nil || got[1].DataSize != 1 {
		t.Errorf("got %+v", got)
	}
	if r := got[0]; r.State != store.Done || r.Answer != "as asked" || r.AnsweredAt.Before(r.RequestedAt) {
		t.Errorf("the answered one is %+v", r)
	}
}

func requestAnswer(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	id := ask(t, s, store.Request{Plugin: "p", Action: store.AskRetry})
	a := store.Answer{Request: id, State: store.Refused, Text: "not \x00 now"}
	wantError(t, s.AnswerRequest(t.Context(), o.ID, o.Epoch-1, a), store.ErrLeaseLost)
	wantError(t, s.AnswerRequest(t.Context(), o.ID, o.Epoch+1, a), store.ErrLeaseLost)
	if r := find(t, s, id); r.State != store.Pending || r.Answer != "" {
		t.Errorf("got %+v", r)
	}
	check(t, s.AnswerRequest(t.Context(), o.ID, o.Epoch, a))
	if r := find(t, s, id); r.State != store.Refused || !strings.HasPrefix(r.Answer, "not ") || r.AnsweredAt.IsZero() {
		t.Errorf("got %+v", r)
	}
	wantError(t, s.AnswerRequest(t.Context(), o.ID, o.Epoch, store.Answer{Request: id, State: store.Done}), store.ErrAnswered)
	wantError(t, s.AnswerRequest(t.Context(), 0, 0, store.Answer{Request: 1 << 40, State: store.Done}), store.ErrAnswered)
	if r := find(t, s, id); r.State != store.Refused {
		t.Errorf("got %+v", r)
	}
	id = ask(t, s, store.Request{Plugin: "p", Action: store.AskRetry})
	check(t, s.Release(t.Context(), o.ID, o.Epoch))
	wantError(t, s.AnswerRequest(t.Context(), o.ID, o.Epoch, store.Answer{Request: id, State: store.Done}), store.ErrLeaseLost)
}

func requestCommit(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 3)
	o := own(t, s, "p")
	one, two := ask(t, s, store.Request{Plugin: "p", Action: store.AskRetry}), ask(t, s, store.Request{Plugin: "p", Action: store.AskPause})
	everything := func(ids ...int64) func(c *store.Commit) {
		return func(c *store.Commit) {
			c.Documents = []event.DocumentWrite{set("c", "k", `1`, p[0])}
			c.Queue = []store.QueuedEvent{{Key: "k", Position: p[0]}}
			c.Sequences = []store.Sequence{{Key: "k", State: store.Parked, Position: p[0]}}
			c.Replacements = []store.Replacement{{Plugin: "p", Position: p[0], Data: []byte("2"), Who: "ada", Why: "because"}}
			c.Pause = &store.Pause{Who: "ada"}
			for _, id := range ids {
				c.Answers = append(c.Answers, store.Answer{Request: id, State: store.Done, Text: "as asked"})
			}
		}
	}
	before := contents(t, s, o.Generation)
	untouched := func() {
		t.Helper()
		wantContents(t, s, o.Generation, before)
		if list, err := s.Replacements(t.Context(), "p"); err != nil || len(list) != 0 {
			t.Errorf("replacements are %+v (%v)", list, err)
		}
		if pause, err := s.Paused(t.Context(), "p"); err != nil || pause != nil {
			t.Errorf("paused by %+v (%v)", pause, err)
		}
		for _, id := range []int64{one, two} {
			if r := find(t, s, id); r.State != store.Pending {
				t.Errorf("got %+v", r)
			}
		}
	}
	o.Epoch--
	wantError(t, o.try(t.Context(), p[1], everything(one)), store.ErrLeaseLost)
	untouched()
	o.Epoch++
	wantError(t, o.try(t.Context(), p[1], everything(one, 1<<40)), store.ErrAnswered)
	untouched()
	third := ask(t, s, store.Request{Plugin: "p", Action: store.AskRetry})
	check(t, s.AnswerRequest(t.Context(), 0, 0, store.Answer{Request: third, State: store.Refused, Text: "no"}))
	wantError(t, o.try(t.Context(), p[1], everything(one, third, two)), store.ErrAnswered)
	untouched()

	o.commit(t, p[1], everything(one, two))
	for _, id := range []int64{one, two} {
		if r := find(t, s, id); r.State != store.Done || r.Answer != "as asked" || r.AnsweredAt.IsZero() {
			t.Errorf("got %+v", r)
		}
	}
	after := contents(t, s, o.Generation)
	wantError(t, o.try(t.Context(), p[2], everything(two)), store.ErrAnswered) // its answer was lost, and it is carried out again
	wantContents(t, s, o.Generation, after)
	o.commit(t, p[1], func(c *store.Commit) { // nothing but an answer
		c.Digest = ""
		c.Answers = []store.Answer{{Request: ask(t, s, store.Request{Plugin: "p", Action: store.AskRetry}), State: store.Refused, Text: "no"}}
	})
	wantContents(t, s, o.Generation, after)
}

func requestRace(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	id := ask(t, s, store.Request{Plugin: "p", Action: store.AskRetry})
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		other := db.open(t)
		wg.Go(func() {
			a := store.Answer{Request: id, State: store.Done, Text: fmt.Sprint(i)}
			if i%2 == 0 {
				errs[i] = other.AnswerRequest(t.Context(), o.ID, o.Epoch, a)
				return
			}
			errs[i] = other.Commit(t.Context(), store.Commit{Generation: o.ID, Owner: "owner of p", Epoch: o.Epoch, Expected: o.Position, Position: o.Position, Answers: []store.Answer{a}})
		})
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		if err != nil {
			wantError(t, err, store.ErrAnswered)
			continue
		}
		if won >= 0 {
			t.Errorf("%d and %d have answered", won, i)
		}
		won = i
	}
	if r := find(t, s, id); won < 0 || r.Answer != fmt.Sprint(won) {
		t.Errorf("%d has answered, the answer is %+v", won, r)
	}
}

func requestReplacements(t *testing.T, db *database) {
	s := db.open(t)
	o, other := own(t, s, "p"), own(t, s, "q")
	put := func(o *owned, p event.Position, data, who string) {
		t.Helper()
		o.commit(t, 0, func(c *store.Commit) {
			c.Replacements = []store.Replacement{{Plugin: o.Plugin, Position: p, Data: []byte(data), Who: who, Why: "because"}}
		})
	}
	put(o, 9, "\x00\xffnine", "ada")
	put(o, 3, "three", "ada")
	put(other, 9, "other", "eve")
	put(o, 9, "nine again", "bob")
	put(o, 4, "", "bob")
	s = db.open(t)
	list, err := s.Replacements(t.Context(), "p")
	check(t, err)
	got := ""
	for _, r := range list {
		if r.Data != nil || r.At.IsZero() || r.Plugin != "p" || r.Why != "because" {
			t.Errorf("got %+v", r)
		}
		full, err := s.Replacement(t.Context(), "p", r.Position)
		check(t, err)
		if full.Who != r.Who || full.Why != r.Why || !full.At.Equal(r.At) || full.Size != r.Size || len(full.Data) != r.Size {
			t.Errorf("listed as %+v, is %+v", r, full)
		}
		got += fmt.Sprintf("%d %s %s; ", r.Position, r.Who, full.Data)
	}
	if got != "3 ada three; 4 bob ; 9 bob nine again; " {
		t.Errorf("got %s", got)
	}
	_, err = s.Replacement(t.Context(), "q", 3)
	wantError(t, err, store.ErrNotFound)
}

func requestPause(t *testing.T, db *database) {
	s := db.open(t)
	if p, err := s.Paused(t.Context(), "none"); err != nil || p != nil {
		t.Errorf("got %+v (%v)", p, err)
	}
	o, other := own(t, s, "p"), own(t, s, "q")
	o.commit(t, 0, func(c *store.Commit) { c.Pause = &store.Pause{Who: "ada", Why: "a look"} })
	other.commit(t, 0, nil)
	got, err := db.open(t).Paused(t.Context(), "p")
	if err != nil || got == nil || got.Who != "ada" || got.Why != "a look" || got.At.IsZero() {
		t.Errorf("got %+v (%v)", got, err)
	}
	o.commit(t, 0, nil) // a commit that says nothing about it leaves it
	if st := findStatus(t, s, "p"); st.Pause == nil || *st.Pause != *got {
		t.Errorf("the status has %+v, want %+v", st.Pause, got)
	}
	if st := findStatus(t, s, "q"); st.Pause != nil {
		t.Errorf("another plugin is paused by %+v", st.Pause)
	}
	o.commit(t, 0, func(c *store.Commit) { c.Pause = &store.Pause{} })
	if p, err := s.Paused(t.Context(), "p"); err != nil || p != nil || findStatus(t, s, "p").Pause != nil {
		t.Errorf("after its end: %+v (%v)", p, err)
	}
}
