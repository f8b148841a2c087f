package storetest

import (
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var idempotencyCases = []testCase{
	{"the same event again is answered with its position", duplicateAnswered},
	{"a retry holds with its expected version", duplicateExpected},
	{"a retry with a part stored", duplicatePart},
	{"an id with other content is refused", duplicateOther},
	{"what makes content the same", duplicateSame},
	{"many at once store one", duplicateRace},
}

func duplicateAnswered(t *testing.T, db *database) {
	s := db.open(t)
	first := mustAppend(t, s, one("a", store.AnyVersion, evs("1", "2")...))
	mustAppend(t, s, one("a", store.AnyVersion, ev("3")))
	again := mustAppend(t, s, one("a", store.AnyVersion, evs("1", "2")...))
	for i := range again {
		want := first[i]
		want.Duplicate = true
		if again[i] != want {
			t.Errorf("got %+v, want %+v", again[i], want)
		}
	}
	if got := ids(readAll(t, db.open(t))); !reflect.DeepEqual(got, []string{"1", "2", "3"}) {
		t.Errorf("stored %v", got)
	}
}

// duplicateExpected: the events of a request with an exact version take the versions that follow
// it, whether they are stored now or were before.
func duplicateExpected(t *testing.T, db *database) {
	s := db.open(t)
	mustAppend(t, s, one("a", store.NoStream, evs("1", "2")...))
	mustAppend(t, s, one("a", 2, evs("3", "4")...))
	mustAppend(t, s, one("a", 4, ev("5")))

	for _, req := range []store.AppendRequest{
		one("a", store.NoStream, evs("1", "2")...),
		one("a", store.NoStream, evs("1", "2", "3", "4", "5")...),
		one("a", 2, evs("3", "4")...),
		one("a", 1, evs("2", "3")...),
		one("a", 4, ev("5")),
	} {
		for i, r := range mustAppend(t, s, req) {
			if sa := req.Streams[0]; !r.Duplicate || r.Version != int64(sa.Expected)+int64(i)+1 {
				t.Errorf("after version %v: event %d was recorded as %+v", sa.Expected, i, r)
			}
		}
	}
	for _, req := range []store.AppendRequest{
		one("a", store.NoStream, ev("2")), // was stored after version 1
		one("a", 5, ev("5")),
		one("a", 5, ev("1")),
		one("a", 2, evs("4", "3")...),
		one("a", 2, evs("3", "5")...),
	} {
		res := appendAll(t, s, req)
		wantError(t, res[0].Err, store.ErrVersionConflict)
	}
	if got := ids(readAll(t, s)); !reflect.DeepEqual(got, []string{"1", "2", "3", "4", "5"}) {
		t.Errorf("stored %v", got)
	}
}

func duplicatePart(t *testing.T, db *database) {
	s := db.open(t)
	mustAppend(t, s, one("a", store.NoStream, evs("1", "2")...))

	got := mustAppend(t, s, one("a", store.NoStream, evs("1", "2", "3")...)) // a stored beginning
	if !got[0].Duplicate || !got[1].Duplicate || got[2].Duplicate || got[2].Version != 3 {
		t.Errorf("a stored beginning and a new end: got %+v", got)
	}
	mustAppend(t, s, one("a", 3, ev("4")))
	for _, req := range []store.AppendRequest{
		one("a", 2, evs("3", "new")...),         // 3 is stored, and 4 already follows it
		one("a", 4, evs("new", "4")...),         // 4 cannot follow a new one
		one("a", 1, evs("2", "new", "4")...),    // nor can one go between
		one("a", store.NoStream, evs("new")...), // and this is plainly late
	} {
		res := appendAll(t, s, req)
		wantError(t, res[0].Err, store.ErrVersionConflict)
	}
	if got := ids(readAll(t, s)); !reflect.DeepEqual(got, []string{"1", "2", "3", "4"}) {
		t.Fatalf("stored %v", got)
	}

	// Whatever the version: what is missing is added at the end.
	got = mustAppend(t, s, one("a", store.AnyVersion, evs("2", "5", "4", "6")...))
	want := []store.Recorded{{ID: "2", Version: 2, Duplicate: true}, {ID: "5", Version: 5}, {ID: "4", Version: 4, Duplicate: true}, {ID: "6", Version: 6}}
	for i := range got {
		want[i].Stream, want[i].Position = "a", got[i].Position
		if got[i] != want[i] {
			t.Errorf("any version: got %+v, want %+v", got[i], want[i])
		}
	}
}

func duplicateOther(t *testing.T, db *database) {
	s := db.open(t)
	full := store.NewEvent{ID: "1", Type: "T", Data: []byte(`{"a":1}`), Metadata: []byte(`{"m":1}`), ContentType: "text/plain", Time: time.UnixMicro(1_700_000_000_000_001)}
	request := func(stream, kind string, change func(*store.NewEvent)) store.AppendRequest {
		e := full
		change(&e)
		return store.AppendRequest{Streams: []store.StreamAppend{{Stream: stream, StreamType: kind, Expected: store.AnyVersion, Events: []store.NewEvent{e}}}}
	}
	first := mustAppend(t, s, request("a", "account", func(*store.NewEvent) {}))[0]

	for name, req := range map[string]store.AppendRequest{
		"stream":       request("b", "account", func(*store.NewEvent) {}),
		"type":         request("a", "account", func(e *store.NewEvent) { e.Type = "U" }),
		"data":         request("a", "account", func(e *store.NewEvent) { e.Data = []byte(`{"a": 1}`) }),
		"no data":      request("a", "account", func(e *store.NewEvent) { e.Data = nil }),
		"metadata":     request("a", "account", func(e *store.NewEvent) { e.Metadata = []byte(`{"m":2}`) }),
		"no metadata":  request("a", "account", func(e *store.NewEvent) { e.Metadata = nil }),
		"content type": request("a", "account", func(e *store.NewEvent) { e.ContentType = "" }),
		"time":         request("a", "account", func(e *store.NewEvent) { e.Time = e.Time.Add(time.Microsecond) }),
	} {
		res := appendAll(t, s, req)
		var conflict *store.IDConflictError
		if !errors.As(res[0].Err, &conflict) || *conflict != (store.IDConflictError{ID: "1", Position: first.Position}) {
			t.Errorf("other %s: got error %v", name, res[0].Err)
		}
	}
	if log := readAll(t, s); len(log) != 1 || string(log[0].Data) != `{"a":1}` {
		t.Errorf("the log is now %+v", log)
	}
}

func duplicateSame(t *testing.T, db *database) {
	s := db.open(t)
	mustAppend(t, s, store.AppendRequest{Streams: []store.StreamAppend{{Stream: "a", StreamType: "account", Expected: store.AnyVersion,
		Events: []store.NewEvent{{ID: "1", Type: "T", Data: []byte("x"), Metadata: []byte(`{"m":1}`)}}}}})
	stored := readAll(t, s)[0]
	for name, e := range map[string]store.NewEvent{
		"no time, no content type":  {Metadata: []byte(`{"m":1}`)},
		"the default content type":  {Metadata: []byte(`{"m":1}`), ContentType: store.DefaultContentType},
		"blanks in the metadata":    {Metadata: []byte(" {\"m\" :\n1 } ")},
		"the time it was stored at": {Metadata: []byte(`{"m":1}`), Time: stored.Time.In(time.FixedZone("", 7200)).Add(time.Nanosecond)},
	} {
		e.ID, e.Type, e.Data = "1", "T", []byte("x")
		if r := mustAppend(t, s, one("a", store.AnyVersion, e))[0]; !r.Duplicate || r.Position != stored.Position {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func duplicateRace(t *testing.T, db *database) {
	handles := []store.Store{db.open(t), db.open(t)}
	const writers, rounds = 8, 10
	for round := range rounds {
		id := string(rune('a' + round))
		results := make([]store.AppendResult, writers)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				results[w] = handles[w%2].Append(t.Context(), []store.AppendRequest{one("s", store.AnyVersion, ev(id))})[0]
			})
		}
		wg.Wait()
		stored, positions := 0, map[event.Position]bool{}
		for _, r := range results {
			check(t, r.Err)
			positions[r.Events[0].Position] = true
			if !r.Events[0].Duplicate {
				stored++
			}
		}
		if stored != 1 || len(positions) != 1 {
			t.Fatalf("%d writers of one event: %d stored it, at positions %v", writers, stored, positions)
		}
	}
}
