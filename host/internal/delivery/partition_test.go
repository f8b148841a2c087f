package delivery

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// calmScenario is one in which every event is handled once by one module, on hosts that live and die, in 2 to 4 partitions.
func calmScenario(t testing.TB, seed uint64) *scenario {
	sc := newScenario(t, seed)
	sc.calm, sc.nosy = true, 0
	sc.script.fails, sc.script.refused, sc.script.strays = 0, 0, 0
	sc.script.shared = max(sc.script.shared, 0.1)
	sc.split(2+int(seed%3), pick(dice(seed, "order"), ByStream, ByMetadata("tenant")))
	return sc
}

// asOne is what one instance makes of the log, one event at a time in position order.
func (sc *scenario) asOne() map[string]string {
	m := newModel(sc.t, sc.log, sc.filter)
	w := &way{script: &sc.script, Options: Options{Plugin: "p", Order: ByStream}}
	for _, e := range sc.log.between(0, sc.log.head(), sc.filter) {
		if f := m.handle(&e, 1, w, newChanges()); f != nil {
			sc.t.Fatalf("event %d fails: %v", e.Position, f)
		}
	}
	docs := make(map[string]string)
	for id, value := range m.docs {
		docs[id] = string(value)
	}
	return docs
}

// TestPartitionsAreAsOne runs partitions apart from each other, on a store where anything may fail, and compares what they have
// made with what one instance makes.
func TestPartitionsAreAsOne(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprintf("seed=%d", seed+1), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sc := calmScenario(t, seed+1)
				sc.run()
				sc.script.version = 0
				if got, want := sc.documents(), sc.asOne(); !maps.Equal(got, want) {
					t.Errorf("%d partitions have made\n  %v\none makes\n  %v", len(sc.stores), got, want)
				}
			})
		})
	}
}

// TestPartitionsNeedTheirRule is TestPartitionsAreAsOne with handlers that share documents whatever the ordering key and
// runners that let them: what is made differs, or the test above could not fail.
func TestPartitionsNeedTheirRule(t *testing.T) {
	different := 0
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			sc := calmScenario(t, seed+1)
			sc.lawless, sc.script.order = true, nil
			sc.write(200)
			sc.run()
			sc.script.version = 0
			if !maps.Equal(sc.documents(), sc.asOne()) {
				different++
			}
		})
	}
	if different == 0 {
		t.Error("partitions that write the same documents are never found out")
	}
}

// partitioned starts a runner of the first of four partitions, which has "account-7" and not "account-8".
func (w *world) partitioned(m Module, o Options) *Runner {
	w.store.root, w.store.generation = 1, 1
	o.Partitions = 4
	r, _ := w.start(m, o)
	return r
}

func TestReachingTooFar(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(ctx context.Context, fx Effects) error
		says string
	}{
		"get": {func(ctx context.Context, fx Effects) error {
			_, _, err := fx.Get(ctx, []byte("sums"), []byte("total"))
			return err
		}, `document "total" of collection "sums"`},
		"set": {func(_ context.Context, fx Effects) error {
			return fx.Set([]byte("sums"), []byte("account-70"), []byte("1"))
		}, `document "account-70" of collection "sums"`},
		"delete": {func(_ context.Context, fx Effects) error { return fx.Delete([]byte("sums"), []byte("account-8")) }, `document "account-8" of collection "sums"`},
		"scan": {func(ctx context.Context, fx Effects) error {
			_, err := fx.Scan(ctx, []byte("sums"), []byte("account-7"), nil, 10)
			return err
		}, `keys that begin with "account-7" in collection "sums"`},
	} {
		for guest, make := range map[string]func(error) error{
			"passes it on":    func(err error) error { return err },
			"swallows it":     func(error) error { return nil },
			"asks for more":   func(error) error { return failing(event.FailRetry) },
			"crashes on it":   func(error) error { return failing(event.FailTrap) },
			"blames the host": func(error) error { return errFake },
		} {
			t.Run(name+"/"+guest, func(t *testing.T) {
				inWorld(t, func(t *testing.T, w *world) {
					w.append("account-7", "account-7", "account-7/b")
					calls := 0
					r := w.partitioned(handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
						if err := notes(ctx, e, fx); err != nil || e.Position != 2 {
							return err
						}
						calls++
						if err := fx.Emit(event.Emitted{Stream: "x", Type: "T"}); err != nil {
							return err
						}
						return make(c.do(ctx, fx))
					}), Options{Attempts: 3})
					w.reaches(3)
					rest(time.Minute)
					q, _ := w.sequence("account-7")
					if q.Kind != event.FailPartition || q.State != store.Parked || q.Position != 2 || q.Attempts != 1 || calls != 1 {
						t.Errorf("after %d calls the sequence is %+v", calls, q)
					}
					wantIn(t, "the error", q.Error, c.says, `"account-7"`)
					if got := w.document("notes", "account-7"); got != " 1" || len(w.store.docs) != 2 || w.log.head() != 3 {
						t.Errorf("the notes are %q, the documents %v, the log ends at %d", got, w.store.docs, w.log.head())
					}
					if st := r.Status(); st.State != Running || st.Parked != 1 {
						t.Errorf("the status is %+v", st)
					}
				})
			})
		}
	}
}

// TestReachingTooFarLater has a retried event and the one behind it reach too far.
func TestReachingTooFarLater(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("account-7", "account-7", "account-7")
		w.partitioned(handler(func(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
			switch {
			case e.Position == 1 && attempt == 1:
				return failing(event.FailRetry)
			case e.Position == 2:
				return fx.Set([]byte("sums"), []byte("total"), []byte("1"))
			}
			return notes(ctx, e, fx)
		}), Options{})
		w.reaches(3)
		rest(time.Minute)
		q, _ := w.sequence("account-7")
		if q.Kind != event.FailPartition || q.State != store.Parked || q.Position != 2 || q.Waiting != 2 || w.document("notes", "account-7") != " 1" {
			t.Errorf("the sequence is %+v, the documents %v", q, w.store.docs)
		}
	})
}

// TestWithinReach lets a handler do what it may, and everything where there is but one partition.
func TestWithinReach(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("account-7/2026", "account-7/2027")
		w.partitioned(handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			docs, err := fx.Scan(ctx, []byte("c"), []byte("account-7/"), nil, 10)
			if err != nil {
				return err
			}
			for _, key := range []string{"account-7", e.Stream, fmt.Sprint("account-7/", len(docs))} {
				if err := fx.Set([]byte("c"), []byte(key), []byte("1")); err != nil {
					return err
				}
			}
			return fx.Delete([]byte("c"), []byte("account-7/none"))
		}), Options{})
		w.reaches(2)
		if len(w.store.sequences) > 0 || len(w.store.docs) != 5 {
			t.Errorf("the sequences are %v, the documents %v", w.store.sequences, w.store.docs)
		}
	})
	inWorld(t, func(t *testing.T, w *world) {
		w.append("account-7")
		w.start(handler(func(_ context.Context, e *event.Event, _ int, fx Effects) error {
			return fx.Set([]byte("c"), []byte("total"), []byte("1"))
		}), Options{Partitions: 1})
		w.reaches(1)
		if len(w.store.sequences) > 0 || w.document("c", "total") == "" {
			t.Errorf("the sequences are %v, the documents %v", w.store.sequences, w.store.docs)
		}
	})
}

// TestDocumentsOfAllPartitions has two partitions keep their documents and their checkpoints apart in one read model.
func TestDocumentsOfAllPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newFakeLog()
		for i, stores := 0, newFakePartitions(t, log, 2); i < 2; i++ {
			w := &world{t: t, log: log, store: stores[i]}
			o := Options{Plugin: "p", Generation: stores[i].generation, Root: 1, Partition: i, Partitions: 2, HostID: "me"}
			feed := &fakeFeed{log: log, filter: event.Filter{Partition: event.Partition{Index: i, Of: 2, Key: ByStream}}}
			r := NewRunner(w.store, feed, handler(noting), o)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- r.Run(ctx) }()
			w.append("account-7", "account-8")
			w.reaches(event.Position(2 * (i + 1)))
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if i == 1 && (w.document("notes", "account-7") != " 1" || w.document("notes", "account-8") != " 2 4") {
				t.Errorf("the documents are %v", w.store.docs)
			}
		}
	})
}

// TestPausedElsewhere has somebody pause and resume the plugin through partition 0: another partition's runner follows.
func TestPausedElsewhere(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		set := func(p *store.Pause) { w.store.mu.Lock(); w.store.paused = p; w.store.mu.Unlock() }
		set(&store.Pause{Who: "ada", Why: "lunch"})
		r := w.partitioned(handler(noting), Options{Partition: 2})
		w.append("account-7")
		rest(time.Minute)
		if st := r.Status(); st.State != Paused || w.position() != 0 {
			t.Errorf("paused before it began, it is at %d with status %+v", w.position(), st)
		}
		set(nil)
		r.SetPaused("") // nobody had told it of the pause
		rest(time.Second)
		if st := r.Status(); st.State != Running || w.position() != 1 {
			t.Errorf("resumed, it is at %d with status %+v", w.position(), st)
		}
		set(&store.Pause{Who: "ada"})
		r.SetPaused("ada")
		rest(time.Second)
		w.append("account-7")
		rest(time.Minute)
		if st := r.Status(); st.State != Paused || w.position() != 1 || w.condition().State != store.Paused {
			t.Errorf("paused, it is at %d with status %+v", w.position(), st)
		}
		wantIn(t, "the reason", r.Status().Reason, "ada")
		r.SetPaused("") // whoever says so read it before
		rest(time.Second)
		if st := r.Status(); st.State != Paused {
			t.Errorf("told what is not so any more, its status is %+v", st)
		}
		looks := w.store.calls["Paused"]
		for range 10 {
			r.SetPaused("ada")
			rest(time.Second)
		}
		if n := w.store.calls["Paused"] - looks; n != 0 {
			t.Errorf("it looked %d times for what it knows", n)
		}
		set(nil)
		r.SetPaused("")
		w.reaches(2)
	})
}

// TestLanesOfAPartition spreads a partition's keys over the lanes as those of a plugin that is not split.
func TestLanesOfAPartition(t *testing.T) {
	for _, n := range []int{1, 2, 4, 8, 64} {
		ls := newLanes(&Options{Lanes: 4, Partitions: n}, nil, nil)
		var tasks []task
		for i := 0; len(tasks) < 4000; i++ {
			if key := fmt.Sprint("account-", i); event.PartitionOf(key, n) == n-1 {
				tasks = append(tasks, task{e: &event.Event{}, key: key})
			}
		}
		ls.deal(tasks, 4)
		for i, l := range ls.all {
			if len(l.tasks) < 800 || len(l.tasks) > 1200 {
				t.Errorf("of %d partitions: lane %d has %d of 4000 events", n, i, len(l.tasks))
			}
		}
	}
}

// TestOrderOfPartitionsStays leaves what waits in a partition under the key that it was split by.
func TestOrderOfPartitionsStays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.store.queues["old"] = []event.Position{1}
		w.store.sequences["old"] = store.Sequence{Key: "old", State: store.Parked, Position: 1, Digest: handler(nil).Digest()}
		w.append("new")
		w.partitioned(handler(noting), Options{})
		w.reaches(1)
		rest(time.Minute)
		if _, ok := w.sequence("old"); !ok || len(w.store.sequences) != 1 {
			t.Errorf("the sequences are %v", w.store.sequences)
		}
	})
}
