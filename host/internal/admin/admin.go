package admin

import "time"

// Status is a host's own view of itself, as /v1/status shows it.
type Status struct {
	Host  string `json:"host"`
	ID    string `json:"id"`
	Store string `json:"store"`
	Log   Log    `json:"log"`
	// Redis is how Redis is used, nil where hosts.toml names none.
	Redis   *Redis   `json:"redis,omitempty"`
	Plugins []Plugin `json:"plugins"`
	// FileRefused is why hosts.toml, as it is now, is not what this host goes by.
	FileRefused string `json:"hosts_toml_refused,omitempty"`
}

// Log is what the host knows of the event log.
type Log struct {
	Watermark int64 `json:"watermark"`
	Head      int64 `json:"head"`
	// HeldSeconds is how long the watermark has stayed below the head.
	HeldSeconds float64  `json:"held_seconds,omitempty"`
	Holders     []Holder `json:"holders,omitempty"`
	// SilentSeconds is how long ago the log was last read.
	SilentSeconds float64 `json:"silent_seconds"`
	// Overdue says that it should have been read again by now: how long it may be silent depends on store.poll_max.
	Overdue bool `json:"overdue"`
	// Error is why the log cannot be read now.
	Error string `json:"error,omitempty"`
}

// Holder is a transaction that holds the watermark.
type Holder struct {
	PID         int32   `json:"pid,omitempty"`
	Application string  `json:"application"`
	User        string  `json:"user,omitempty"`
	State       string  `json:"state,omitempty"`
	AgeSeconds  float64 `json:"age_seconds"`
}

// Redis is how the host uses the Redis that hosts.toml names.
type Redis struct {
	// Server is its URL without user and password.
	Server  string `json:"server"`
	Version string `json:"version,omitempty"`
	// State is checking, ok, slow or failing.
	State string `json:"state"`
	// Reason is why the state is not ok, and Hint what to do about it.
	Reason string    `json:"reason,omitempty"`
	Hint   string    `json:"hint,omitempty"`
	Since  time.Time `json:"since"`
	// Role is what the host does for the others: polls for all, is woken, polls for itself.
	Role             string  `json:"role"`
	RoundTripSeconds float64 `json:"round_trip_seconds,omitempty"`
	Published        uint64  `json:"published"` // to other hosts
	Received         uint64  `json:"received"`  // from other hosts
	Ignored          uint64  `json:"ignored"`   // that were none of a host's
	Changed          uint64  `json:"changes_published"`
	Dropped          uint64  `json:"changes_dropped"`
}

// Plugin is what the host knows of one plugin.
type Plugin struct {
	Name       string `json:"name"`
	State      string `json:"state"`
	Reason     string `json:"reason,omitempty"`
	Module     string `json:"module"`
	Digest     string `json:"digest"`
	Checkpoint int64  `json:"checkpoint"`
	// LagPositions is how far the checkpoint is below the watermark. Positions may have holes.
	LagPositions int64 `json:"lag_positions"`
	// LagEvents is how many of the plugin's events are between the two: exact for recent ones, else never too low.
	LagEvents *int64 `json:"lag_events,omitempty"`
	Handled   uint64 `json:"handled"`
	Failed    uint64 `json:"failed"`
	Retrying  int    `json:"retrying_sequences"`
	Parked    int    `json:"parked_sequences"`
	Waiting   int    `json:"waiting_events"`
	// Refused is the module, or the section of hosts.toml, that was put in the place of this one and cannot be used.
	Refused *Refused `json:"refused,omitempty"`
	// Target is where the read model is kept, if not in the database.
	Target string `json:"target,omitempty"`
	// Partitions is what this host does with each of them, where the plugin has several. The fields above are those of
	// the ones that it runs, together.
	Partitions []Partition `json:"partitions,omitempty"`
}

// Partition is one partition of a plugin, as the host sees it. One that another host runs is waiting.
type Partition struct {
	Partition    int    `json:"partition"` // from 0
	State        string `json:"state"`
	Reason       string `json:"reason,omitempty"`
	Checkpoint   int64  `json:"checkpoint"`
	LagPositions int64  `json:"lag_positions"`
}

// Refused is a module that this host does not run.
type Refused struct {
	Digest string    `json:"digest,omitempty"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}
