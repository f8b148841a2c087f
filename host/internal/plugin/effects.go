package plugin

import (
	"context"

	"eshost/host/event"
)

// Effects is what a handler can do to the world. The []byte arguments are views of the guest's memory, valid only
// during the call; what is returned is only read, and must stay unchanged until Handle returns. An error stops the guest at
// once and is what Handle returns.
//
// Names, values and quotas have been checked when a method is called.
type Effects interface {
	// Get returns a document as the handler must see it, its own writes included.
	Get(ctx context.Context, collection, key []byte) (value []byte, ok bool, err error)
	Set(collection, key, value []byte) error
	Delete(collection, key []byte) error
	// Scan returns at most limit documents whose keys begin with prefix and are greater than after, in byte order.
	Scan(ctx context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error)
	// Emit takes an event to append, with Cause, ID and the chain's metadata set. It owns e's bytes.
	Emit(e event.Emitted) error
}
