package torture

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"eshost/host/event"
)

// record is all that a run leaves behind.
type record struct {
	fates   map[string]fate // what the writers know
	log     []event.Event
	plugins []pluginRecord
	leases  []leaseStep
	hosts   []hostStep
	apart   []string // effects that were not stored together with their checkpoint
	// sessions says that leaseStep.session is known.
	sessions bool
}

// pluginRecord is what a plugin has made of the log.
type pluginRecord struct {
	pluginSpec
	documents map[string]map[string]document // by collection and key
	parked    map[string]parked              // by key
	replayed  map[string]map[string]string   // what one instance makes of the log; nil if people have skipped events
	gone      map[event.Position]bool        // events that people have skipped

	// Of a plugin whose read model is in Redis.
	generation int64
	seen       []redisSnapshot                         // by readers, in the course of the run
	served     map[string]map[string]map[string]string // documents by host, collection and key
	strays     []string                                // collections in the database
}

type document struct {
	data     string
	position event.Position // of the event that wrote it last
}

type parked struct {
	position event.Position
	waiting  int
}

// check proves invariants 1 to 5 of a record, or says what is wrong.
func (r *record) check() verdict {
	v := verdict{}
	r.checkLog(v)
	for i := range r.plugins {
		p := &r.plugins[i]
		m := modelOf(p, r.log)
		if p.books() {
			p.checkLedger(v, m, r.log, math.MaxInt64)
			p.checkParked(v, m)
			if p.emits {
				p.checkAnswers(v, m, r.log)
			}
		}
		p.checkReplay(v)
		if p.inRedis {
			p.checkRedis(v, r.log)
		}
	}
	r.checkLeases(v)
	for _, what := range r.apart {
		v.add(apart, "%s: not in the transaction of its checkpoint", what)
	}
	return v
}

// checkLog holds the log to what the writers know of it: the hosts' appends are durable, and what was rolled
// back never comes back.
func (r *record) checkLog(v verdict) {
	seen := map[string]event.Position{}
	versions := map[string]int64{}
	var last event.Position
	for i := range r.log {
		e := &r.log[i]
		if e.Position <= last {
			v.add(disordered, "the log has position %d after %d", e.Position, last)
		}
		last = e.Position
		if first, twice := seen[e.ID]; twice {
			v.add(duplicated, "event %s is stored at %d and at %d", e.ID, first, e.Position)
		}
		seen[e.ID] = e.Position
		if versions[e.Stream]++; e.Version != versions[e.Stream] {
			v.add(lost, "stream %s has version %d at %d, where %d comes next", e.Stream, e.Version, e.Position, versions[e.Stream])
			versions[e.Stream] = e.Version
		}
		f, sent := r.fates[e.ID]
		switch {
		case e.Type == "Echo": // see checkAnswers
		case !sent:
			v.add(invented, "nobody sent event %s at %d", e.ID, e.Position)
		case f == rolledBack:
			v.add(invented, "event %s at %d was rolled back", e.ID, e.Position)
		}
	}
	for _, id := range sortedKeys(r.fates) {
		if _, there := seen[id]; !there && r.fates[id] == stored {
			v.add(lost, "event %s was stored, and is not in the log", id)
		}
	}
}

// model is what a plugin must have made of the log.
type model struct {
	lists   map[string][]event.Position // by collection and key, joined by a slash
	parked  map[string]parked
	waiting map[event.Position]bool // events that are not applied
	answers []answer
}

// answer is an event that must have been emitted.
type answer struct {
	cause  event.Position
	id     string
	stream string
}

// modelOf handles the log as one instance would, one event at a time.
func modelOf(p *pluginRecord, log []event.Event) *model {
	m := &model{lists: map[string][]event.Position{}, parked: map[string]parked{}, waiting: map[event.Position]bool{}}
	for i := range log {
		e := &log[i]
		if !slices.Contains(p.events, e.Type) {
			continue
		}
		key := e.Stream
		if p.order == "all" {
			key = "all"
		}
		if q, ok := m.parked[key]; ok {
			m.parked[key], m.waiting[e.Position] = parked{q.position, q.waiting + 1}, true
			continue
		}
		if p.gone[e.Position] {
			m.waiting[e.Position] = true
			continue
		}
		if e.Type == "Poison" {
			m.parked[key], m.waiting[e.Position] = parked{e.Position, 1}, true
			continue
		}
		m.enter("ledger", e.Stream, e.Position)
		if e.Type == "Shared" {
			m.enter("shared", fmt.Sprint(e.Version%3), e.Position)
		}
		if e.Type == "Ask" || e.Type == "AskFails" {
			m.answers = append(m.answers, answer{e.Position, emittedID(p.name, e.ID), "echo-" + e.Stream})
		}
	}
	return m
}

func (m *model) enter(collection, key string, p event.Position) {
	name := collection + "/" + key
	m.lists[name] = append(m.lists[name], p)
}

// emittedID is the id of the first event that a plugin emits for another one. It never changes: events that
// are stored would be emitted again.
func emittedID(plugin, cause string) string {
	space := uuid.MustParse("5bd2d8b2-0f52-4f4c-9e63-6b4a3c1c7e11")
	return uuid.NewSHA1(space, fmt.Appendf(nil, "%s\x00%s\x00%d", plugin, cause, 0)).String()
}

// checkLedger compares the lists of positions with the model's, which is of the log up to a position.
func (p *pluginRecord) checkLedger(v verdict, m *model, log []event.Event, upTo event.Position) {
	known := make(map[event.Position]bool, len(log))
	for i := range log {
		known[log[i].Position] = true
	}
	got := map[string][]event.Position{}
	for collection, documents := range p.documents {
		for key, d := range documents {
			name := collection + "/" + key
			if collection != "ledger" && collection != "shared" {
				v.add(torn, "%s: an event that failed has left document %s", p.name, name)
				continue
			}
			var list []event.Position
			if err := json.Unmarshal([]byte(d.data), &list); err != nil || len(list) == 0 {
				v.add(diverged, "%s: document %s is %.200q: %v", p.name, name, d.data, err)
				continue
			}
			got[name] = list
			if last := list[len(list)-1]; !p.inRedis && d.position != last {
				v.add(diverged, "%s: document %s was last written by event %d, and its column says %d", p.name, name, last, d.position)
			}
		}
	}
	names := maps.Clone(m.lists)
	maps.Copy(names, got)
	for _, name := range sortedKeys(names) {
		compareLists(v, p.name+": "+name, got[name], m.lists[name], m.waiting, known, upTo)
	}
}

// compareLists says how a list of applied positions differs from the one it must be.
func compareLists(v verdict, what string, got, want []event.Position, waiting, known map[event.Position]bool, upTo event.Position) {
	if slices.Equal(got, want) {
		return
	}
	due := map[event.Position]bool{}
	for _, p := range want {
		due[p] = true
	}
	seen := map[event.Position]bool{}
	last := event.Position(0)
	for _, p := range got {
		switch {
		case seen[p]:
			v.add(duplicated, "%s: event %d is applied twice", what, p)
		case p > upTo:
			v.add(apart, "%s: event %d is applied, and the checkpoint is %d", what, p, upTo)
		case waiting[p]:
			v.add(disordered, "%s: event %d is applied, which must wait behind a failed one", what, p)
		case !known[p]:
			v.add(invented, "%s: event %d is applied, which is not in the log", what, p)
		case !due[p]:
			v.add(diverged, "%s: event %d is applied, which belongs elsewhere", what, p)
		case p < last:
			v.add(disordered, "%s: event %d is applied after event %d", what, p, last)
		}
		seen[p], last = true, max(last, p)
	}
	for _, p := range want {
		if !seen[p] {
			v.add(lost, "%s: event %d is not applied", what, p)
		}
	}
}

// checkParked compares the parked sequences with the model's.
func (p *pluginRecord) checkParked(v verdict, m *model) {
	keys := maps.Clone(m.parked)
	maps.Copy(keys, p.parked)
	for _, key := range sortedKeys(keys) {
		if got, want := p.parked[key], m.parked[key]; got != want {
			v.add(diverged, "%s: key %s is parked at %d with %d events, must be at %d with %d", p.name, key, got.position, got.waiting, want.position, want.waiting)
		}
	}
}

// checkAnswers holds the log to one answer for each event that asks and was handled, in the order of its key,
// and under an id of its own that a repetition would have too.
func (p *pluginRecord) checkAnswers(v verdict, m *model, log []event.Event) {
	answered := map[event.Position]int{}
	last := map[string]event.Position{}
	want := map[event.Position]answer{}
	for _, a := range m.answers {
		want[a.cause] = a
	}
	for i := range log {
		e := &log[i]
		if e.Type != "Echo" {
			continue
		}
		var data struct{ Position event.Position }
		if err := json.Unmarshal(e.Data, &data); err != nil {
			v.add(diverged, "%s: the answer at %d has data %.200q: %v", p.name, e.Position, e.Data, err)
			continue
		}
		a, due := want[data.Position]
		switch {
		case !due:
			v.add(torn, "%s: event %d is an answer to %d, which was not handled", p.name, e.Position, data.Position)
		case answered[data.Position] > 0:
			v.add(duplicated, "%s: event %d answers %d once more", p.name, e.Position, data.Position)
		case a.id != e.ID || a.stream != e.Stream:
			v.add(diverged, "%s: the answer to %d is %s of %s, must be %s of %s", p.name, data.Position, e.ID, e.Stream, a.id, a.stream)
		case data.Position < last[e.Stream]:
			v.add(disordered, "%s: %d is answered after %d", p.name, data.Position, last[e.Stream])
		}
		answered[data.Position]++
		last[e.Stream] = max(last[e.Stream], data.Position)
	}
	for _, a := range m.answers {
		if answered[a.cause] == 0 {
			v.add(lost, "%s: event %d is not answered", p.name, a.cause)
		}
	}
}

// checkReplay is invariant 5: the documents are those of one instance that handles one event at a time.
func (p *pluginRecord) checkReplay(v verdict) {
	if p.replayed == nil {
		return
	}
	for collection, documents := range p.documents {
		for _, key := range sortedKeys(documents) {
			if got, want := documents[key].data, p.replayed[collection][key]; got != want {
				v.add(diverged, "%s: document %s/%s is %.300s, a replay makes %.300s", p.name, collection, key, got, want)
			}
		}
	}
	for collection, documents := range p.replayed {
		for _, key := range sortedKeys(documents) {
			if _, there := p.documents[collection][key]; !there {
				v.add(diverged, "%s: there is no document %s/%s, a replay makes one", p.name, collection, key)
			}
		}
	}
}

// leaseStep is one change of a generation's row, in the order in which they were made.
type leaseStep struct {
	generation      int64
	at              time.Time // by the database's clock
	oldEpoch, epoch int64
	oldOwner, owner string // ids of hosts; empty: nobody
	oldAt, position event.Position
	session         string // the name of the host whose session made it
}

// hostStep is one change of a host's registration.
type hostStep struct {
	id, name string
	at       time.Time
	expires  time.Time // zero: it was removed
}

// checkLeases is invariant 2 as the database saw it: every change of a checkpoint was made by the owner under
// the epoch it had taken, and nobody took a lease that still held.
func (r *record) checkLeases(v verdict) {
	names := map[string]string{}
	for _, h := range r.hosts {
		if h.name != "" {
			names[h.id] = h.name
		}
		if !h.expires.IsZero() && h.name != "" {
			if off := h.expires.Sub(h.at) - ttl; off.Abs() > time.Second {
				v.add(stale, "host %s holds its leases for %s from %s on, not for %s: by another clock than the database's", h.name, h.expires.Sub(h.at), h.at, ttl)
			}
		}
	}
	inRedis := map[int64]bool{} // what the database has there is a note, which falls when Redis has lost the read model
	for _, p := range r.plugins {
		if p.inRedis {
			inRedis[p.generation] = true
		}
	}
	last := map[int64]leaseStep{}
	for _, s := range r.leases {
		if before, ok := last[s.generation]; ok && (before.epoch != s.oldEpoch || before.position != s.oldAt || before.owner != s.oldOwner) {
			v.add(diverged, "generation %d: a change was not recorded between %+v and %+v", s.generation, before, s)
		}
		last[s.generation] = s
		if s.epoch < s.oldEpoch || s.position < s.oldAt && !inRedis[s.generation] {
			v.add(wentBack, "generation %d: from epoch %d, position %d to epoch %d, position %d", s.generation, s.oldEpoch, s.oldAt, s.epoch, s.position)
		}
		if s.position != s.oldAt {
			switch {
			case s.owner == "":
				v.add(stale, "generation %d was moved to %d by %s while nobody owned it", s.generation, s.position, s.session)
			case s.epoch != s.oldEpoch:
				v.add(stale, "generation %d was moved to %d with a change of its epoch to %d", s.generation, s.position, s.epoch)
			case r.sessions && names[s.owner] != s.session:
				v.add(stale, "generation %d was moved to %d by %s under epoch %d, which is %s's", s.generation, s.position, s.session, s.epoch, names[s.owner])
			}
		}
		if s.owner != s.oldOwner && s.owner != "" {
			r.checkTaking(v, s, names)
		}
	}
}

// checkTaking holds the taking of a lease to the rules: under a new epoch, by the host itself, and not from one
// whose registration still held. A renewal that was not yet visible then is not counted.
func (r *record) checkTaking(v verdict, s leaseStep, names map[string]string) {
	if s.epoch <= s.oldEpoch {
		v.add(stale, "generation %d: %s became the owner under the old epoch %d", s.generation, names[s.owner], s.epoch)
	}
	if r.sessions && names[s.owner] != s.session {
		v.add(stale, "generation %d was given to %s by %s", s.generation, names[s.owner], s.session)
	}
	if s.oldOwner == "" {
		return
	}
	var held hostStep
	for _, h := range r.hosts {
		if h.id == s.oldOwner && (h.at.Before(s.at.Add(-time.Second)) || h.expires.IsZero() && h.at.Before(s.at)) {
			held = h
		}
	}
	if held.expires.After(s.at.Add(time.Second / 10)) {
		v.add(stale, "generation %d: %s took the lease of %s, which held for another %s", s.generation, names[s.owner], names[s.oldOwner], held.expires.Sub(s.at))
	}
}
