package redismodel

import (
	"encoding/json"
	"strconv"
	"time"

	"eshost/host/event"
)

// format is the version of all this package keeps in Redis.
const format = "1"

// ReadState is how far a reader may trust what it finds.
type ReadState string

const (
	// Missing read models were never built, or Redis has lost them.
	Missing ReadState = "missing"
	// Rebuilding read models do not hold all that happened before they were begun: what is not there may still come.
	Rebuilding ReadState = "rebuilding"
	// Ready read models are as of their position: what is not there does not exist.
	Ready ReadState = "ready"
	// Broken read models are a commit's that Redis refused in its middle. They are built anew.
	Broken ReadState = "broken"
)

// Progress is how far a read model is.
type Progress struct {
	State    ReadState
	Position event.Position // the checkpoint
	// Head is the end of the log when the read model was begun: there it becomes ready.
	Head      event.Position
	Documents int64
	Updated   time.Time // by the clock of the host that wrote it
}

// meta is the hash that says what a read model is.
type meta struct {
	format     string
	database   string // which one it is made of
	state      ReadState
	position   event.Position
	head       event.Position
	epoch      int64
	session    string // names the tenure of one owner: with the serial it names one state of the read model
	serial     string // counts the session's commits
	generation int64
	digest     string
	anchor     anchor
	documents  int64
	sequences  int64
	waiting    int64
	updated    time.Time
}

// anchor ties a checkpoint to the log that it is of: the last event that the plugin had got, and by which types it was
// chosen. Without an id it had got none since the read model began.
type anchor struct {
	Position event.Position `json:"position"`
	ID       string         `json:"id"`
	Types    []string       `json:"types,omitempty"`
}

func (a anchor) String() string {
	b, _ := json.Marshal(a) // cannot fail: strings and a number
	return string(b)
}

// parseMeta reads the hash. What is no number counts as -1, which is nowhere right.
func parseMeta(fields map[string]string) meta {
	m := meta{
		format: fields["format"], database: fields["database"], state: ReadState(fields["state"]), session: fields["session"], serial: fields["serial"], digest: fields["digest"],
		position: event.Position(number(fields["position"])), head: event.Position(number(fields["head"])),
		epoch: number(fields["epoch"]), generation: number(fields["generation"]),
		documents: number(fields["documents"]), sequences: number(fields["sequences"]), waiting: number(fields["waiting"]),
	}
	if json.Unmarshal([]byte(fields["anchor"]), &m.anchor) != nil {
		m.anchor.Position = -1
	}
	m.updated, _ = time.Parse(time.RFC3339Nano, fields["updated"])
	return m
}

// fields are the hash as a script takes it.
func (m *meta) fields() []any {
	return []any{
		"format", m.format, "database", m.database, "state", string(m.state), "position", int64(m.position), "head", int64(m.head), "epoch", m.epoch,
		"session", m.session, "serial", m.serial, "generation", m.generation, "digest", m.digest, "anchor", m.anchor.String(),
		"documents", m.documents, "sequences", m.sequences, "waiting", m.waiting, "updated", stamp(m.updated),
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}
