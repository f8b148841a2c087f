package redismodel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/host/event"
	"eshost/host/internal/redismodel"
	"eshost/host/store"
)

// fill appends events that do nothing, so that there is a log to be at a position of.
func (w *world) fill(n int) {
	for range n {
		w.append("s", "")
	}
}

// acquire opens a session.
func (w *world) acquire(m *redismodel.Model, host string) store.Lease {
	w.t.Helper()
	l, err := m.Acquire(w.t.Context(), w.gen.ID, host)
	check(w.t, err)
	return l
}

// commit is one that moves the checkpoint by 1 and writes documents.
func (w *world) commit(l store.Lease, writes ...event.DocumentWrite) store.Commit {
	return store.Commit{Generation: w.gen.ID, Epoch: l.Epoch, Expected: l.Position, Position: l.Position + 1, Digest: "d", Documents: writes}
}

func set(collection, key, data string) event.DocumentWrite {
	return event.DocumentWrite{Collection: collection, Key: key, Data: []byte(data)}
}

// dump is all that Redis has, but for what tells one commit from the next.
func (w *world) dump() string {
	w.t.Helper()
	var b strings.Builder
	keys, err := w.redis.db.Keys(w.t.Context(), "*").Result()
	check(w.t, err)
	for _, k := range keys {
		s, err := w.redis.db.Dump(w.t.Context(), k).Result()
		check(w.t, err)
		fmt.Fprintf(&b, "%s %x\n", k, s)
	}
	return b.String()
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func second[T any](_ T, err error) error { return err }

// TestReadersCanTell shows what a reader sees at each moment of a read model's life.
func TestReadersCanTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.reader()
	look := func(want redismodel.ReadState) {
		t.Helper()
		if p, err := r.Look(t.Context()); err != nil || p.State != want {
			t.Errorf("it is %+v (%v), want it %s", p, err, want)
		}
	}
	look(redismodel.Missing)
	_, err := r.Documents(t.Context(), 0, []store.DocumentKey{{Collection: "c", Key: "k"}})
	wantError(t, err, redismodel.ErrGone)
	m := w.model(w.options())
	w.acquire(m, "h1")
	look(redismodel.Ready) // an empty log
	w.redis.flush()
	look(redismodel.Missing)
	w.fill(2)
	l := w.acquire(m, "h1")
	look(redismodel.Rebuilding)
	for _, err := range []error{
		second(r.Documents(t.Context(), 0, []store.DocumentKey{{Collection: "c", Key: "k"}})),
		second(r.Scan(t.Context(), 0, store.ScanOptions{Collection: "c", Limit: 1})),
		second(r.Collections(t.Context(), 0)),
	} {
		wantError(t, err, redismodel.ErrRebuilding)
		wantError(t, err, store.ErrNotBuilt)
	}
	check(t, m.Commit(t.Context(), w.commit(l, set("c", "k", "1"))))
	look(redismodel.Rebuilding)
	l.Position++
	check(t, m.Commit(t.Context(), w.commit(l)))
	look(redismodel.Ready)
	check(t, w.redis.db.Del(t.Context(), "eshost:{p}:documents:c").Err())
	look(redismodel.Broken)
	_, err = r.Documents(t.Context(), 0, []store.DocumentKey{{Collection: "c", Key: "k"}})
	wantError(t, err, redismodel.ErrDamaged)
	_, err = r.Scan(t.Context(), 0, store.ScanOptions{Collection: "c", Limit: 1})
	wantError(t, err, redismodel.ErrDamaged)
}

// TestRefusedCommitsChangeNothing holds a commit to its guards.
func TestRefusedCommitsChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(5)
	old, now := w.model(w.options()), w.model(w.options())
	stale := w.acquire(old, "h1")
	first := w.commit(stale, set("c", "k", "1"))
	first.Queue, first.Sequences = []store.QueuedEvent{{Key: "s", Position: 1}}, []store.Sequence{{Key: "s", State: store.Parked, Position: 1}}
	check(t, old.Commit(t.Context(), first))
	stale.Position++
	check(t, w.store.RemoveHost(t.Context(), "h1"))
	w.register("h1")
	l := w.acquire(now, "h2")
	if l.Position != stale.Position {
		t.Fatalf("the next owner begins at %d, want %d", l.Position, stale.Position)
	}
	before := w.dump()
	wantError(t, old.Commit(t.Context(), w.commit(stale, set("c", "k", "2"))), store.ErrLeaseLost)
	_, err := old.Documents(t.Context(), 0, []store.DocumentKey{{Collection: "c", Key: "k"}})
	if err == nil {
		t.Error("an owner that was replaced still reads")
	}
	moved := w.commit(l, set("c", "k", "3"))
	moved.Expected--
	wantError(t, now.Commit(t.Context(), moved), store.ErrCheckpointMoved)
	emits := w.commit(l)
	emits.Emitted = []event.Emitted{{ID: "x"}}
	if now.Commit(t.Context(), emits) == nil {
		t.Error("events are emitted that nobody appends")
	}
	if w.dump() != before {
		t.Error("a refused commit has changed something")
	}
	for _, lost := range []string{"documents:c", "index:c", "collections", "sequences", "waiting"} {
		key := "eshost:{p}:" + lost
		kept := w.redis.db.Dump(t.Context(), key).Val()
		check(t, w.redis.db.Del(t.Context(), key).Err())
		wantError(t, now.Commit(t.Context(), w.commit(l, set("c", "k", "4"))), redismodel.ErrDamaged)
		check(t, w.redis.db.Restore(t.Context(), key, 0, kept).Err())
	}
	w.redis.flush()
	wantError(t, now.Commit(t.Context(), w.commit(l, set("c", "k", "4"))), redismodel.ErrGone)
	if keys := w.redis.db.Keys(t.Context(), "*").Val(); len(keys) > 0 {
		t.Errorf("a commit after a flush leaves %v", keys)
	}
}

// TestOneCommitIsAppliedOnce sends the very same commands a second time, as a network does that delivers late.
func TestOneCommitIsAppliedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(3)
	spy := &spy{}
	o := w.options()
	client := w.redis.client(o.Timeout)
	client.AddHook(spy)
	m := redismodel.New(w.store, w.store, client, o)
	l := w.acquire(m, "h1")
	c := w.commit(l)
	c.Position = c.Expected // as a retry that fails again, which moves nothing
	c.Sequences = []store.Sequence{{Key: "s", State: store.Retrying, Position: 1}}
	c.Queue = []store.QueuedEvent{{Key: "s", Position: 1}}
	check(t, m.Commit(t.Context(), c))
	late := spy.last
	c.Sequences[0].Attempts, c.Queue = 7, nil
	check(t, m.Commit(t.Context(), c))
	before := w.dump()
	answer, err := w.redis.db.Do(t.Context(), late...).Slice()
	if err != nil || answer[0] == "ok" || w.dump() != before {
		t.Errorf("a commit that came twice was answered %v (%v)", answer, err)
	}
	q, err := m.Sequences(t.Context(), 0)
	if err != nil || len(q) != 1 || q[0].Attempts != 7 || q[0].Waiting != 1 {
		t.Errorf("sequences are %+v (%v)", q, err)
	}
}

// spy remembers the last script that a client ran.
type spy struct{ last []any }

func (s *spy) DialHook(next redis.DialHook) redis.DialHook { return next }
func (s *spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (s *spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			s.last = cmd.Args()
		}
		return next(ctx, cmd)
	}
}

// TestHalfACommitIsNoticed takes a right away from the account that a commit needs after its first changes.
func TestHalfACommitIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.append("s", "+c/k +c/other")
	w.run(w.model(w.options()), "h1", handler{})
	w.documents(w.head())
	check(t, w.redis.db.Do(t.Context(), "ACL", "SETUSER", "default", "-hdel").Err())
	w.append("s", "+c/k -c/other")
	r := w.reader()
	eventually(t, "readers are told", func() bool {
		p, err := r.Look(t.Context())
		return err == nil && p.State != redismodel.Ready
	})
	check(t, w.redis.db.Do(t.Context(), "ACL", "SETUSER", "default", "+@all").Err())
	compare(t, w.documents(w.head()), w.want())
}

// TestServersThatDropKeysAreRefused looks at what a server does when its memory is full.
func TestServersThatDropKeysAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.model(w.options())
	for policy, refused := range map[string]bool{"allkeys-lru": true, "allkeys-random": true, "volatile-lru": false, "noeviction": false} {
		check(t, w.redis.db.ConfigSet(t.Context(), "maxmemory", "100mb").Err())
		check(t, w.redis.db.ConfigSet(t.Context(), "maxmemory-policy", policy).Err())
		_, err := m.Acquire(t.Context(), w.gen.ID, "h1")
		if refused != (err != nil) || refused && !strings.Contains(err.Error(), "noeviction") {
			t.Errorf("%s: %v", policy, err)
		}
	}
	check(t, w.redis.db.ConfigSet(t.Context(), "maxmemory", "0").Err())
	check(t, w.redis.db.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	w.acquire(m, "h1")
	check(t, w.redis.db.Do(t.Context(), "ACL", "SETUSER", "default", "-info").Err())
	w.acquire(m, "h1")
}

// TestAFullRedisRefusesWhole fills the memory of a Redis that drops nothing.
func TestAFullRedisRefusesWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(3)
	m := w.model(w.options())
	l := w.acquire(m, "h1")
	check(t, m.Commit(t.Context(), w.commit(l, set("c", "k", "1"))))
	l.Position++
	before := w.dump()
	check(t, w.redis.db.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	if m.Commit(t.Context(), w.commit(l, set("c", "k2", `"`+strings.Repeat("x", 1<<20)+`"`))) == nil {
		t.Error("a full Redis has taken a document")
	}
	check(t, w.redis.db.ConfigSet(t.Context(), "maxmemory", "0").Err())
	if w.dump() != before {
		t.Error("a commit that a full Redis refused has changed something")
	}
	l = w.acquire(m, "h1")
	if l.Position != 1 {
		t.Errorf("it begins at %d, want 1: nothing was lost", l.Position)
	}
}

// TestLargeCommits writes many and large documents under keys of any bytes, and deletes half of them, each in one commit.
func TestLargeCommits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(3)
	m := w.model(w.options())
	l := w.acquire(m, "h1")
	c := w.commit(l)
	const n = 20_000
	for i := range n {
		c.Documents = append(c.Documents, set(fmt.Sprintf("c%d\xff \r\n", i%3), fmt.Sprintf("\xfe%05d \"é\r\n", i), fmt.Sprintf(`{"n":%d}`, i)))
	}
	big := `"` + strings.Repeat("\xc3\xa9", 2<<20) + `"`
	c.Documents = append(c.Documents, set("big", "k", big))
	began := time.Now()
	check(t, m.Commit(t.Context(), c))
	t.Logf("a commit of %d documents took %s", n, time.Since(began))
	docs, err := m.Documents(t.Context(), 0, []store.DocumentKey{{Collection: "big", Key: "k"}, {Collection: "c2\xff \r\n", Key: "\xfe00002 \"é\r\n"}, {Collection: "c2", Key: "none"}})
	check(t, err)
	if len(docs) != 2 || string(docs[0].Data) != big || string(docs[1].Data) != `{"n":2}` {
		t.Errorf("read %d documents", len(docs))
	}
	l.Position++
	d := w.commit(l)
	for i := 0; i < n; i += 2 {
		d.Documents = append(d.Documents, event.DocumentWrite{Collection: c.Documents[i].Collection, Key: c.Documents[i].Key})
	}
	check(t, m.Commit(t.Context(), d))
	left := 0
	for i := range 3 {
		docs, err := m.Scan(t.Context(), 0, store.ScanOptions{Collection: fmt.Sprintf("c%d\xff \r\n", i), Prefix: "\xfe", Limit: n})
		check(t, err)
		for j := 1; j < len(docs); j++ {
			if docs[j-1].Key >= docs[j].Key {
				t.Fatalf("key %q follows %q", docs[j].Key, docs[j-1].Key)
			}
		}
		left += len(docs)
	}
	if left != n/2 {
		t.Errorf("%d documents are left, want %d", left, n/2)
	}
	if p, err := m.Look(t.Context()); err != nil || p.State != redismodel.Rebuilding || p.Documents != n/2+1 {
		t.Errorf("it is %+v (%v)", p, err)
	}
}

// TestScan selects by prefix and place.
func TestScan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(1)
	m := w.model(w.options())
	l := w.acquire(m, "h1")
	c := w.commit(l)
	for _, k := range []string{"a", "aa", "ab", "ab\xff", "ab\xffz", "b", "\xff", "\xff\xff"} {
		c.Documents = append(c.Documents, set("c", k, "1"))
	}
	check(t, m.Commit(t.Context(), c))
	for _, want := range []struct {
		prefix, after string
		limit         int
		keys          []string
	}{
		{"", "", 2, []string{"a", "aa"}},
		{"", "aa", 2, []string{"ab", "ab\xff"}},
		{"ab", "", 9, []string{"ab", "ab\xff", "ab\xffz"}},
		{"ab", "ab", 9, []string{"ab\xff", "ab\xffz"}},
		{"ab", "a", 9, []string{"ab", "ab\xff", "ab\xffz"}},
		{"ab", "b", 9, nil},
		{"ab\xff", "", 1, []string{"ab\xff"}},
		{"\xff", "", 9, []string{"\xff", "\xff\xff"}},
		{"x", "", 9, nil},
		{"", "\xff\xff", 9, nil},
	} {
		docs, err := m.Scan(t.Context(), 0, store.ScanOptions{Collection: "c", Prefix: want.prefix, After: want.after, Limit: want.limit})
		check(t, err)
		var keys []string
		for _, d := range docs {
			keys = append(keys, d.Key)
		}
		if fmt.Sprintf("%q", keys) != fmt.Sprintf("%q", want.keys) {
			t.Errorf("prefix %q after %q: got %q, want %q", want.prefix, want.after, keys, want.keys)
		}
	}
}

// TestModulesAreOnRecord says which module made what. Invariant 8.
func TestModulesAreOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(9)
	m := w.model(w.options())
	l := w.acquire(m, "h1")
	for _, digest := range []string{"a", "a", "b", "", "b", "a"} {
		c := w.commit(l)
		c.Digest = digest
		check(t, m.Commit(t.Context(), c))
		l.Position++
	}
	spans, err := m.Spans(t.Context(), 0)
	check(t, err)
	got := ""
	for _, s := range spans {
		got += fmt.Sprintf("%s(%d,%d] ", s.Digest, s.From, s.To)
	}
	if got != "a(0,2] b(2,5] a(5,6] " {
		t.Errorf("the record is %s", got)
	}
}
