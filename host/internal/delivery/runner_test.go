package delivery

import (
	"context"
	"errors"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

func TestStopFinishesWhatIsInFlight(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.store.fault = func(call string) fault { return fault{before: time.Second} } // a slow store
		w.append("a", "b", "c")
		began := make(chan bool, 3)
		r, stop := w.start(handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			began <- true
			time.Sleep(time.Second)
			return notes(ctx, e, fx)
		}), Options{Grace: time.Minute, Lanes: 1})
		<-began
		stop()
		if w.store.position == 0 {
			t.Error("what was in flight is lost")
		}
		if w.store.owner != "" {
			t.Errorf("the lease is still held by %q", w.store.owner)
		}
		if st := r.Status(); st.State != Stopped || st.Position != w.store.position {
			t.Errorf("the status is %+v, the checkpoint at %d", st, w.store.position)
		}
	})
}

func TestStopThatExceedsItsGrace(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "a")
		ignoring := handler(func(_ context.Context, e *event.Event, _ int, fx Effects) error {
			time.Sleep(5 * time.Second) // whatever the context says
			return fx.Set([]byte("c"), []byte("k"), []byte("1"))
		})
		_, stop := w.start(ignoring, Options{Grace: time.Second})
		rest(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if len(w.commits()) > 0 {
			t.Errorf("a batch that was not done was committed: %+v", w.commits())
		}
		w.start(handler(noting), Options{})
		w.reaches(2)
		if got := w.document("notes", "a"); got != " 1 2" {
			t.Errorf("after the restart the notes are %q", got)
		}
	})
}

func TestStopWhileTheStoreHangs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.store.fault = func(call string) fault {
			if call == "Commit" {
				return fault{before: time.Hour}
			}
			return fault{}
		}
		w.append("a")
		r, stop := w.start(handler(noting), Options{Grace: 10 * time.Second})
		rest(time.Minute)
		wantIn(t, "the reason", r.Status().Reason, "commit of positions 1 to 1", "1m0s")
		began := time.Now()
		stop()
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

func TestLeaseHeldByAnother(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a")
		_, stopOther := w.start(handler(noting), Options{HostID: "other"})
		w.reaches(1)
		r := NewRunner(w.store, &fakeFeed{log: w.log}, handler(noting), Options{Plugin: "p", Generation: 1, HostID: "me"})
		var held *store.LeaseHeldError
		if err := r.Run(t.Context()); !errors.As(err, &held) || held.Owner.ID != "other" {
			t.Errorf("it ended with %v", err)
		}
		st := r.Status()
		if st.State != Waiting {
			t.Errorf("the status is %+v", st)
		}
		wantIn(t, "the reason", st.Reason, `host "other"`)
		asks := w.store.calls["Acquire"]
		rest(time.Minute)
		if more := w.store.calls["Acquire"] - asks; more != 0 {
			t.Errorf("it asked %d times more for the lease", more)
		}
		stopOther()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		w.append("a")
		w.reaches(2)
		if st := r.Status(); st.State != Running || st.Reason != "" {
			t.Errorf("after the other stopped the status is %+v", st)
		}
		cancel()
		if err := <-ended; err != nil || r.Status().State != Stopped || w.store.owner != "" {
			t.Errorf("told to stop, it ended with %v, status %+v, owner %q", err, r.Status(), w.store.owner)
		}
	})
}

func TestLeaseLost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a")
		r := NewRunner(w.store, &fakeFeed{log: w.log}, handler(noting), Options{Plugin: "p", Generation: 1, HostID: "me"})
		ended := make(chan error, 1)
		go func() { ended <- r.Run(t.Context()) }()
		w.reaches(1)
		rival, err := w.store.Acquire(t.Context(), 1, "me") // as another host would, after it has expired
		if err != nil {
			t.Fatal(err)
		}
		w.store.owner = "rival"
		w.append("a", "b")
		if err := <-ended; !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("it ended with %v", err)
		}
		st := r.Status()
		if w.store.position != 1 || st.State != Waiting {
			t.Errorf("without the lease it is at %d with status %+v", w.store.position, st)
		}
		wantIn(t, "the reason", st.Reason, "lease lost")
		if err := w.store.Release(t.Context(), 1, rival.Epoch); err != nil {
			t.Fatal(err)
		}
		w.start(handler(noting), Options{})
		w.reaches(3)
		if got := w.document("notes", "a"); got != " 1 2" {
			t.Errorf("the notes are %q", got)
		}
	})
}

func TestTroubleBacksOffAndRecovers(t *testing.T) {
	for _, call := range []string{"Acquire", "Sequences", "Collections", "SetCondition", "Commit"} {
		t.Run(call, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				mend := w.failCalls(call)
				w.append("a", "a")
				r, _ := w.start(handler(noting), Options{})
				rest(time.Minute)
				st := r.Status()
				if st.State != BackingOff {
					t.Errorf("the status is %+v", st)
				}
				wantIn(t, "the reason", st.Reason, errFake.Error())
				tries := w.store.calls[call]
				if call == "SetCondition" {
					tries /= 2 // to run, and to say why not
				}
				if tries < 12 || tries > 30 {
					t.Errorf("%d tries in a minute of failures", tries)
				}
				if c := w.store.condition; call == "Commit" && (c.State != store.BackingOff || c.Reason != st.Reason || w.store.owner != "me") {
					t.Errorf("the store says %+v, owned by %q", c, w.store.owner)
				}
				mend()
				rest(6 * time.Second)
				if st := r.Status(); w.store.position != 2 || st.State != Running || st.Reason != "" {
					t.Errorf("mended, it is at %d with status %+v", w.store.position, st)
				}
			})
		})
	}
}

func TestStopWhileBackingOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.failCalls("Commit")
		w.append("a")
		_, stop := w.start(handler(noting), Options{})
		rest(time.Minute)
		stop()
		if w.store.owner != "" {
			t.Errorf("the lease is still held by %q", w.store.owner)
		}
	})
}

func TestFeedTroubleBacksOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		feed := &fakeFeed{log: w.log, fault: func(string) fault { return fault{kind: failsBefore} }}
		r := NewRunner(w.store, feed, handler(noting), Options{Plugin: "p", HostID: "me"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			time.Sleep(30 * time.Second)
			st := r.Status()
			if st.State != BackingOff {
				t.Errorf("the status is %+v", st)
			}
			wantIn(t, "the reason", st.Reason, "fetch a batch", errFake.Error())
		}()
		if err := r.Run(ctx); err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
}

// TestTroubleDuringACommit has a feed that fails while a slow commit is in flight: its outcome counts,
// and nothing new begins before it is known.
func TestTroubleDuringACommit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "b")
		w.store.fault = func(call string) fault {
			if call == "Commit" {
				return fault{before: 10 * time.Second}
			}
			return fault{}
		}
		calls := 0
		feed := &fakeFeed{log: w.log, fault: func(string) fault {
			if calls++; calls == 2 {
				return fault{before: time.Second, kind: failsBefore}
			}
			return fault{}
		}}
		r := NewRunner(w.store, feed, handler(noting), Options{Plugin: "p", HostID: "me"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Errorf("it ended with %v", err)
		}
		if n := len(w.commits()); w.store.position != 2 || n != 1 || calls < 3 {
			t.Errorf("at %d after %d commits and %d reads of the feed", w.store.position, n, calls)
		}
	})
}

// TestASlowCommitSaysWhy looks at a runner whose commit takes longer than one should.
func TestASlowCommitSaysWhy(t *testing.T) {
	for why, want := range map[string]string{"": "the database is slow", "another place is slow": "another place is slow"} {
		inWorld(t, func(t *testing.T, w *world) {
			w.append("a")
			w.store.fault = func(call string) fault {
				if call == "Commit" {
					return fault{before: 4 * slowCommit}
				}
				return fault{}
			}
			r, _ := w.start(handler(noting), Options{WhySlow: why})
			rest(slowCommit / 2)
			if st := r.Status(); st.Reason != "" {
				t.Errorf("early, the status is %+v", st)
			}
			rest(slowCommit)
			if st := r.Status(); st.State != Running {
				t.Errorf("the status is %+v", st)
			}
			wantIn(t, "the reason", r.Status().Reason, "positions 1 to 1", want)
			rest(4 * slowCommit)
			if st := r.Status(); st.Reason != "" || st.Position != 1 {
				t.Errorf("in the end the status is %+v", st)
			}
		})
	}
}

// stillborn is a module that does not start for a while.
type stillborn struct {
	handler
	until time.Time
}

func (m stillborn) NewInstance(context.Context) (Instance, error) {
	if time.Now().Before(m.until) {
		return nil, errNoStart
	}
	return m.handler, nil
}

func TestModuleThatDoesNotStart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a")
		r, _ := w.start(stillborn{noting, time.Now().Add(time.Minute)}, Options{})
		rest(30 * time.Second)
		st := r.Status()
		if st.State != Quarantined || w.store.condition.State != store.Quarantined {
			t.Errorf("the status is %+v, the condition %+v", st, w.store.condition)
		}
		for _, reason := range []string{st.Reason, w.store.condition.Reason} {
			wantIn(t, "the reason", reason, errNoStart.Error(), "cannot start", "replace the module")
		}
		if len(w.store.sequences) > 0 {
			t.Errorf("events are blamed: %+v", w.store.sequences)
		}
		w.reaches(1)
		if st := r.Status(); st.State != Running || st.Reason != "" || w.store.condition.State != store.Running {
			t.Errorf("once it starts the status is %+v, the condition %+v", st, w.store.condition)
		}
	})
}

// TestHostTroubleIsNoFailure has a database that fails a handler's reads, and a sandbox that blames
// the guest for it.
func TestHostTroubleIsNoFailure(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a")
		_, stop := w.start(handler(noting), Options{})
		w.reaches(1)
		stop() // now there are documents that only the database knows

		for _, call := range []string{"Documents", "Scan"} {
			mend := w.failCalls(call)
			w.append("a")
			r, stop := w.start(handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
				if call == "Scan" {
					if _, err := fx.Scan(ctx, []byte("notes"), nil, nil, 10); err != nil {
						return failing(event.FailTrap)
					}
				}
				if err := notes(ctx, e, fx); err != nil {
					return failing(event.FailTrap)
				}
				return nil
			}), Options{Attempts: 1})
			rest(10 * time.Second)
			if st := r.Status(); len(w.store.sequences) > 0 || st.Failed > 0 || st.State != BackingOff {
				t.Errorf("%s: the status is %+v, the sequences %v", call, st, w.store.sequences)
			}
			mend()
			w.reaches(w.log.head())
			stop()
		}
		if got := w.document("notes", "a"); got != " 1 2 3" {
			t.Errorf("the notes are %q", got)
		}
	})
}

// TestFeedOutOfOrder has a feed that breaks its contract: nothing of what it gives is handled.
func TestFeedOutOfOrder(t *testing.T) {
	for name, b := range map[string]event.Batch{
		"twice":    {UpTo: 5, Events: []event.Event{{Position: 2}, {Position: 2}}},
		"backward": {UpTo: 5, Events: []event.Event{{Position: 4}, {Position: 2}}},
		"beyond":   {UpTo: 5, Events: []event.Event{{Position: 4}, {Position: 6}}},
		"behind":   {UpTo: -1},
		"again":    {UpTo: 5, Events: []event.Event{{Position: 0}, {Position: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				r := NewRunner(w.store, brokenFeed(b), handler(noting), Options{Plugin: "p", HostID: "me"})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				time.AfterFunc(30*time.Second, func() {
					if st := r.Status(); st.State != BackingOff || st.Handled > 0 {
						t.Errorf("the status is %+v", st)
					}
				})
				if err := r.Run(ctx); err != nil {
					t.Errorf("it ended with %v", err)
				}
				if len(w.commits()) > 0 {
					t.Errorf("committed %+v", w.commits())
				}
			})
		})
	}
}

type brokenFeed event.Batch

func (f brokenFeed) Next(context.Context, event.Position, int, int) (event.Batch, error) {
	return event.Batch(f), nil
}
