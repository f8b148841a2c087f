package storetest

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var appendCases = []testCase{
	{"versions and positions count up", appendCounts},
	{"nothing to append", appendNothing},
	{"expected version", appendExpected},
	{"one of many wins an expected version", appendRace},
	{"several streams in one request", appendStreams},
	{"later requests see earlier ones", appendSeesEarlier},
	{"a refused request leaves the others", appendRefused},
	{"invalid events", appendInvalid},
	{"events come back as they went in", appendExact},
	{"odd metadata comes back as it went in", appendMetadata},
	{"times to the microsecond", appendTimes},
	{"defaults", appendDefaults},
	{"stream type", appendStreamType},
	{"names with odd characters", appendNames},
	{"a canceled context stores nothing", appendCanceled},
	{"a large batch", appendLarge},
}

func appendCounts(t *testing.T, db *database) {
	s := db.open(t)
	a := mustAppend(t, s, one("a", store.AnyVersion, evs("1", "2")...))
	b := mustAppend(t, s, one("b", store.AnyVersion, ev("3")))
	a = append(a, mustAppend(t, s, one("a", store.AnyVersion, ev("4")))...)

	for i, r := range a {
		if r.Stream != "a" || r.Version != int64(i+1) || r.Duplicate {
			t.Errorf("event %d of stream a was recorded as %+v", i, r)
		}
	}
	if b[0].Version != 1 || b[0].Stream != "b" || b[0].ID != "3" {
		t.Errorf("the first event of stream b was recorded as %+v", b[0])
	}
	if a[0].Position < 1 || a[1].Position <= a[0].Position || b[0].Position <= a[1].Position || a[2].Position <= b[0].Position {
		t.Errorf("positions do not rise: a %+v, b %+v", a, b)
	}
	for i, e := range readAll(t, s) {
		want := []store.Recorded{a[0], a[1], b[0], a[2]}[i]
		if e.Position != want.Position || e.Version != want.Version || e.ID != want.ID || e.Stream != want.Stream {
			t.Errorf("stored %+v, answered %+v", e, want)
		}
	}
}

func appendNothing(t *testing.T, db *database) {
	s := db.open(t)
	if res := s.Append(t.Context(), nil); len(res) != 0 {
		t.Errorf("no requests got %d results", len(res))
	}
	if log := readAll(t, s); len(log) != 0 {
		t.Errorf("a new log has %d events", len(log))
	}
}

func appendExpected(t *testing.T, db *database) {
	s := db.open(t)
	mustAppend(t, s, one("a", store.NoStream, evs("1", "2")...))
	mustAppend(t, s, one("a", 2, ev("3")))
	mustAppend(t, s, one("a", store.AnyVersion, ev("4")))

	for _, expected := range []store.Expected{store.NoStream, 1, 3, 5, 1 << 50} {
		res := appendAll(t, s, one("a", expected, ev("late")))
		wantError(t, res[0].Err, store.ErrVersionConflict)
		var conflict *store.VersionConflictError
		if !errors.As(res[0].Err, &conflict) || *conflict != (store.VersionConflictError{Stream: "a", Expected: expected, Actual: 4}) {
			t.Errorf("expected %v: got %#v", expected, res[0].Err)
		}
	}
	res := appendAll(t, s, one("new", 1, ev("late")))
	var conflict *store.VersionConflictError
	if !errors.As(res[0].Err, &conflict) || conflict.Actual != 0 {
		t.Errorf("a stream that is not there: got %v", res[0].Err)
	}
	if got := ids(readAll(t, s)); !reflect.DeepEqual(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("stored %v", got)
	}
}

func appendRace(t *testing.T, db *database) {
	handles := []store.Store{db.open(t), db.open(t)}
	const writers, rounds = 8, 10
	for round := range rounds {
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for w := range writers {
			wg.Go(func() {
				id := strconv.Itoa(round) + "-" + strconv.Itoa(w)
				errs[w] = handles[w%2].Append(t.Context(), []store.AppendRequest{one("a", store.Expected(round), ev(id))})[0].Err
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, store.ErrVersionConflict) {
				t.Errorf("a loser got %v", err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d of %d writers won", round, won, writers)
		}
	}
	for i, e := range readAll(t, handles[0]) {
		if e.Version != int64(i+1) {
			t.Errorf("event %d has version %d", i, e.Version)
		}
	}
}

func appendStreams(t *testing.T, db *database) {
	s := db.open(t)
	mustAppend(t, s, one("a", store.NoStream, ev("0")))
	got := mustAppend(t, s, store.AppendRequest{Streams: []store.StreamAppend{
		{Stream: "a", Expected: 1, Events: evs("1", "2")},
		{Stream: "b", Expected: store.NoStream, Events: evs("3")},
		{Stream: "a", Expected: 3, Events: evs("4")},
	}})
	want := []store.Recorded{{ID: "1", Stream: "a", Version: 2}, {ID: "2", Stream: "a", Version: 3},
		{ID: "3", Stream: "b", Version: 1}, {ID: "4", Stream: "a", Version: 4}}
	for i := range got {
		want[i].Position = got[i].Position
		if got[i] != want[i] || i > 0 && got[i].Position <= got[i-1].Position {
			t.Errorf("event %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}

func appendSeesEarlier(t *testing.T, db *database) {
	s := db.open(t)
	res := appendAll(t, s,
		one("a", store.NoStream, ev("1")),
		one("a", 1, ev("2")),
		one("a", 1, ev("late")),
		one("b", store.NoStream, ev("3")),
		one("a", store.AnyVersion, ev("4")),
		one("a", 1, ev("2")),
	)
	wantError(t, res[2].Err, store.ErrVersionConflict)
	for i, r := range res {
		if i != 2 && r.Err != nil {
			t.Errorf("request %d: %v", i, r.Err)
		}
	}
	if again := res[5].Events[0]; !again.Duplicate || again.Position != res[1].Events[0].Position || again.Version != 2 {
		t.Errorf("the same event twice in one call: got %+v, want it as %+v", again, res[1].Events[0])
	}
	if got := ids(readAll(t, s)); !reflect.DeepEqual(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("stored %v", got)
	}
}

func appendRefused(t *testing.T, db *database) {
	s := db.open(t)
	mustAppend(t, s, one("taken", store.NoStream, ev("0")))
	other := ev("0")
	other.Data = []byte("other")
	res := appendAll(t, s,
		one("a", store.NoStream, ev("1")),
		store.AppendRequest{Streams: []store.StreamAppend{ // the second stream is refused, so the first is too
			{Stream: "b", Expected: store.NoStream, Events: evs("2", "3")},
			{Stream: "taken", Expected: store.NoStream, Events: evs("4")},
		}},
		one("c", store.NoStream, ev("5"), other), // the second event is refused, so the first is too
		one("d", store.NoStream, ev("6"), store.NewEvent{ID: "7"}),
		one("b", store.NoStream, ev("8")),
		one("c", store.NoStream, ev("5")),
	)
	wantError(t, res[1].Err, store.ErrVersionConflict)
	wantError(t, res[2].Err, store.ErrIDConflict)
	wantError(t, res[3].Err, store.ErrInvalid)
	for _, i := range []int{0, 4, 5} {
		if res[i].Err != nil {
			t.Errorf("request %d: %v", i, res[i].Err)
		} else if r := res[i].Events[0]; r.Version != 1 || r.Duplicate {
			t.Errorf("request %d was recorded as %+v", i, r)
		}
	}
	if got := ids(readAll(t, s)); !reflect.DeepEqual(got, []string{"0", "1", "8", "5"}) {
		t.Errorf("stored %v", got)
	}
}

func appendInvalid(t *testing.T, db *database) {
	s := db.open(t)
	long := strings.Repeat("x", store.MaxNameBytes+1)
	event := func(change func(*store.NewEvent)) store.AppendRequest {
		e := ev("bad")
		change(&e)
		return one("a", store.AnyVersion, e)
	}
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	bad := map[string]store.AppendRequest{
		"no streams":        {},
		"no events":         one("a", store.AnyVersion),
		"no stream":         one("", store.AnyVersion, ev("bad")),
		"long stream":       one(long, store.AnyVersion, ev("bad")),
		"stream with zero":  one("a\x00b", store.AnyVersion, ev("bad")),
		"stream not UTF-8":  one("a\xff", store.AnyVersion, ev("bad")),
		"negative expected": one("a", -2, ev("bad")),
		"id twice":          one("a", store.AnyVersion, ev("bad"), ev("bad")),
		"long stream type":  {Streams: []store.StreamAppend{{Stream: "a", StreamType: long, Expected: store.AnyVersion, Events: evs("bad")}}},
		"no type":           event(func(e *store.NewEvent) { e.Type = "" }),
		"long type":         event(func(e *store.NewEvent) { e.Type = long }),
		"type with zero":    event(func(e *store.NewEvent) { e.Type = "a\x00" }),
		"long id":           event(func(e *store.NewEvent) { e.ID = long }),
		"id not UTF-8":      event(func(e *store.NewEvent) { e.ID = "\xc3" }),
		"long content type": event(func(e *store.NewEvent) { e.ContentType = long }),
		"metadata array":    event(func(e *store.NewEvent) { e.Metadata = []byte(`[1]`) }),
		"metadata blank":    event(func(e *store.NewEvent) { e.Metadata = []byte(` `) }),
		"metadata not JSON": event(func(e *store.NewEvent) { e.Metadata = []byte(`{"a":}`) }),
		"metadata not UTF":  event(func(e *store.NewEvent) { e.Metadata = []byte("{\"a\":\"\xff\"}") }),
		"metadata two":      event(func(e *store.NewEvent) { e.Metadata = []byte(`{}{}`) }),
		"metadata too deep": event(func(e *store.NewEvent) { e.Metadata = []byte(`{"a":` + deep + `}`) }),
		"metadata too long": event(func(e *store.NewEvent) {
			e.Metadata = []byte(`{"a":"` + strings.Repeat("x", store.MaxMetadataBytes) + `"}`)
		}),
		"data too long": event(func(e *store.NewEvent) { e.Data = make([]byte, store.MaxDataBytes+1) }),
		"year 10000":    event(func(e *store.NewEvent) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }),
		"year 0":        event(func(e *store.NewEvent) { e.Time = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }),
	}
	var reqs []store.AppendRequest
	var names []string
	for name, req := range bad {
		names = append(names, name)
		reqs = append(reqs, req)
	}
	reqs = append(reqs, one("a", store.NoStream, ev("good")))
	res := appendAll(t, s, reqs...)
	for i, name := range names {
		if !errors.Is(res[i].Err, store.ErrInvalid) {
			t.Errorf("%s: got error %v, want %v", name, res[i].Err, store.ErrInvalid)
		}
	}
	if err := res[len(names)].Err; err != nil {
		t.Errorf("a good request among bad ones: %v", err)
	}
	if got := ids(readAll(t, s)); !reflect.DeepEqual(got, []string{"good"}) {
		t.Errorf("stored %v", got)
	}
}

func appendExact(t *testing.T, db *database) {
	s := db.open(t)
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	datas := map[string][]byte{
		"json":    []byte("{\"a\" :\t1,\r\n \"a\": 1.0e0 }\n"),
		"empty":   {},
		"nil":     nil,
		"binary":  binary,
		"zeros":   make([]byte, 3),
		"text":    []byte("naïve \u2028 text"),
		"not utf": []byte("\xff\xfe{}"),
		"big":     bytes.Repeat([]byte("0123456789abcdef"), 1<<16), // 1 MiB
	}
	for id, data := range datas {
		mustAppend(t, s, one("a", store.AnyVersion, store.NewEvent{ID: id, Type: "T", Data: data, ContentType: "application/octet-stream"}))
	}
	for _, e := range readAll(t, s) {
		if !bytes.Equal(e.Data, datas[e.ID]) {
			t.Errorf("%s: stored %d bytes, got %d others back", e.ID, len(datas[e.ID]), len(e.Data))
		}
		if e.ContentType != "application/octet-stream" {
			t.Errorf("%s has content type %q", e.ID, e.ContentType)
		}
	}
}

func appendMetadata(t *testing.T, db *database) {
	s := db.open(t)
	odd := []string{
		`{}`, ` { } `, "\n{\t\"b\" :1,\r\n\"a\": 1.0e0 ,\"a\":2}\n",
		`{"u":"\u00e9\ud83d\ude00é","z":"\u0000","lone":"\ud800"}`,
		`{"n":123456789012345678901234567890.10,"e":1e400,"m":-0}`,
		`{"deep":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	}
	for i, m := range odd {
		mustAppend(t, s, one("a", store.AnyVersion, store.NewEvent{ID: strconv.Itoa(i), Type: "T", Metadata: []byte(m)}))
	}
	for i, e := range readAll(t, s) {
		if string(e.Metadata) != odd[i] {
			t.Errorf("metadata %q came back as %q", odd[i], e.Metadata)
		}
	}
}

func appendTimes(t *testing.T, db *database) {
	s := db.open(t)
	times := []time.Time{
		time.Date(2026, 2, 28, 23, 59, 59, 123_456_789, time.UTC),
		time.Date(2026, 3, 1, 1, 0, 0, 1_000, time.FixedZone("", 3600)),
		time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 30, 0, 0, 0, 999_999_000, time.UTC),
	}
	for i, at := range times {
		e := ev(strconv.Itoa(i))
		e.Time = at
		mustAppend(t, s, one("a", store.AnyVersion, e))
	}
	for i, e := range readAll(t, s) {
		want := times[i].Truncate(time.Microsecond)
		if !e.Time.Equal(want) || e.Time.Location() != time.UTC {
			t.Errorf("time %v came back as %v", want, e.Time)
		}
	}
}

func appendDefaults(t *testing.T, db *database) {
	s := db.open(t)
	before := time.Now().Add(-time.Minute)
	got := mustAppend(t, s, one("a", store.AnyVersion, store.NewEvent{Type: "T"}, store.NewEvent{Type: "T"}))
	if got[0].ID == "" || got[1].ID == "" || got[0].ID == got[1].ID {
		t.Errorf("made the ids %q and %q", got[0].ID, got[1].ID)
	}
	for i, e := range readAll(t, s) {
		want := event.Event{Position: got[i].Position, Stream: "a", Version: int64(i + 1), ID: got[i].ID, Type: "T",
			Data: e.Data, Metadata: []byte("{}"), ContentType: store.DefaultContentType, Time: e.Time}
		if !reflect.DeepEqual(e, want) || len(e.Data) != 0 {
			t.Errorf("got %+v, want %+v", e, want)
		}
		if e.Time.Before(before) || e.Time.After(time.Now().Add(time.Minute)) {
			t.Errorf("time is %v, now is %v", e.Time, time.Now())
		}
	}
}

func appendStreamType(t *testing.T, db *database) {
	s := db.open(t)
	typed := func(stream, kind, id string) store.AppendRequest {
		return store.AppendRequest{Streams: []store.StreamAppend{{Stream: stream, StreamType: kind, Expected: store.AnyVersion, Events: evs(id)}}}
	}
	mustAppend(t, s, typed("a", "account", "1"))
	mustAppend(t, s, typed("a", "", "2")) // inherits
	mustAppend(t, s, typed("a", "account", "3"))
	mustAppend(t, s, typed("b", "", "4"))
	res := appendAll(t, s, typed("a", "order", "bad"), typed("b", "account", "bad"), typed("c", "order", "5"), typed("c", "account", "bad"))
	for _, i := range []int{0, 1, 3} {
		wantError(t, res[i].Err, store.ErrInvalid)
	}
	check(t, res[2].Err)
	var invalid *store.InvalidError
	if errors.As(res[3].Err, &invalid); invalid == nil || invalid.Stream != "c" || invalid.StreamType != "account" {
		t.Errorf("the refusal does not name its append: %+v", invalid)
	}

	want := map[string]string{"1": "account", "2": "account", "3": "account", "4": "", "5": "order"}
	got := map[string]string{}
	for _, e := range readAll(t, s) {
		got[e.ID] = e.StreamType
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("stream types by event: got %v, want %v", got, want)
	}
}

func appendNames(t *testing.T, db *database) {
	s := db.open(t)
	names := []string{`o'neil"; --`, "emoji 😀", " blank ", "new\nline", "e\u0301", "\u00e9", "%_\\", "\x01", "A", "a", strings.Repeat("x", store.MaxNameBytes)}
	for _, n := range names {
		mustAppend(t, s, store.AppendRequest{Streams: []store.StreamAppend{{Stream: n, StreamType: n, Expected: store.NoStream,
			Events: []store.NewEvent{{ID: n, Type: n, ContentType: n}}}}})
	}
	for i, e := range readAll(t, s) {
		if n := names[i]; e.Stream != n || e.StreamType != n || e.ID != n || e.Type != n || e.ContentType != n {
			t.Errorf("name %q came back as %+v", n, e)
		}
	}
}

func appendCanceled(t *testing.T, db *database) {
	s := db.open(t)
	res := s.Append(canceled(t), []store.AppendRequest{one("a", store.NoStream, ev("1")), one("b", store.NoStream, ev("2"))})
	for i, r := range res {
		if r.Err == nil {
			t.Errorf("request %d succeeded", i)
		}
	}
	if log := readAll(t, s); len(log) != 0 {
		t.Errorf("stored %v", ids(log))
	}
	mustAppend(t, s, one("a", store.NoStream, ev("1"))) // the handle still works
}

func appendLarge(t *testing.T, db *database) {
	s := db.open(t)
	const streams, each = 200, 25
	var req store.AppendRequest
	for i := range streams {
		var events []store.NewEvent
		for j := range each {
			events = append(events, ev(strconv.Itoa(i)+"/"+strconv.Itoa(j)))
		}
		req.Streams = append(req.Streams, store.StreamAppend{Stream: "s" + strconv.Itoa(i), Expected: store.NoStream, Events: events})
	}
	got := mustAppend(t, s, req)
	log := readAll(t, s)
	if len(log) != streams*each {
		t.Fatalf("stored %d events of %d", len(log), streams*each)
	}
	for i, e := range log {
		want := store.Recorded{ID: strconv.Itoa(i/each) + "/" + strconv.Itoa(i%each), Stream: "s" + strconv.Itoa(i/each), Version: int64(i%each + 1), Position: e.Position}
		if got[i] != want || e.ID != want.ID || e.Stream != want.Stream || e.Version != want.Version {
			t.Fatalf("event %d: answered %+v, stored %+v, want %+v", i, got[i], e, want)
		}
	}
}
