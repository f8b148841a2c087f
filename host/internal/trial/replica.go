package trial

import (
	"context"

	"eshost/host/event"
)

// Replica is a read model that is made one event at a time, by the rules of Run. It keeps the documents and nothing of
// the events. One goroutine uses it at a time.
type Replica struct{ w *world }

// Name names a document.
type Name struct{ Collection, Key string }

// NewReplica returns one without documents. Close it.
func NewReplica(m Module, o Options) *Replica { return &Replica{newWorld(m, o, nil)} }

// Handle brings one event to its end. Its error is not the event's.
func (r *Replica) Handle(ctx context.Context, e *event.Event) (Outcome, error) {
	r.w.emitted = r.w.emitted[:0]
	return r.w.handle(ctx, e)
}

// Wrote lists the documents that the last event wrote or deleted, some maybe twice.
func (r *Replica) Wrote() []Name {
	names := make([]Name, len(r.w.wrote))
	for i, c := range r.w.wrote {
		names[i] = Name{c.collection, c.key}
	}
	return names
}

// Get returns a document. Nobody may change it.
func (r *Replica) Get(n Name) (value []byte, ok bool) { return r.w.docs.get(n.Collection, n.Key) }

// Emitted is what the last event emitted, in words, each event as a whole.
func (r *Replica) Emitted() []string {
	var all []string
	for i := range r.w.emitted {
		all = append(all, shown(r.w.emitted, i))
	}
	return all
}

// Size is how many documents there are.
func (r *Replica) Size() int {
	n := 0
	for _, c := range r.w.docs.collections {
		n += len(c.values)
	}
	return n
}

// Documents lists every document by collection and key, in byte order.
func (r *Replica) Documents() []event.Document { return r.w.docs.all() }

// Close gives the instances up.
func (r *Replica) Close() { r.w.close() }

// Ending is how an event ended, in words. The text of a failure is not in it.
func (o *Outcome) Ending() string { return ending(o) }
