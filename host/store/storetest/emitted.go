package storetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var emittedCases = []testCase{
	{"appended to their streams", commitEmitted},
	{"stored once", commitEmittedTwice},
	{"reach the tail", commitEmittedTail},
}

func emitted(cause event.Position, id, stream string) event.Emitted {
	return event.Emitted{Cause: cause, ID: id, Stream: stream, Type: "Emitted", Data: []byte(`{"id":"` + id + `"}`), Metadata: []byte(`{"cause": 1}`)}
}

func commitEmitted(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 2)
	mustAppend(t, s, store.AppendRequest{Streams: []store.StreamAppend{{Stream: "out", StreamType: "report", Expected: store.AnyVersion, Events: evs("o")}}})
	o := own(t, s, "p")
	full := event.Emitted{Cause: p[0], ID: "m3", Stream: "new", StreamType: "kind", Type: "T", Data: []byte("\x00\xff"), Metadata: []byte(` {"a" : 1}`), ContentType: "x/y"}
	o.commit(t, p[1], func(c *store.Commit) {
		c.Emitted = []event.Emitted{emitted(p[0], "m1", "out"), emitted(p[0], "m2", "a"), full, emitted(p[1], "m4", "out"), {Cause: p[1], ID: "m5", Stream: "out", Type: "T"}}
	})
	log := readAll(t, s)[3:]
	want := []string{"out/2 m1 report", "a/3 m2 ", "new/1 m3 kind", "out/3 m4 report", "out/4 m5 report"}
	for i, e := range log {
		if got := fmt.Sprintf("%s/%d %s %s", e.Stream, e.Version, e.ID, e.StreamType); i >= len(want) || got != want[i] {
			t.Errorf("emitted event %d is %s", i, got)
		}
		if e.Time.Before(time.Now().Add(-time.Hour)) {
			t.Errorf("emitted event %s has time %v", e.ID, e.Time)
		}
	}
	if len(log) != len(want) {
		t.Fatalf("%d events were stored, want %d", len(log), len(want))
	}
	if e := log[2]; e.Type != full.Type || string(e.Data) != string(full.Data) || string(e.Metadata) != string(full.Metadata) || e.ContentType != full.ContentType {
		t.Errorf("emitted %+v, stored %+v", full, e)
	}
	if e := log[4]; len(e.Data) != 0 || string(e.Metadata) != "{}" || e.ContentType != store.DefaultContentType {
		t.Errorf("an emitted event without content is stored as %+v", e)
	}
}

func commitEmittedTwice(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 2)
	o := own(t, s, "p")
	o.commit(t, p[0], func(c *store.Commit) { c.Emitted = []event.Emitted{emitted(p[0], "m", "out")} })
	o.commit(t, p[1], func(c *store.Commit) { // a rebuild emits again what it emitted before
		c.Emitted = []event.Emitted{emitted(p[0], "m", "out"), emitted(p[1], "n", "out")}
	})
	if got := ids(readAll(t, s)); !reflect.DeepEqual(got, []string{"e-0", "e-1", "m", "n"}) {
		t.Errorf("stored %v", got)
	}
}

func commitEmittedTail(t *testing.T, db *database) {
	s := db.open(t)
	p := fill(t, s, "a", "e", 1)
	o := own(t, s, "p")
	f := follow(t, s, 0)
	f.poll(10)
	o.commit(t, p[0], func(c *store.Commit) { c.Emitted = []event.Emitted{emitted(p[0], "m", "out")} })
	f.until(p[0] + 1)
	eventually(t, "the emitted event arrives", func() bool { f.poll(10); return len(f.events) == 2 })
	f.wantIDs("e-0", "m")
}
