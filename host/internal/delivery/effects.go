package delivery

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"eshost/host/event"
)

// Get returns a document as the event sees it.
func (l *lane) Get(ctx context.Context, collection, key []byte) ([]byte, bool, error) {
	l.scratch = appendID(l.scratch[:0], collection, key)
	l.learn(collection, key)
	if w := l.writes.find(l.scratch); w != nil {
		return w.value, w.value != nil, nil
	}
	if s := l.overlay[string(l.scratch)]; s != nil {
		return s.value, s.exists, nil
	}
	value, exists, err := l.cache.get(ctx, l.scratch)
	if err != nil {
		return nil, false, l.trouble(err)
	}
	if !l.bounds.alone {
		s := l.keep(string(l.scratch))
		s.value, s.exists = value, exists
		l.size += len(value)
	}
	return value, exists, nil
}

// Set writes a document.
func (l *lane) Set(collection, key, value []byte) error {
	l.write(collection, key, append(make([]byte, 0, len(value)), value...))
	return nil
}

// Delete removes a document, if there is one.
func (l *lane) Delete(collection, key []byte) error {
	l.write(collection, key, nil)
	return nil
}

func (l *lane) write(collection, key, value []byte) {
	l.scratch = appendID(l.scratch[:0], collection, key)
	if w := l.writes.find(l.scratch); w != nil {
		w.value = value
		return
	}
	var id string
	if s := l.overlay[string(l.scratch)]; s != nil {
		id = s.id
	} else {
		id = string(l.scratch)
	}
	l.writes.add(id, value)
	l.touch(id)
}

// Emit takes an event to be appended with the checkpoint.
func (l *lane) Emit(e event.Emitted) error {
	e.Cause = l.current.Position
	e.ID = emittedID(l.o.Plugin, l.current.ID, len(l.emits))
	l.emits = append(l.emits, e)
	return nil
}

// emittedID is the same whenever the same plugin handles the same event, so that a repetition makes
// no second event.
func emittedID(plugin, cause string, index int) string {
	return uuid.NewSHA1(emittedSpace, fmt.Appendf(nil, "%s\x00%s\x00%d", plugin, cause, index)).String()
}

// emittedSpace is the name space (RFC 9562, version 5) of emitted events' ids.
var emittedSpace = uuid.MustParse("5bd2d8b2-0f52-4f4c-9e63-6b4a3c1c7e11")

// trouble remembers an error that is not the event's, so that the guest cannot turn it into one.
func (l *lane) trouble(err error) error {
	if l.hostErr == nil {
		l.hostErr = err
	}
	return err
}
