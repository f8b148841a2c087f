package redismodel_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"eshost/host/internal/delivery"
	"eshost/host/internal/redismodel"
	"eshost/host/store"
)

// TestTwoDatabasesOnOneRedis has two databases of the same plugin share a Redis and a prefix: who comes second gets
// neither the documents nor the keys of the other one, is told what to do, and goes on once that is done.
func TestTwoDatabasesOnOneRedis(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t), newWorld(t)
	b.redis = a.redis
	for i := range 10 {
		a.append("s", "+c/first"+strconv.Itoa(i%3))
		b.append("s", "+c/second"+strconv.Itoa(i%4))
	}
	o := a.options()
	o.Look = 10 * time.Millisecond
	owner, _ := a.run(a.model(o), "h1", handler{})
	compare(t, a.documents(a.head()), a.want())
	before := a.dump()

	m := b.model(b.options())
	_, err := m.Acquire(t.Context(), b.gen.ID, "h1")
	wantError(t, err, redismodel.ErrForeign)
	for _, want := range []string{o.Database, b.options().Database, "redis.prefix", "redis-cli DEL 'eshost:{p}:meta'"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
	r := b.reader()
	for what, err := range map[string]error{
		"documents":   second(r.Documents(t.Context(), 0, []store.DocumentKey{{Collection: "c", Key: "first0"}})),
		"scan":        second(r.Scan(t.Context(), 0, store.ScanOptions{Collection: "c", Limit: 1})),
		"collections": second(r.Collections(t.Context(), 0)),
		"sequences":   second(r.Sequences(t.Context(), 0)),
		"queued":      second(r.Queued(t.Context(), 0, "s", 1)),
		"spans":       second(r.Spans(t.Context(), 0)),
		"look":        second(r.Look(t.Context())),
	} {
		t.Run(what, func(t *testing.T) { wantError(t, err, redismodel.ErrForeign) })
	}
	mine := a.reader()
	all, errs := redismodel.ListFailures(t.Context(), []*redismodel.Reader{&mine, &r})
	wantError(t, errs[1], redismodel.ErrForeign)
	if errs[0] != nil || all[1] != nil {
		t.Errorf("listed %v (%v)", all, errs)
	}
	if a.dump() != before {
		t.Error("the second database changed what is the first one's")
	}

	// The first database is gone, as far as somebody knows: what it left is replaced. In truth it is there, and notices.
	waits, stop := b.run(b.model(b.options()), "h1", handler{})
	eventually(t, "the second one says why it waits", func() bool {
		st := waits.Status()
		return st.State == delivery.BackingOff && strings.Contains(st.Reason, "another database's")
	})
	check(t, a.redis.db.Del(t.Context(), "eshost:{p}:meta").Err())
	eventually(t, "one of them has the keys", func() bool {
		return a.redis.db.Exists(t.Context(), "eshost:{p}:meta").Val() == 1
	})
	winner, loser := b, owner
	if a.redis.db.HGet(t.Context(), "eshost:{p}:meta", "database").Val() == o.Database {
		winner, loser = a, waits
	}
	compare(t, winner.documents(winner.head()), winner.want())
	eventually(t, "the other one says why it waits", func() bool {
		st := loser.Status()
		return st.State == delivery.BackingOff && strings.Contains(st.Reason, "another database's")
	})
	stop()
}

// TestACommitIntoAnotherDatabases lets a session of one database commit after another one has begun its read model there.
func TestACommitIntoAnotherDatabases(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t), newWorld(t)
	b.redis = a.redis
	a.fill(3)
	b.fill(3)
	m := a.model(a.options())
	l := a.acquire(m, "h1")
	check(t, m.Commit(t.Context(), a.commit(l, set("c", "k", "1"))))
	l.Position++
	check(t, a.redis.db.Del(t.Context(), "eshost:{p}:meta").Err())
	next := b.model(b.options())
	lease := b.acquire(next, "h1")
	check(t, next.Commit(t.Context(), b.commit(lease, set("c", "k", "2"))))
	before := a.dump()
	wantError(t, m.Commit(t.Context(), a.commit(l, set("c", "k", "3"))), redismodel.ErrForeign)
	if a.dump() != before {
		t.Error("the commit changed something")
	}
}

// TestAnswersOfAnotherDatabases leaves an answer to another database's request beside a read model that is lost.
func TestAnswersOfAnotherDatabases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(1)
	id, err := w.store.Ask(t.Context(), store.Request{Plugin: "p", Action: store.AskPause, Who: "me", Why: "test"})
	check(t, err)
	answer := `{"state":"done","text":"it was done","database":"another"}`
	check(t, w.redis.db.HSet(t.Context(), "eshost:{p}:answers", strconv.FormatInt(id, 10), answer).Err())
	w.acquire(w.model(w.options()), "h1")
	if r, err := w.store.Request(t.Context(), id); err != nil || r.State != store.Pending {
		t.Errorf("the request is %s: %s (%v)", r.State, r.Answer, err)
	}
}
