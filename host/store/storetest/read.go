package storetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var readCases = []testCase{
	{"spans", readSpans},
	{"a limit ends a batch early", readLimit},
	{"a size ends a batch early", readMaxBytes},
	{"by type", readTypes},
	{"by stream", readStream},
	{"over holes", readHoles},
	{"nothing there", readEmpty},
	{"position before a time", readPositionBefore},
	{"position at a time", readPositionAt},
	{"a canceled context", readCanceled},
}

func readSpans(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 5)
	for _, c := range []struct {
		after, upTo event.Position
		want        []string
	}{
		{0, far, []string{"e-0", "e-1", "e-2", "e-3", "e-4"}},
		{p[0], p[3], []string{"e-1", "e-2", "e-3"}}, // after is left out, up to is in
		{p[4], far, []string{}},
		{p[2], p[2], []string{}},
		{p[3], p[1], []string{}},
		{0, 0, []string{}},
	} {
		b := read(t, s, store.ReadOptions{After: c.after, UpTo: c.upTo, Limit: 100})
		if got := ids(b.Events); !reflect.DeepEqual(got, c.want) || b.UpTo != c.upTo {
			t.Errorf("(%d, %d]: got %v up to %d, want %v", c.after, c.upTo, got, b.UpTo, c.want)
		}
	}
}

func readLimit(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 5)
	for _, c := range []struct {
		limit int
		want  []string
		upTo  event.Position
	}{
		{1, []string{"e-1"}, p[1]},
		{2, []string{"e-1", "e-2"}, p[2]},
		{4, []string{"e-1", "e-2", "e-3", "e-4"}, p[4]},
		{5, []string{"e-1", "e-2", "e-3", "e-4"}, far},
	} {
		b := read(t, s, store.ReadOptions{After: p[0], UpTo: far, Limit: c.limit})
		// A batch of exactly the limit may end at its last event or know that nothing follows.
		full := len(c.want) == c.limit && c.upTo == p[4] && b.UpTo == far
		if got := ids(b.Events); !reflect.DeepEqual(got, c.want) || b.UpTo != c.upTo && !full {
			t.Errorf("limit %d: got %v up to %d, want %v up to %d", c.limit, got, b.UpTo, c.want, c.upTo)
		}
	}
}

func readMaxBytes(t *testing.T, db *database) {
	s := db.open(t)
	for i := range 10 {
		e := ev(fmt.Sprint(i))
		e.Data = make([]byte, 10_000)
		mustAppend(t, s, one("a", store.AnyVersion, e))
	}
	var seen []string
	var after event.Position
	for batches := 0; batches < 20; batches++ {
		b := read(t, s, store.ReadOptions{After: after, UpTo: far, Limit: 100, MaxBytes: 25_000})
		seen = append(seen, ids(b.Events)...)
		if b.UpTo == far {
			if want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}; !reflect.DeepEqual(seen, want) {
				t.Errorf("the batches hold %v", seen)
			}
			return
		}
		if len(b.Events) != 3 || b.UpTo != b.Events[len(b.Events)-1].Position {
			t.Errorf("a batch of 25,000 bytes ends at %d with %d events of 10,000 bytes", b.UpTo, len(b.Events))
		}
		after = b.UpTo
	}
	t.Errorf("20 batches did not reach the end, they hold %v", seen)
}

func readTypes(t *testing.T, db *database) {
	s := db.open(t)
	var p []event.Position
	for i, kind := range []string{"A", "B", "C", "A", "B", "a", "A'"} {
		e := ev(fmt.Sprint(i))
		e.Type = kind
		p = append(p, mustAppend(t, s, one("s", store.AnyVersion, e))[0].Position)
	}
	for _, c := range []struct {
		types []string
		limit int
		want  []string
		upTo  event.Position
	}{
		{nil, 100, []string{"0", "1", "2", "3", "4", "5", "6"}, far},
		{[]string{"A"}, 100, []string{"0", "3"}, far},
		{[]string{"A", "C", "none"}, 100, []string{"0", "2", "3"}, far},
		{[]string{"B", "A"}, 3, []string{"0", "1", "3"}, p[3]},
		{[]string{"A'", "A'"}, 100, []string{"6"}, far},
		{[]string{"none"}, 100, []string{}, far},
	} {
		b := read(t, s, store.ReadOptions{UpTo: far, Filter: event.Filter{Types: c.types}, Limit: c.limit})
		if got := ids(b.Events); !reflect.DeepEqual(got, c.want) || b.UpTo != c.upTo {
			t.Errorf("types %q: got %v up to %d, want %v up to %d", c.types, got, b.UpTo, c.want, c.upTo)
		}
	}
}

func readStream(t *testing.T, db *database) {
	s := db.open(t)
	var p []event.Position
	for i := range 20 {
		e := ev(fmt.Sprint(i))
		e.Type = string(rune('A' + i%2))
		p = append(p, mustAppend(t, s, one(fmt.Sprint("s", i%3), store.AnyVersion, e))[0].Position)
	}
	b := read(t, s, store.ReadOptions{Stream: "s1", UpTo: far, Limit: 100})
	if got := ids(b.Events); !reflect.DeepEqual(got, []string{"1", "4", "7", "10", "13", "16", "19"}) || b.UpTo != far {
		t.Errorf("stream: got %v up to %d", got, b.UpTo)
	}
	b = read(t, s, store.ReadOptions{Stream: "s1", After: p[1], UpTo: p[16], Limit: 3})
	if got := ids(b.Events); !reflect.DeepEqual(got, []string{"4", "7", "10"}) || b.UpTo != p[10] {
		t.Errorf("stream, span and limit: got %v up to %d", got, b.UpTo)
	}
	b = read(t, s, store.ReadOptions{Stream: "s1", After: p[1], UpTo: p[16], Limit: 100, Filter: event.Filter{Types: []string{"A"}}})
	if got := ids(b.Events); !reflect.DeepEqual(got, []string{"4", "10", "16"}) || b.UpTo != p[16] {
		t.Errorf("stream, span and type: got %v up to %d", got, b.UpTo)
	}
	b = read(t, s, store.ReadOptions{Stream: "s1", UpTo: far, Limit: 100, Versions: &store.Versions{After: 2, UpTo: 5}})
	if got := ids(b.Events); !reflect.DeepEqual(got, []string{"7", "10", "13"}) || b.UpTo != far {
		t.Errorf("stream and versions: got %v up to %d", got, b.UpTo)
	}
}

func readHoles(t *testing.T, db *database) {
	s := db.open(t)
	p1 := fill(t, s, "a", "x", 2)
	db.MakeHole(t)
	p2 := fill(t, s, "a", "y", 2)
	if p2[0] <= p1[1]+1 {
		t.Fatalf("no hole between %v and %v", p1, p2)
	}
	b := read(t, s, store.ReadOptions{After: p1[0], UpTo: p2[1], Limit: 3})
	if got := ids(b.Events); !reflect.DeepEqual(got, []string{"x-1", "y-0", "y-1"}) {
		t.Errorf("got %v", got)
	}
	for i, e := range readAll(t, s) {
		if e.Version != int64(i+1) {
			t.Errorf("event %d has version %d: a hole in positions is none in versions", i, e.Version)
		}
	}
}

func readEmpty(t *testing.T, db *database) {
	s := db.open(t)
	b := read(t, s, store.ReadOptions{UpTo: 7, Limit: 1, Stream: "a", Filter: event.Filter{Types: []string{"A"}}})
	if len(b.Events) != 0 || b.UpTo != 7 {
		t.Errorf("got %+v", b)
	}
	p, err := s.PositionBefore(t.Context(), time.Now())
	if check(t, err); p != 0 {
		t.Errorf("the position before now in an empty log is %d", p)
	}
}

func readPositionBefore(t *testing.T, db *database) {
	s := db.open(t)
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var p []event.Position
	for i, minute := range []int{0, 2, 1, 3, 3, 9} { // producers' clocks need not rise
		e := ev(fmt.Sprint(i))
		e.Time = start.Add(time.Duration(minute) * time.Minute)
		p = append(p, mustAppend(t, s, one("a", store.AnyVersion, e))[0].Position)
		db.MakeHole(t)
	}
	for _, c := range []struct {
		at    time.Duration
		first int // the first event that must follow
	}{
		{-time.Hour, 0}, {0, 0}, {time.Nanosecond, 1}, {time.Microsecond, 1}, {time.Minute, 1}, {2 * time.Minute, 1},
		{2*time.Minute + time.Microsecond, 3}, {3 * time.Minute, 3}, {4 * time.Minute, 5}, {9 * time.Minute, 5}, {10 * time.Minute, 6},
	} {
		got, err := s.PositionBefore(t.Context(), start.Add(c.at))
		check(t, err)
		rest := read(t, s, store.ReadOptions{After: got, UpTo: far, Limit: 100}).Events
		if len(rest) != len(p)-c.first || len(rest) > 0 && rest[0].Position != p[c.first] {
			t.Errorf("the position before %v is %d, of %v: after it come %v", c.at, got, p, ids(rest))
		}
	}
}

func readPositionAt(t *testing.T, db *database) {
	s := db.open(t)
	if got, later, err := s.PositionAt(t.Context(), time.Now(), 7); err != nil || got != 0 || later != 0 {
		t.Errorf("the position now in an empty log is %d, %d later ones, %v", got, later, err)
	}
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	p := []event.Position{0}
	for i, minute := range []int{60, 0, 2, 1, 3, 3, 9} { // the first producer's clock is wrong
		e := ev(fmt.Sprint(i))
		e.Time = start.Add(time.Duration(minute) * time.Minute)
		p = append(p, mustAppend(t, s, one("a", store.AnyVersion, e))[0].Position)
		db.MakeHole(t)
	}
	for _, c := range []struct {
		at    time.Duration
		upTo  event.Position
		last  int // the last event that counts, from 1
		later int64
	}{
		{-time.Nanosecond, far, 0, 0}, {0, far, 2, 1}, {time.Minute - time.Nanosecond, far, 2, 1}, {time.Minute, far, 4, 2},
		{2*time.Minute - time.Microsecond, far, 4, 2}, {2 * time.Minute, far, 4, 1}, {3*time.Minute - time.Nanosecond, far, 4, 1},
		{3 * time.Minute, far, 6, 1}, {9 * time.Minute, far, 7, 1}, {time.Hour, far, 7, 0},
		{9 * time.Minute, p[5], 5, 1}, {time.Minute, p[4] - 1, 2, 1}, {time.Hour, 0, 0, 0},
	} {
		got, later, err := s.PositionAt(t.Context(), start.Add(c.at), c.upTo)
		check(t, err)
		if got != p[c.last] || later != c.later {
			t.Errorf("the position at %v, up to %d, is %d with %d later events below it; want %d with %d, of %v", c.at, c.upTo, got, later, p[c.last], c.later, p)
		}
	}
}

func readCanceled(t *testing.T, db *database) {
	s := db.open(t)
	fill(t, s, "a", "e", 2)
	if _, err := s.Read(canceled(t), store.ReadOptions{UpTo: far, Limit: 1}); err == nil {
		t.Error("read under a canceled context")
	}
	if got := readAll(t, s); len(got) != 2 {
		t.Errorf("the handle then reads %d events", len(got))
	}
}
