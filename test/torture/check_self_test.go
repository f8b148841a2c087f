package torture

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
)

// sound is a small record in which nothing is wrong.
func sound() *record {
	r := &record{fates: map[string]fate{}, sessions: true}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	add := func(stream string, version int64, kind string) {
		p := event.Position(len(r.log) + 1)
		e := event.Event{Position: p, Stream: stream, Version: version, Type: kind, ID: fmt.Sprintf("e%d", p), Data: []byte("{}")}
		if kind == "Echo" {
			e.ID, e.Data = emittedID("p", "e3"), []byte(`{"position":3}`)
		} else {
			r.fates[e.ID] = stored
		}
		r.log = append(r.log, e)
	}
	add("a", 1, "Noted")
	add("a", 2, "Shared")
	add("a", 3, "Ask")
	add("b", 1, "Poison")
	add("b", 2, "Noted")
	add("echo-a", 1, "Echo")
	add("c", 1, "Poison") // skipped
	add("c", 2, "Noted")
	r.fates["gone"] = rolledBack
	r.fates["open"] = unknown
	p := pluginRecord{
		pluginSpec: pluginSpec{name: "p", module: "ledger", order: "stream", emits: true, events: []string{"Noted", "Shared", "Ask", "Poison"}},
		documents: map[string]map[string]document{
			"ledger": {"a": {"[1,2,3]", 3}, "c": {"[8]", 8}},
			"shared": {"2": {"[2]", 2}},
		},
		parked:   map[string]parked{"b": {4, 2}},
		replayed: map[string]map[string]string{"ledger": {"a": "[1,2,3]", "c": "[8]"}, "shared": {"2": "[2]"}},
		gone:     map[event.Position]bool{7: true},
	}
	r.plugins = []pluginRecord{p}
	r.hosts = []hostStep{
		{"id1", "h1", at, at.Add(ttl)},
		{"id2", "h2", at, at.Add(ttl)},
		{"id2", "h2", at.Add(ttl), at.Add(2 * ttl)},
		{"id2", "h2", at.Add(2 * ttl), at.Add(3 * ttl)},
		{"id2", "h2", at.Add(3 * ttl), time.Time{}},
		{"id3", "h3", at.Add(3 * ttl), at.Add(4 * ttl)},
	}
	r.leases = []leaseStep{
		{1, at.Add(time.Millisecond), 0, 1, "", "id1", 0, 0, "h1"},
		{1, at.Add(2 * time.Millisecond), 1, 1, "id1", "id1", 0, 3, "h1"},
		{1, at.Add(2 * ttl), 1, 2, "id1", "id2", 3, 3, "h2"}, // h1 has not renewed
		{1, at.Add(2*ttl + 1), 2, 2, "id2", "id2", 3, 8, "h2"},
		{1, at.Add(3*ttl + 1), 2, 3, "id2", "id3", 8, 8, "h3"}, // h2 was removed
	}
	return r
}

// TestCheckerFinds plants each kind of fault in a sound record. A checker that finds nothing proves nothing.
func TestCheckerFinds(t *testing.T) {
	t.Parallel()
	if v := sound().check(); !v.flawless() {
		t.Fatalf("the sound record is found to be wrong: %s", v)
	}
	ledger := func(key, list string) func(*record) {
		return func(r *record) {
			p := &r.plugins[0]
			p.replayed = nil
			d := p.documents["ledger"][key]
			d.data = list
			p.documents["ledger"][key] = d
		}
	}
	lease := func(i int, change func(*leaseStep)) func(*record) {
		return func(r *record) { change(&r.leases[i]) }
	}
	for _, c := range []struct {
		name  string
		plant func(*record)
		want  []kind
	}{
		{"an append that was answered is lost", func(r *record) { r.fates["lost"] = stored }, []kind{lost}},
		{"an event that was rolled back is there", func(r *record) { r.fates["e1"] = rolledBack }, []kind{invented}},
		{"an event that nobody sent is there", func(r *record) { delete(r.fates, "e1") }, []kind{invented}},
		{"an event is stored twice", func(r *record) { r.log[1].ID = "e1" }, []kind{duplicated, lost}},
		{"a stream has a hole", func(r *record) { r.log[2].Version = 5 }, []kind{lost}},
		{"an event is not applied", ledger("a", "[1,3]"), []kind{lost}},
		{"an event is applied twice", ledger("a", "[1,2,2,3]"), []kind{duplicated}},
		{"two events are turned round", func(r *record) {
			ledger("a", "[2,1,3]")(r)
		}, []kind{disordered}},
		{"an event overtakes a failed one", func(r *record) {
			ledger("b", "[5]")(r)
			r.plugins[0].documents["ledger"]["b"] = document{"[5]", 5}
		}, []kind{disordered}},
		{"an event that was skipped is applied", ledger("c", "[7,8]"), []kind{disordered}},
		{"an event that is not in the log is applied", ledger("a", "[1,2,3,99]"), []kind{diverged, invented}},
		{"an event is applied to another stream's document", ledger("c", "[3,8]"), []kind{diverged}},
		{"a document is no list", ledger("a", "{}"), []kind{lost, diverged}},
		{"a document's column is behind", func(r *record) { r.plugins[0].documents["ledger"]["a"] = document{"[1,2,3]", 2} }, []kind{diverged}},
		{"a document is missing", func(r *record) { delete(r.plugins[0].documents, "shared") }, []kind{lost, diverged}},
		{"a failed event has left a document", func(r *record) { r.plugins[0].documents["junk"] = map[string]document{"b": {"true", 4}} }, []kind{diverged, torn}},
		{"a replay makes something else", func(r *record) { r.plugins[0].replayed["ledger"]["a"] = "[1]" }, []kind{diverged}},
		{"a replay makes more", func(r *record) { r.plugins[0].replayed["ledger"]["z"] = "[1]" }, []kind{diverged}},
		{"a sequence is not parked", func(r *record) { delete(r.plugins[0].parked, "b") }, []kind{diverged}},
		{"an event does not wait", func(r *record) { r.plugins[0].parked["b"] = parked{4, 1} }, []kind{diverged}},
		{"an answer is missing", func(r *record) { r.log = slices.Delete(r.log, 5, 6) }, []kind{lost}},
		{"an answer has another id", func(r *record) { r.log[5].ID = "random" }, []kind{diverged}},
		{"an answer comes twice", func(r *record) {
			again := r.log[5]
			again.Position, again.Version, again.ID = 9, 2, "random"
			r.log = append(r.log, again)
		}, []kind{duplicated}},
		{"an event that failed is answered", func(r *record) { r.log[5].Data = []byte(`{"position":4}`) }, []kind{lost, torn}},
		{"a commit by a former owner", lease(3, func(s *leaseStep) { s.session = "h1" }), []kind{stale}},
		{"a commit while nobody owns it", func(r *record) {
			r.leases[3].owner = ""
			r.leases[4].oldOwner = ""
		}, []kind{stale}},
		{"a commit that changes the epoch", func(r *record) {
			r.leases[3].epoch = 3
			r.leases[4].oldEpoch, r.leases[4].epoch = 3, 4
		}, []kind{stale}},
		{"a lease taken under the old epoch", func(r *record) {
			r.leases[4].epoch = 2
		}, []kind{stale}},
		{"a lease taken from a host that renewed it", func(r *record) {
			r.hosts = slices.Insert(r.hosts, 2, hostStep{"id1", "h1", r.hosts[0].at.Add(ttl), r.hosts[0].at.Add(2*ttl + time.Second/2)})
		}, []kind{stale}},
		{"a lease given by another", lease(2, func(s *leaseStep) { s.session = "h3" }), []kind{stale}},
		{"a registration by a host's own clock", func(r *record) { r.hosts[0].expires = r.hosts[0].at.Add(time.Hour) }, []kind{stale}},
		{"a checkpoint falls", func(r *record) {
			r.leases[3].position = 2
			r.leases[4].oldAt, r.leases[4].position = 2, 2
		}, []kind{wentBack}},
		{"an epoch falls", func(r *record) {
			r.leases[3].epoch = 1
			r.leases[4].oldEpoch = 1
		}, []kind{stale, wentBack}},
		{"an answer is stored apart from its checkpoint", func(r *record) { r.apart = []string{"event 6 answers"} }, []kind{apart}},
		{"a change that was not recorded", lease(3, func(s *leaseStep) { s.oldAt = 4 }), []kind{diverged}},
	} {
		r := sound()
		c.plant(r)
		v := r.check()
		for _, k := range c.want {
			if len(v[k]) == 0 {
				t.Errorf("%s: the checker does not find %q, but %s", c.name, k, strings.Join(strings.Fields(v.String()), " "))
			}
		}
	}
}
