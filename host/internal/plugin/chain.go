package plugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"eshost/abi"
	"eshost/host/event"
	"eshost/host/store"
)

// origin is what the events that a handler emits inherit from the one it handles.
type origin struct {
	correlation string // what the whole chain has in common
	depth       int    // of the handled event: 0 was appended from outside
}

// originOf reads the handled event's metadata. What is missing or unusable counts as a new chain.
func originOf(e *event.Event) origin {
	o := origin{correlation: e.ID}
	if len(e.Metadata) <= len("{}") {
		return o
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(e.Metadata, &members) != nil {
		return o
	}
	if id, ok := correlationIn(members); ok {
		o.correlation = id
	}
	if n, err := strconv.Atoi(string(members[abi.MetaDepth])); err == nil && n > 0 {
		o.depth = n
	}
	return o
}

func correlationIn(members map[string]json.RawMessage) (string, bool) {
	var id string
	err := json.Unmarshal(members[abi.MetaCorrelation], &id)
	return id, err == nil && id != "" && len(id) <= store.MaxNameBytes
}

// link makes an emitted event part of its chain: it gets an id, and metadata that says what caused it.
// A correlation id of the guest's own is kept.
func (in *Instance) link(e *event.Emitted) error {
	cause := in.job.event
	if in.job.origin == nil {
		o := originOf(cause)
		in.job.origin = &o
	}
	depth := in.job.origin.depth + 1
	if most := in.module.spec.Limits.EmitDepth; depth > most {
		return &event.Failure{Kind: event.FailLoop, Message: fmt.Sprintf(
			"it emits %s to stream %s as number %d in a chain of events that plugins emit on one another's (limits.emit_depth = %d); the chain began with %s: do plugins feed each other in a loop?",
			printable(e.Type, maxName), printable(e.Stream, maxName), depth, most, printable(in.job.origin.correlation, maxName))}
	}
	e.Cause = cause.Position
	e.ID = emittedID(in.module.spec.Name, cause.ID, in.job.emits)
	var err error
	e.Metadata, err = linked(e.Metadata, cause.ID, in.job.origin.correlation, depth)
	return err
}

// linked adds the chain's members to metadata, a JSON object, whose bytes stay as they are unless it has some of them.
func linked(metadata []byte, causation, correlation string, depth int) ([]byte, error) {
	object := bytes.TrimRight(metadata, " \t\r\n")
	// An escaped name could be one of ours in disguise.
	if bytes.Contains(object, []byte("caus")) || bytes.Contains(object, []byte(abi.MetaCorrelation)) || bytes.ContainsRune(object, '\\') {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(object, &members); err != nil {
			return nil, fmt.Errorf("read metadata: %w", err)
		}
		if own, ok := correlationIn(members); ok {
			correlation = own
		}
		for _, name := range []string{abi.MetaCausation, abi.MetaCorrelation, abi.MetaDepth} {
			delete(members, name)
		}
		var err error
		if object, err = json.Marshal(members); err != nil {
			return nil, fmt.Errorf("write metadata: %w", err)
		}
	}
	ours, err := json.Marshal(struct {
		Causation   string `json:"causation_id"`
		Correlation string `json:"correlation_id"`
		Depth       int    `json:"causation_depth"`
	}{causation, correlation, depth})
	if err != nil {
		return nil, fmt.Errorf("write metadata: %w", err)
	}
	open := bytes.TrimRight(bytes.TrimSuffix(object, []byte("}")), " \t\r\n")
	out := make([]byte, 0, len(open)+len(ours)+1)
	out = append(out, open...)
	if !bytes.HasSuffix(open, []byte("{")) {
		out = append(out, ',')
	}
	return append(out, ours[1:]...), nil
}

// emittedID is the same whenever the same plugin handles the same event, so that a repetition makes
// no second event.
func emittedID(plugin, cause string, index int) string {
	return uuid.NewSHA1(emittedSpace, fmt.Appendf(nil, "%s\x00%s\x00%d", plugin, cause, index)).String()
}

// emittedSpace is the name space (RFC 9562, version 5) of emitted events' ids.
var emittedSpace = uuid.MustParse("5bd2d8b2-0f52-4f4c-9e63-6b4a3c1c7e11")
