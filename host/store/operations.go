package store

import (
	"time"

	"eshost/host/event"
)

// Reload is a module that took over a plugin, or was refused.
type Reload struct {
	ID       int64
	Plugin   string
	Digest   string         // empty if the file could not be read
	Position event.Position // the checkpoint it took over at, or that the one before had
	Refused  string         // why; empty if it took over
	Host     string         // the host's name
	At       time.Time      // by the database's clock. Set on reading
}
