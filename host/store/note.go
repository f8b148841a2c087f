package store

import "eshost/host/event"

// Note is the checkpoint of a generation whose read model is kept outside of the database, which is told of it.
type Note struct {
	Generation int64
	Epoch      int64
	Owner      string // the host that has the lease
	// Position may be below the one before: such a read model can be lost and is built anew then.
	Position event.Position
	// Digest is of the module that made it; empty leaves the record as it is.
	Digest string
}

// Origin is where a generation began.
type Origin struct {
	// Start is the position after which it did.
	Start event.Position
	// Elsewhere says that its documents are not in the database: a checkpoint was noted.
	Elsewhere bool
}
