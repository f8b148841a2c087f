package delivery

import (
	"bytes"
	"context"

	"eshost/host/event"
)

// Get returns a document as the event sees it.
func (l *lane) Get(ctx context.Context, collection, key []byte) ([]byte, bool, error) {
	if err := l.reach.Document(collection, key); err != nil {
		return nil, false, l.tooFar(err)
	}
	l.learn(collection, key)
	d := l.look(collection, key)
	if w := l.writes.find(d.id); w != nil {
		return w.value, w.value != nil, nil
	}
	if d.slot != nil {
		return d.slot.value, d.slot.exists, nil
	}
	known, err := l.cache.get(ctx, d.id)
	if err != nil {
		return nil, false, l.trouble(err)
	}
	d.name = known.id
	if !l.bounds.alone {
		d.slot = l.keep(known.id)
		d.slot.value, d.slot.exists = known.value, known.exists
		l.size += len(known.value)
	}
	return known.value, known.exists, nil
}

// looked is the document that the event asked for last. Handlers read what they are about to write.
type looked struct {
	id, other []byte
	name      string // the id as a string, if there is one already
	slot      *slot  // the lane's, nil if it has none
}

// look finds what the lane knows of a document.
func (l *lane) look(collection, key []byte) *looked {
	d := &l.last
	d.other = appendID(d.other[:0], collection, key)
	if !bytes.Equal(d.other, d.id) {
		d.id, d.other = d.other, d.id
		d.slot, d.name = l.overlay[string(d.id)], ""
		if d.slot != nil {
			d.name = d.slot.id
		}
	}
	return d
}

// Set writes a document.
func (l *lane) Set(collection, key, value []byte) error {
	if err := l.reach.Document(collection, key); err != nil {
		return l.tooFar(err)
	}
	l.write(collection, key, append(make([]byte, 0, len(value)), value...))
	return nil
}

// Delete removes a document, if there is one.
func (l *lane) Delete(collection, key []byte) error {
	if err := l.reach.Document(collection, key); err != nil {
		return l.tooFar(err)
	}
	l.write(collection, key, nil)
	return nil
}

func (l *lane) write(collection, key, value []byte) {
	d := l.look(collection, key)
	if w := l.writes.find(d.id); w != nil {
		w.value = value
		return
	}
	if d.name == "" {
		d.name = string(d.id)
	}
	l.writes.add(write{id: d.name, value: value, slot: d.slot})
	l.touch(d.name)
}

// Emit takes an event to be appended with the checkpoint. Its ID is the same whenever the event is
// handled again, so that a repetition makes no second one.
func (l *lane) Emit(e event.Emitted) error {
	if l.current.Position <= l.o.HeldUntil {
		return nil
	}
	e.Cause = l.current.Position
	l.emits = append(l.emits, e)
	return nil
}

// trouble remembers an error that is not the event's, so that the guest cannot turn it into one.
func (l *lane) trouble(err error) error {
	if l.hostErr == nil {
		l.hostErr = err
	}
	return err
}

// tooFar remembers that the event has reached too far, so that the guest cannot turn it into anything else.
func (l *lane) tooFar(err error) error {
	if l.beyond == nil {
		l.beyond = err
	}
	return err
}
