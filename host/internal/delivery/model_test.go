package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// model is the contract: one instance handling one event at a time in position order, except that
// events behind a failed one of their key wait. It follows a store's commits and says what each of
// them had to change.
type model struct {
	t      testing.TB
	log    *fakeLog
	filter event.Filter

	position  event.Position
	docs      map[string][]byte
	sequences map[string]*modelSequence
	handled   map[event.Position]int // how often an event has been applied
	requests  []store.Request
	edits     map[event.Position][]byte
	skipped   map[event.Position]bool
	paused    bool // by a person
}

type modelSequence struct {
	store.Sequence
	queue   []event.Position
	longest time.Duration // backoff of whoever said when it is tried next
}

// way is how one commit's runner was set up.
type way struct {
	Options
	script *script
}

func newModel(t testing.TB, log *fakeLog, f event.Filter) *model {
	return &model{t: t, log: log, filter: f, docs: make(map[string][]byte), sequences: make(map[string]*modelSequence), handled: make(map[event.Position]int),
		edits: make(map[event.Position][]byte), skipped: make(map[event.Position]bool)}
}

// changes is what a commit writes, and what the model says that it must write.
type changes struct {
	documents map[string]event.DocumentWrite
	emitted   []event.Emitted
	queue     []store.QueuedEvent
	dequeue   []store.QueuedEvent
	sequences map[string]store.Sequence
}

func newChanges() *changes {
	return &changes{documents: make(map[string]event.DocumentWrite), sequences: make(map[string]store.Sequence)}
}

// follow checks one commit and takes the step itself.
func (m *model) follow(c *applied, w *way) {
	m.t.Helper()
	if c.Expected != m.position {
		m.t.Fatalf("commit %d to %d begins elsewhere than the last one ended, %d", c.Expected, c.Position, m.position)
	}
	want, waiting := newChanges(), m.waiting()
	if m.paused && len(c.Answers) == 0 && len(c.Queue)+len(c.Dequeue)+len(c.Documents)+len(c.Sequences)+len(c.Emitted)+int(c.Position-c.Expected) > 0 {
		m.t.Errorf("commit %d to %d by %s, but the plugin is paused", c.Expected, c.Position, c.host)
	}
	switch {
	case len(c.Answers) > 0:
		m.request(c, w, want)
	case c.Position == c.Expected && len(c.Queue) > 0:
		m.rekey(c, w, want)
	case c.Position == c.Expected && len(c.Sequences) > 0:
		m.retry(c, w, want)
	default:
		m.batch(c, w, want)
		if waiting >= w.MaxParked || m.waiting() > w.MaxParked {
			m.t.Errorf("commit %d to %d: %d events waited and now %d, %d may", c.Expected, c.Position, waiting, m.waiting(), w.MaxParked)
		}
	}
	m.position = c.Position
	m.compare(c, want)
}

func (m *model) waiting() (n int) {
	for _, q := range m.sequences {
		n += len(q.queue)
	}
	return n
}

func (m *model) batch(c *applied, w *way, want *changes) {
	behind := make(map[string]event.Position) // what already waits, by its key of today
	for _, q := range m.sequences {
		for _, p := range q.queue {
			behind[w.Order(m.log.at(p))] = p
		}
	}
	for _, e := range m.log.between(c.Expected, c.Position, m.filter) {
		key := w.Order(&e)
		q := m.sequences[key]
		if p := behind[key]; p != 0 && q == nil {
			m.t.Errorf("event %d overtakes event %d of the same key %q", e.Position, p, key)
		}
		if q == nil {
			failure := m.handle(&e, 1, w, want)
			if failure == nil {
				continue
			}
			q = &modelSequence{Sequence: store.Sequence{Key: key}}
			m.sequences[key] = q
			m.fail(q, &e, failure, w, want)
		}
		q.queue = append(q.queue, e.Position)
		want.queue = append(want.queue, store.QueuedEvent{Key: key, Position: e.Position})
	}
}

// retry follows a commit that goes on with one sequence: as many events as it took from the queue,
// and the one that failed after them if it says so.
func (m *model) retry(c *applied, w *way, want *changes) {
	key := c.Sequences[0].Key
	q := m.sequences[key]
	if q == nil {
		m.t.Fatalf("%q is retried, but it is no sequence", key)
	}
	if q.Digest == digestOf(w.script.version) {
		if q.State == store.Parked {
			m.t.Errorf("sequence %q is parked, but is retried by the same module", key)
		}
		// A host with a shorter longest backoff waits no longer than that.
		if c.began.Add(time.Microsecond).Before(q.NextAttempt) && w.MaxBackoff >= q.longest {
			m.t.Errorf("sequence %q is retried %v early", key, q.NextAttempt.Sub(c.began))
		}
	} else {
		q.Attempts = 0
	}
	for n := 0; len(q.queue) > 0; n++ {
		if n == len(c.Dequeue) && c.Sequences[0].Kind == "" && n > 0 {
			q.Position, q.Attempts, q.State, q.Digest = q.queue[0], 0, store.Retrying, digestOf(w.script.version)
			q.Kind, q.Error, q.Stack, q.NextAttempt = "", "", "", c.Sequences[0].NextAttempt
			want.sequences[key] = q.Sequence
			return
		}
		e := m.log.at(q.queue[0])
		if q.Position != e.Position {
			q.Position, q.Attempts = e.Position, 0
		}
		if failure := m.handle(e, q.Attempts+1, w, want); failure != nil {
			m.fail(q, e, failure, w, want)
			return
		}
		q.queue = q.queue[1:]
		want.dequeue = append(want.dequeue, store.QueuedEvent{Key: key, Position: e.Position})
	}
	delete(m.sequences, key)
	want.sequences[key] = store.Sequence{Key: key}
}

// rekey follows a commit that puts waiting events under the keys that order_by says today.
func (m *model) rekey(c *applied, w *way, want *changes) {
	waiting := make(map[event.Position]string)
	for key, q := range m.sequences {
		for _, p := range q.queue {
			waiting[p] = key
		}
	}
	now := make(map[string]*modelSequence)
	for _, p := range slices.Sorted(maps.Keys(waiting)) {
		key := w.Order(m.log.at(p))
		if now[key] == nil {
			now[key] = &modelSequence{Sequence: store.Sequence{Key: key, Position: p, State: store.Retrying}}
		}
		now[key].queue = append(now[key].queue, p)
		if key != waiting[p] {
			want.dequeue = append(want.dequeue, store.QueuedEvent{Key: waiting[p], Position: p})
			want.queue = append(want.queue, store.QueuedEvent{Key: key, Position: p})
		}
	}
	for key := range m.sequences {
		want.sequences[key] = store.Sequence{Key: key}
	}
	for key, q := range now {
		i := slices.IndexFunc(c.Sequences, func(s store.Sequence) bool { return s.Key == key })
		if i < 0 {
			m.t.Fatalf("events %v wait under %q, but there is no such sequence", q.queue, key)
		}
		q.Since, q.NextAttempt, q.Digest = c.Sequences[i].Since, c.Sequences[i].NextAttempt, c.Sequences[i].Digest
		q.Kind, q.Error, q.Stack = c.Sequences[i].Kind, c.Sequences[i].Error, c.Sequences[i].Stack
		want.sequences[key] = q.Sequence
	}
	m.sequences = now
}

// handle runs the script on the model's documents.
func (m *model) handle(e *event.Event, attempt int, w *way, want *changes) *event.Failure {
	if data, ok := m.edits[e.Position]; ok {
		other := *e
		other.Data = data
		e = &other
	}
	fx := &modelEffects{m: m, e: e, writes: make(map[string][]byte), reach: w.reach(w.Order(e))}
	err := w.script.handle(m.t.Context(), e, attempt, fx)
	var failure *event.Failure
	if fx.beyond != nil && !(errors.As(err, &failure) && failure.Kind == event.FailPartition) {
		err = fx.beyond // whatever the handler makes of it, unless it has reached too far once more
	}
	switch {
	case errors.As(err, &failure):
		return failure
	case err != nil:
		m.t.Fatalf("the model's script: %v", err)
	}
	if refused := m.log.refusesEver(fx.emitted); refused != nil {
		return &event.Failure{Kind: event.FailReject, Message: "the store refuses"}
	}
	for id, value := range fx.writes {
		if value == nil {
			delete(m.docs, id)
		} else {
			m.docs[id] = value
		}
		k := splitID(id)
		want.documents[id] = event.DocumentWrite{Collection: k.Collection, Key: k.Key, Data: value, Position: e.Position}
	}
	want.emitted = append(want.emitted, fx.emitted...)
	m.handled[e.Position]++
	return nil
}

func (m *model) fail(q *modelSequence, e *event.Event, f *event.Failure, w *way, want *changes) {
	q.Position, q.longest = e.Position, w.MaxBackoff
	q.Attempts++
	q.Kind, q.Error, q.Stack, q.Digest = f.Kind, f.Message, f.Stack, digestOf(w.script.version)
	q.State = store.Retrying
	if f.Final() || q.Attempts >= w.Attempts {
		q.State = store.Parked
	}
	want.sequences[q.Key] = q.Sequence
}

// compare reports every difference between what was committed and what had to be.
func (m *model) compare(c *applied, want *changes) {
	m.t.Helper()
	got := newChanges()
	for _, d := range c.Documents {
		got.documents[d.Collection+"\x00"+d.Key] = d
	}
	diff := func(what string, got, want any) {
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
			m.t.Errorf("commit %d to %d by %s: %s are\n  %s\nmust be\n  %s", c.Expected, c.Position, c.host, what, g, w)
		}
	}
	diff("documents", printable(got.documents), printable(want.documents))
	diff("emitted events", c.Emitted, want.emitted)
	diff("queued events", byPosition(c.Queue), byPosition(want.queue))
	diff("dequeued events", byPosition(c.Dequeue), byPosition(want.dequeue))
	for i := range c.Sequences {
		q := c.Sequences[i]
		if w, ok := want.sequences[q.Key]; ok && q.State != "" && m.sequences[q.Key] != nil {
			m.checkTimes(c, &q, w.Kind != "")
			m.sequences[q.Key].NextAttempt, m.sequences[q.Key].Since = q.NextAttempt, q.Since
			w.NextAttempt, w.Since = q.NextAttempt, q.Since
			if strings.HasPrefix(w.Error, "the store refuses") && strings.HasPrefix(q.Error, "the store refuses") {
				w.Error = q.Error
				m.sequences[q.Key].Error = q.Error
			}
			want.sequences[q.Key] = w
		}
		q.Waiting = 0
		if q.State == "" {
			q = store.Sequence{Key: q.Key}
		}
		got.sequences[q.Key] = q
	}
	diff("sequences", got.sequences, want.sequences)
}

// checkTimes checks what of a sequence depends on the clock.
func (m *model) checkTimes(c *applied, q *store.Sequence, failed bool) {
	w := m.sequences[q.Key]
	if !w.Since.IsZero() && !q.Since.Truncate(time.Microsecond).Equal(w.Since.Truncate(time.Microsecond)) {
		m.t.Errorf("sequence %q began at %v, now at %v", q.Key, w.Since, q.Since)
	}
	if late := q.NextAttempt.Sub(c.began); q.State == store.Retrying && late > 30*time.Second {
		m.t.Errorf("sequence %q is retried only after %v", q.Key, late)
	}
}

func byPosition(q []store.QueuedEvent) []store.QueuedEvent {
	return slices.SortedFunc(slices.Values(q), func(a, b store.QueuedEvent) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Key, b.Key))
	})
}

func printable(docs map[string]event.DocumentWrite) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(docs)) {
		out = append(out, fmt.Sprintf("%q=%s@%d", id, docs[id].Data, docs[id].Position))
	}
	return out
}

// modelEffects are one event's effects on a model.
type modelEffects struct {
	m       *model
	e       *event.Event
	writes  map[string][]byte
	emitted []event.Emitted
	reach   event.Reach
	beyond  error // what it did that it may not
}

func (f *modelEffects) check(err error) error {
	if f.beyond == nil {
		f.beyond = err
	}
	return err
}

func (f *modelEffects) Get(_ context.Context, collection, key []byte) ([]byte, bool, error) {
	if err := f.check(f.reach.Document(collection, key)); err != nil {
		return nil, false, err
	}
	id := string(collection) + "\x00" + string(key)
	value, ok := f.writes[id]
	if !ok {
		value = f.m.docs[id]
	}
	return value, value != nil, nil
}

func (f *modelEffects) Set(collection, key, value []byte) error {
	f.writes[string(collection)+"\x00"+string(key)] = slices.Clone(value)
	return f.check(f.reach.Document(collection, key))
}

func (f *modelEffects) Delete(collection, key []byte) error {
	f.writes[string(collection)+"\x00"+string(key)] = nil
	return f.check(f.reach.Document(collection, key))
}

func (f *modelEffects) Scan(_ context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error) {
	if err := f.check(f.reach.Scan(collection, prefix)); err != nil {
		return nil, err
	}
	seen := maps.Clone(f.m.docs)
	maps.Copy(seen, f.writes)
	var docs []event.Document
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		k := splitID(id)
		if seen[id] != nil && k.Collection == string(collection) && strings.HasPrefix(k.Key, string(prefix)) && k.Key > string(after) && len(docs) < limit {
			docs = append(docs, event.Document{Collection: k.Collection, Key: k.Key, Data: seen[id]})
		}
	}
	return docs, nil
}

func (f *modelEffects) Emit(e event.Emitted) error {
	e.Cause = f.e.Position
	e.ID = emittedID(f.e.ID, len(f.emitted))
	f.emitted = append(f.emitted, e)
	return nil
}
