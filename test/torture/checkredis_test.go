package torture

import (
	"fmt"
	"slices"
	"time"

	"eshost/host/event"
)

// checkRedis holds a read model in Redis to the log: as readers saw it at any moment of the run, and as the hosts serve it
// in the end.
func (p *pluginRecord) checkRedis(v verdict, log []event.Event) {
	p.checkSeen(v, log)
	for _, host := range sortedKeys(p.served) {
		p.checkServed(v, host, p.served[host])
	}
	for _, c := range p.strays {
		v.add(diverged, "%s: collection %s is in the database, and its read model is in Redis", p.name, c)
	}
}

// checkSeen holds each snapshot to the log up to its checkpoint, and to the one before.
func (p *pluginRecord) checkSeen(v verdict, log []event.Event) {
	const few = 10 // snapshots that are wrong: each may be so in a hundred documents
	history := redisHistory{ended: map[string]bool{}}
	whole, wrong := 0, 0
	for i := range p.seen {
		s := &p.seen[i]
		if len(s.meta) == 0 {
			continue // readers are told that there is none
		}
		whole++
		one := verdict{}
		q := *p
		q.name = fmt.Sprintf("%s in Redis after %s, at %d", p.name, s.at.Round(time.Millisecond), s.position())
		q.checkMeta(one, s)
		history.check(one, q.name, s)
		q.checkSnapshot(one, s, log)
		for k, examples := range one {
			v[k] = append(v[k], examples...)
		}
		if !one.flawless() {
			wrong++
		}
		if wrong == few {
			return
		}
	}
	if whole == 0 {
		v.add(stuck, "%s: nobody has ever seen it in Redis", p.name)
	}
}

// checkMeta holds what the snapshot says of itself to what is in it.
func (p *pluginRecord) checkMeta(v verdict, s *redisSnapshot) {
	switch state := s.meta["state"]; {
	case state != "ready" && state != "rebuilding":
		v.add(diverged, "%s: its state is %q", p.name, state)
	case state == "ready" && s.number("position") < s.number("head"):
		v.add(diverged, "%s: it says that it is ready, and the log had %d when it was begun", p.name, s.number("head"))
	}
	documents, waiting := 0, 0
	for _, c := range bookCollections {
		there := sortedKeys(s.documents[c])
		documents += len(there)
		if !slices.Equal(s.index[c], there) {
			v.add(diverged, "%s: the index of collection %s has %d keys, which are not those of its %d documents", p.name, c, len(s.index[c]), len(there))
		}
		if said := s.counts[c]; said != fmt.Sprint(len(there)) && !(said == "" && len(there) == 0) {
			v.add(diverged, "%s: collection %s has %d documents, and is said to have %q", p.name, c, len(there), said)
		}
	}
	for _, q := range s.waiting {
		waiting += len(q)
	}
	for field, n := range map[string]int{"documents": documents, "sequences": len(s.sequences), "waiting": waiting} {
		if s.number(field) != int64(n) {
			v.add(diverged, "%s: it says %s %s, and there are %d", p.name, field, s.meta[field], n)
		}
	}
}

// redisHistory is what the snapshots so far say of who writes.
type redisHistory struct {
	last  *redisSnapshot
	ended map[string]bool // sessions
}

// check holds a snapshot to the one before: a session goes forward and does not come back, and epochs only grow.
func (h *redisHistory) check(v verdict, name string, s *redisSnapshot) {
	before, session := h.last, s.meta["session"]
	h.last = s
	if before == nil {
		return
	}
	if s.number("epoch") < before.number("epoch") {
		v.add(stale, "%s: it is of epoch %d, and was of %d before", name, s.number("epoch"), before.number("epoch"))
	}
	if was := before.meta["session"]; was != session {
		h.ended[was] = true
		if h.ended[session] {
			v.add(stale, "%s: session %s has ended before", name, session)
		}
		return
	}
	if s.position() < before.position() || s.number("serial") < before.number("serial") {
		v.add(wentBack, "%s: commit %d of session %s is at %d, and commit %d before it was at %d", name, s.number("serial"), session,
			s.position(), before.number("serial"), before.position())
	}
	if before.meta["state"] == "ready" && s.meta["state"] != "ready" {
		v.add(wentBack, "%s: it was ready, and is %s in the same session", name, s.meta["state"])
	}
}

// checkSnapshot holds documents and waiting events to the log up to the checkpoint that was read with them.
func (p *pluginRecord) checkSnapshot(v verdict, s *redisSnapshot, log []event.Event) {
	end, _ := slices.BinarySearchFunc(log, s.position()+1, func(e event.Event, at event.Position) int { return int(e.Position - at) })
	q := pluginRecord{pluginSpec: p.pluginSpec, documents: s.documents, gone: map[event.Position]bool{}}
	for _, waiting := range s.waiting {
		for _, at := range waiting {
			q.gone[at] = true
		}
	}
	m := modelOf(&q, log[:end])
	for _, key := range sortedKeys(m.parked) {
		v.add(disordered, "%s: event %d of %s cannot be handled, and does not wait", p.name, m.parked[key].position, key)
	}
	q.checkLedger(v, m, log, s.position())
	p.checkWaiting(v, s, log[:end])
}

// checkWaiting holds the sequences of a snapshot to the log: all events of the key wait from the first one on, and that
// one has failed as its type does, or waits for its turn.
func (p *pluginRecord) checkWaiting(v verdict, s *redisSnapshot, log []event.Event) {
	due := map[string][]event.Position{}
	failing := []string{"FailsOnce", "FailsTwice", "TrapsOnce", "Poison"}
	for i := range log {
		e := &log[i]
		q, ok := s.sequences[e.Stream]
		if !ok || e.Position < q.Position || !slices.Contains(p.events, e.Type) {
			continue
		}
		if e.Position == q.Position && q.Kind != "" && !slices.Contains(failing, e.Type) {
			v.add(diverged, "%s: event %d is said to have failed (%s), and is a %s", p.name, e.Position, q.Kind, e.Type)
		}
		due[e.Stream] = append(due[e.Stream], e.Position)
	}
	keys := map[string]bool{}
	for key := range s.sequences {
		keys[key] = true
	}
	for key := range s.waiting {
		keys[key] = true
	}
	for _, key := range sortedKeys(keys) {
		if !slices.Equal(s.waiting[key], due[key]) {
			v.add(diverged, "%s: events %v of %s wait, must be %v", p.name, s.waiting[key], key, due[key])
		}
	}
}

// checkServed compares what a host serves with what is in Redis.
func (p *pluginRecord) checkServed(v verdict, host string, served map[string]map[string]string) {
	for collection, documents := range served {
		for _, key := range sortedKeys(documents) {
			if got, want := documents[key], p.documents[collection][key].data; got != want {
				v.add(diverged, "%s: %s serves %.300s as document %s/%s, in Redis is %.300s", p.name, host, got, collection, key, want)
			}
		}
	}
	for collection, documents := range p.documents {
		for _, key := range sortedKeys(documents) {
			if _, there := served[collection][key]; !there {
				v.add(diverged, "%s: %s does not serve document %s/%s, which is in Redis", p.name, host, collection, key)
			}
		}
	}
}
