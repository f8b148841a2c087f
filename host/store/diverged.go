package store

import (
	"fmt"
	"strings"

	"eshost/host/event"
)

// Diverged is a checkpoint that the log does not bear out: each commit records the newest event at or below its
// checkpoint, and another one is there now. The log was restored without the read model, or set back and written to
// since. To go on would skip whatever took the places of the events that are gone.
type Diverged struct {
	Plugin     string
	Generation int // its number
	Partition  int
	Checkpoint event.Position
	// Had is the event that was there when the checkpoint was committed, Has is the one that is there now.
	Had, Has Mark
}

// Mark is the newest event at or below a position; the zero Mark is none.
type Mark struct {
	Position event.Position
	ID       string
}

// ParseMark reads what a driver has stored: the checkpoint, and the event's position and id unless there is none.
func ParseMark(text string) (Mark, error) {
	var m Mark
	_, event, _ := strings.Cut(text, " ")
	if event == "" {
		return m, nil
	}
	position, id, ok := strings.Cut(event, " ")
	if _, err := fmt.Sscan(position, &m.Position); err != nil || !ok {
		return m, fmt.Errorf("%w: the mark of a checkpoint is %q", ErrSchema, text)
	}
	m.ID = id
	return m, nil
}

func (m Mark) String() string {
	if m == (Mark{}) {
		return "none"
	}
	return fmt.Sprintf("%q at %d", m.ID, m.Position)
}

func (d *Diverged) Error() string {
	return fmt.Sprintf("%v: the checkpoint %d of plugin %q stands on another log: the last event up to there was %v, and now it is %v",
		ErrLogWentBack, d.Checkpoint, d.Plugin, d.Had, d.Has)
}

// Is makes the error match ErrLogWentBack.
func (*Diverged) Is(target error) bool { return target == ErrLogWentBack }

// Recovery has a plugin begin again on the log as it is now. Whoever owns it loses its leases; generations beside the
// live one, sequences, and data that was put in the place of events' after After, belong to the other log and go.
type Recovery struct {
	Plugin string
	// After is where the plugin goes on; a partition that is not so far yet stays where it is.
	After event.Position
	// Keep leaves the documents as they are. Without it the read model is emptied, and After must be 0.
	Keep bool
}

// Validate reports what is wrong with a recovery.
func (r *Recovery) Validate() error {
	switch {
	case r.After < 0:
		return &InvalidError{Field: "position", Reason: "must not be negative"}
	case !r.Keep && r.After != 0:
		return &InvalidError{Field: "position", Reason: "must be 0 for a read model that is made anew"}
	}
	return nil
}

// Recovered is where a plugin goes on, or the one of its partitions that is furthest behind, and what was taken away.
type Recovered struct {
	Position                           event.Position
	Documents, Sequences, Replacements int
}
