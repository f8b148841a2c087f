package torture

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"eshost/host/event"
)

// soundRedis is a record in which nothing is wrong, of a plugin whose read model is in Redis. It was begun, handled five
// events, was lost, and was built anew by another host.
func soundRedis() *record {
	r := sound()
	spec := pluginSpec{name: "c", module: "book", order: "stream", events: []string{"Noted", "Shared", "Poison"}, inRedis: true}
	first := redisSight("one", 1, 3, 1, 2, map[string]string{"ledger/a": "[1]"}, nil)
	second := redisSight("one", 2, 3, 5, 2, map[string]string{"ledger/a": "[1,2]", "shared/2": "[2]"}, map[string][]event.Position{"b": {4, 5}})
	last := redisSight("two", 1, 4, 8, 8, map[string]string{"ledger/a": "[1,2]", "shared/2": "[2]"}, map[string][]event.Position{"b": {4, 5}, "c": {7, 8}})
	texts := func() map[string]map[string]string {
		return map[string]map[string]string{"ledger": {"a": "[1,2]"}, "shared": {"2": "[2]"}}
	}
	r.plugins = append(r.plugins, pluginRecord{
		pluginSpec: spec, generation: 1, documents: last.documents, replayed: texts(),
		parked: map[string]parked{"b": {4, 2}, "c": {7, 2}},
		seen:   []redisSnapshot{first, second, {}, last},
		served: map[string]map[string]map[string]string{"h1": texts(), "h2": texts()},
	})
	return r
}

// redisSight is what a reader sees: a commit of a session, the documents by collection and key, and what waits.
func redisSight(session string, serial, epoch int, at, head event.Position, documents map[string]string, waiting map[string][]event.Position) redisSnapshot {
	s := redisSnapshot{documents: map[string]map[string]document{}, counts: map[string]string{}, index: map[string][]string{},
		sequences: map[string]redisSequence{}, waiting: waiting}
	for _, c := range bookCollections {
		s.documents[c] = map[string]document{}
	}
	for name, data := range documents {
		collection, key, _ := strings.Cut(name, "/")
		s.documents[collection][key] = document{data: data}
	}
	for _, c := range bookCollections {
		if s.index[c] = sortedKeys(s.documents[c]); len(s.index[c]) > 0 {
			s.counts[c] = fmt.Sprint(len(s.index[c]))
		}
	}
	n := 0
	for key, events := range waiting {
		s.sequences[key] = redisSequence{"parked", events[0], "reject"}
		n += len(events)
	}
	state := "rebuilding"
	if at >= head {
		state = "ready"
	}
	s.meta = map[string]string{"state": state, "session": session}
	for field, n := range map[string]int{"serial": serial, "epoch": epoch, "position": int(at), "head": int(head), "documents": len(documents),
		"sequences": len(waiting), "waiting": n} {
		s.meta[field] = fmt.Sprint(n)
	}
	return s
}

// TestCheckerFindsInRedis plants each kind of fault in what readers saw in Redis, and in what hosts serve.
func TestCheckerFindsInRedis(t *testing.T) {
	t.Parallel()
	if v := soundRedis().check(); !v.flawless() {
		t.Fatalf("the sound record is found to be wrong: %s", v)
	}
	const first, second, last = 0, 1, 3
	write := func(i int, collection, key, data string) func(*pluginRecord) {
		return func(p *pluginRecord) { p.seen[i].documents[collection][key] = document{data: data} }
	}
	meta := func(i int, field, value string) func(*pluginRecord) {
		return func(p *pluginRecord) { p.seen[i].meta[field] = value }
	}
	for _, c := range []struct {
		name  string
		plant func(*pluginRecord)
		want  []kind
	}{
		{"an event is not applied", write(second, "ledger", "a", "[1]"), []kind{lost}},
		{"a document is lost", func(p *pluginRecord) { delete(p.seen[second].documents["shared"], "2") }, []kind{lost, diverged}},
		{"an event is applied twice", write(second, "ledger", "a", "[1,2,2]"), []kind{duplicated}},
		{"two events are turned round", write(second, "ledger", "a", "[2,1]"), []kind{disordered}},
		{"documents are written without the checkpoint", write(first, "ledger", "a", "[1,2]"), []kind{apart}},
		{"the checkpoint is written without the documents", meta(first, "position", "2"), []kind{lost}},
		{"an event that waits is applied", write(second, "ledger", "b", "[5]"), []kind{disordered}},
		{"an event that it does not want is applied", write(last, "ledger", "a", "[1,2,6]"), []kind{diverged}},
		{"a failed event leaves a document", write(second, "junk", "b", "true"), []kind{torn}},
		{"a failed event does not wait", func(p *pluginRecord) { p.seen[second].waiting["b"] = []event.Position{5} }, []kind{disordered, diverged}},
		{"what follows a failed event does not wait", func(p *pluginRecord) { p.seen[second].waiting["b"] = []event.Position{4} }, []kind{diverged}},
		{"an event that cannot fail has failed", func(p *pluginRecord) {
			p.seen[second].sequences["a"] = redisSequence{"retrying", 2, "retry"}
			p.seen[second].waiting["a"] = []event.Position{2}
		}, []kind{diverged}},
		{"it is ready too early", meta(first, "state", "ready"), []kind{diverged}},
		{"it is said to be rebuilt for longer than it is", meta(second, "state", "rebuilding"), nil},
		{"a commit is left half applied", meta(second, "state", "broken"), []kind{diverged}},
		{"the number of documents is wrong", meta(second, "documents", "3"), []kind{diverged}},
		{"the index lacks a key", func(p *pluginRecord) { p.seen[second].index["ledger"] = nil }, []kind{diverged}},
		{"a session goes back", meta(second, "serial", "0"), []kind{wentBack}},
		{"an epoch falls", meta(last, "epoch", "2"), []kind{stale}},
		{"a session that has ended writes again", func(p *pluginRecord) {
			again := p.seen[last]
			again.meta = maps.Clone(again.meta)
			again.meta["session"] = "one"
			p.seen = append(p.seen, again)
		}, []kind{stale}},
		{"it is ready and then is not, in one session", func(p *pluginRecord) {
			again := p.seen[last]
			again.meta = maps.Clone(again.meta)
			again.meta["state"] = "rebuilding"
			p.seen = append(p.seen, again)
		}, []kind{wentBack}},
		{"nobody has ever seen it", func(p *pluginRecord) { p.seen = nil }, []kind{stuck}},
		{"a host serves another document", func(p *pluginRecord) { p.served["h2"]["ledger"]["a"] = "[1]" }, []kind{diverged}},
		{"a host does not serve a document", func(p *pluginRecord) { delete(p.served["h2"]["shared"], "2") }, []kind{diverged}},
		{"a host serves a document that is not there", func(p *pluginRecord) { p.served["h1"]["ledger"]["z"] = "[1]" }, []kind{diverged}},
		{"it is in the database too", func(p *pluginRecord) { p.strays = []string{"ledger"} }, []kind{diverged}},
	} {
		r := soundRedis()
		c.plant(&r.plugins[1])
		v := r.check()
		for _, k := range c.want {
			if !slices.Contains(v.kinds(), k) {
				t.Errorf("%s: the checker does not find %q, but %s", c.name, k, strings.Join(strings.Fields(v.String()), " "))
			}
		}
		if c.want == nil && !v.flawless() {
			t.Errorf("%s, which is all right: the checker finds %s", c.name, v)
		}
	}
}

// TestNotedCheckpointsFall: what the database notes of a read model in Redis falls when that is begun anew.
func TestNotedCheckpointsFall(t *testing.T) {
	t.Parallel()
	r := soundRedis()
	r.leases[3].position = 2
	r.leases[4].oldAt, r.leases[4].position = 2, 2
	if v := r.check(); !v.flawless() {
		t.Errorf("the checker finds %s", v)
	}
}
