package storetest

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
)

var tailCases = []testCase{
	{"the first poll carries no events", tailFirst},
	{"an empty log", tailEmpty},
	{"spans follow one another", tailSpans},
	{"a span beyond the limit is not complete", tailLimit},
	{"holes do not hold the watermark", tailHoles},
	{"a refused append does not hold the watermark", tailRefused},
	{"a floor above the log", tailWentBack},
	{"appends of other handles are seen", tailOther},
	{"nothing is lost under concurrent appends", tailConcurrent},
	{"a canceled context", tailCanceled},
}

// follower follows a tail as a host would and keeps what it saw.
type follower struct {
	t      *testing.T
	s      store.Store
	tail   store.Tail
	mark   event.Position
	events []event.Event
	first  bool
}

func follow(t *testing.T, s store.Store, floor event.Position) *follower {
	tail := s.Tail(floor)
	t.Cleanup(tail.Close)
	return &follower{t: t, s: s, tail: tail, mark: floor, first: true}
}

// poll looks once and checks what every poll promises.
func (f *follower) poll(limit int) store.TailState {
	f.t.Helper()
	state, err := f.tail.Poll(f.t.Context(), limit)
	if err != nil {
		f.t.Fatalf("poll: %v", err)
	}
	if state.Watermark < f.mark {
		f.t.Fatalf("the watermark fell from %d to %d", f.mark, state.Watermark)
	}
	if state.Head < state.Watermark {
		f.t.Fatalf("the head %d is below the watermark %d", state.Head, state.Watermark)
	}
	if len(state.Events) > limit || !state.Complete && len(state.Events) > 0 || state.Complete && f.first {
		f.t.Fatalf("poll with limit %d: complete %v, %d events", limit, state.Complete, len(state.Events))
	}
	events := state.Events
	if !state.Complete && state.Watermark > f.mark {
		b := read(f.t, f.s, store.ReadOptions{After: f.mark, UpTo: state.Watermark, Limit: 1 << 20})
		events = b.Events
	}
	for _, e := range events {
		if e.Position <= f.mark || e.Position > state.Watermark {
			f.t.Fatalf("event %d is not in (%d, %d]", e.Position, f.mark, state.Watermark)
		}
	}
	f.events = append(f.events, events...)
	f.mark, f.first = state.Watermark, false
	return state
}

// until polls until the watermark reaches p.
func (f *follower) until(p event.Position) {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("the watermark reaches %d", p), func() bool {
		f.poll(1000)
		return f.mark >= p
	})
}

// wantIDs checks all events so far, which start after the floor.
func (f *follower) wantIDs(want ...string) {
	f.t.Helper()
	if got := ids(f.events); !reflect.DeepEqual(got, append([]string{}, want...)) {
		f.t.Errorf("the tail gave %v, want %v", got, want)
	}
}

func tailFirst(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 3)
	f := follow(t, s, p[0])
	if state := f.poll(100); state.Complete || len(state.Events) != 0 {
		t.Errorf("the first poll gave %+v", state)
	}
	f.until(p[2])
	f.wantIDs("e-1", "e-2")

	g := follow(t, s, p[2]) // nothing new
	if state := g.poll(100); state.Complete {
		t.Errorf("the first poll gave %+v", state)
	}
	g.until(p[2])
	g.wantIDs()
}

func tailEmpty(t *testing.T, db *database) {
	s := db.open(t)
	f := follow(t, s, 0)
	for range 3 {
		if state := f.poll(10); state.Watermark != 0 || state.Head != 0 || len(state.Events) != 0 {
			t.Errorf("got %+v", state)
		}
	}
	p := fill(t, s, "a", "e", 1)
	f.until(p[0])
	f.wantIDs("e-0")
}

func tailSpans(t *testing.T, db *database) {
	s := db.open(t)
	f := follow(t, s, 0)
	f.poll(10)
	var want []string
	for i := range 5 {
		p := fill(t, s, "a", fmt.Sprint("r", i), 3)
		f.until(p[2])
		want = append(want, ids(readAll(t, s)[len(want):])...)
		f.wantIDs(want...)
		if state := f.poll(10); len(state.Events) != 0 || !state.Complete {
			t.Errorf("with nothing new: %+v", state)
		}
	}
	all := readAll(t, s)
	if !reflect.DeepEqual(f.events, all) {
		t.Errorf("the tail's events are not the log's:\n%+v\n%+v", f.events, all)
	}
}

func tailLimit(t *testing.T, db *database) {
	s := db.open(t)
	f := follow(t, s, 0)
	f.poll(10)
	p := fill(t, s, "a", "x", 5)
	eventually(t, "the watermark passes five events", func() bool {
		before := f.mark
		state := f.poll(4)
		if state.Complete && state.Watermark == p[4] && before < p[0] {
			t.Fatalf("a span of five events is complete with limit 4: %+v", state)
		}
		return state.Watermark >= p[4]
	})
	f.until(fill(t, s, "a", "y", 4)[3])
	f.wantIDs("x-0", "x-1", "x-2", "x-3", "x-4", "y-0", "y-1", "y-2", "y-3")
}

func tailHoles(t *testing.T, db *database) {
	s := db.open(t)
	db.MakeHole(t)
	f := follow(t, s, 0)
	f.poll(10)
	f.until(fill(t, s, "a", "x", 1)[0])
	db.MakeHole(t)
	f.poll(10)
	db.MakeHole(t)
	f.until(fill(t, s, "a", "y", 2)[1])
	db.MakeHole(t)
	eventually(t, "the watermark passes a hole at the end", func() bool {
		state := f.poll(10)
		return state.Watermark == state.Head
	})
	f.wantIDs("x-0", "y-0", "y-1")
}

func tailRefused(t *testing.T, db *database) {
	s := db.open(t)
	f := follow(t, s, 0)
	f.poll(10)
	p := fill(t, s, "a", "x", 1)
	wantError(t, appendAll(t, s, one("a", 7, ev("late")))[0].Err, store.ErrVersionConflict)
	other := ev("x-0")
	other.Data = nil
	wantError(t, appendAll(t, s, one("a", 1, ev("new"), other))[0].Err, store.ErrIDConflict)
	f.until(p[0])
	f.until(fill(t, s, "a", "y", 1)[0])
	f.wantIDs("x-0", "y-0")
}

func tailWentBack(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "x", 3)
	tail := s.Tail(p[2] + 1000)
	defer tail.Close()
	_, err := tail.Poll(t.Context(), 10)
	wantError(t, err, store.ErrLogWentBack)
}

func tailOther(t *testing.T, db *database) {
	reader, writer := db.open(t), db.open(t)
	f, g := follow(t, reader, 0), follow(t, reader, 0) // and two tails do not disturb each other
	f.poll(10)
	for i := range 3 {
		p := fill(t, writer, "a", fmt.Sprint(i), 1)
		f.until(p[0])
	}
	g.until(f.mark)
	f.wantIDs("0-0", "1-0", "2-0")
	g.wantIDs("0-0", "1-0", "2-0")
}

// tailConcurrent is invariant 1: whatever the order in which appends commit, a reader that keeps to
// the watermark sees every event once and in order.
func tailConcurrent(t *testing.T, db *database) {
	const writers, each = 8, 60
	handles := []store.Store{db.open(t), db.open(t)}
	f := follow(t, db.open(t), 0)

	answered := make([][]store.Recorded, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				stream, id := fmt.Sprint("s", (w+i)%5), fmt.Sprint(w, "-", i)
				r := handles[w%2].Append(t.Context(), []store.AppendRequest{one(stream, store.AnyVersion, ev(id))})[0]
				if r.Err != nil {
					t.Errorf("append: %v", r.Err)
					return
				}
				answered[w] = append(answered[w], r.Events...)
				if i%10 == w {
					db.MakeHole(t)
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	for writing := true; writing; {
		select {
		case <-finished:
			writing = false
		default:
		}
		f.poll(50)
	}
	var last event.Position
	want := map[string]store.Recorded{}
	for _, rs := range answered {
		for _, r := range rs {
			want[r.ID] = r
			last = max(last, r.Position)
		}
	}
	f.until(last)

	before := event.Position(0)
	versions := map[string]int64{}
	for _, e := range f.events {
		r, ok := want[e.ID]
		delete(want, e.ID)
		if !ok || r.Position != e.Position || r.Version != e.Version || r.Stream != e.Stream {
			t.Errorf("the tail gave %d %s/%d %s; answered was %+v (%v)", e.Position, e.Stream, e.Version, e.ID, r, ok)
		}
		if e.Position <= before || e.Version != versions[e.Stream]+1 {
			t.Errorf("out of order: %d after %d, version %d of %s after %d", e.Position, before, e.Version, e.Stream, versions[e.Stream])
		}
		before, versions[e.Stream] = e.Position, e.Version
	}
	if len(want) != 0 || len(f.events) != writers*each {
		t.Errorf("of %d events the tail gave %d and lost %d", writers*each, len(f.events), len(want))
	}
}

func tailCanceled(t *testing.T, db *database) {
	s := db.open(t)
	f := follow(t, s, 0)
	f.poll(10)
	p := fill(t, s, "a", "x", 1)
	if _, err := f.tail.Poll(canceled(t), 10); err == nil {
		t.Error("polled under a canceled context")
	}
	f.until(p[0])
	f.wantIDs("x-0")
}
