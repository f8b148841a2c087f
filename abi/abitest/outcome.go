package abitest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"eshost/abi"
	"eshost/host/event"
)

// outcome is what came of one event.
type outcome struct {
	status    abi.Status
	trap      error  // nil unless the module crashed
	text      string // what it gave to fail, or after a crash said by any way
	outside   string // an address outside its memory that it gave
	documents map[Key]*string
	emitted   []event.Emitted
}

// deliver hands an event over as the host lays it out.
func (k *kit) deliver(e *event.Event) outcome { return k.deliverAs(e, abi.AppendEnvelope(nil, e, 1)) }

// deliverAs hands an event over in an envelope of the caller's making.
func (k *kit) deliverAs(e *event.Event, envelope []byte) outcome {
	m := k.module
	err := m.deliver(e, envelope)
	var failure *Failure
	switch {
	case m.stuck:
		errors.As(err, &failure)
		return outcome{trap: failure.Trap}
	case errors.As(err, &failure) && failure.Trap != nil:
		return outcome{trap: failure.Trap, text: strings.TrimSpace(m.failed + " " + m.Output.String()), outside: m.outside}
	case failure != nil:
		return outcome{status: failure.Status, text: failure.Text}
	}
	return outcome{documents: m.written, emitted: m.emitted}
}

// fresh hands an event to a new instance. The documents stay.
func (k *kit) fresh(e *event.Event) outcome {
	if err := k.module.discard(k.context()); err != nil {
		return outcome{trap: err}
	}
	return k.deliver(e)
}

// reset forgets instance, documents and everything else.
func (k *kit) reset() error {
	m := k.module
	if m.stuck {
		return errTime{m.limit}
	}
	m.Config, m.Documents, m.Emitted, m.Logs = k.options.Config, map[Key]string{}, nil, nil
	m.refuse, m.invent = nil, ""
	return m.discard(k.context())
}

// healthy reports whether the module kept to the ABI: it returned a status, or crashed on purpose, which is to say with a text.
func (o outcome) healthy() bool {
	var late errTime
	if o.trap != nil {
		return o.text != "" && o.outside == "" && !errors.As(o.trap, &late)
	}
	return o.status >= abi.StatusOK && o.status <= abi.StatusReject
}

// String lists what came of the event, the same for the same effects.
func (o outcome) String() string {
	if o.trap != nil {
		message, _, _ := strings.Cut(o.trap.Error(), "\n")
		if o.outside != "" {
			message = "it gave " + o.outside
		}
		if o.text == "" {
			return "a trap without a text: " + message
		}
		return fmt.Sprintf("a trap: %s; it said: %s", message, shorten(o.text))
	}
	lines := []string{fmt.Sprintf("status %d", o.status)}
	if o.text != "" {
		lines[0] += " and " + o.text
	}
	keys := slices.SortedFunc(maps.Keys(o.documents), func(a, b Key) int {
		return strings.Compare(a.Collection+"\x00"+a.Key, b.Collection+"\x00"+b.Key)
	})
	for _, key := range keys {
		if value := o.documents[key]; value != nil {
			lines = append(lines, fmt.Sprintf("set %q %q to %s", key.Collection, key.Key, *value))
		} else {
			lines = append(lines, fmt.Sprintf("deleted %q %q", key.Collection, key.Key))
		}
	}
	for _, e := range o.emitted {
		lines = append(lines, fmt.Sprintf("emitted %q %q %q %s %s %q", e.Stream, e.StreamType, e.Type, e.Data, e.Metadata, e.ContentType))
	}
	return strings.Join(lines, "; ")
}

// same reports whether two outcomes have the same effects. The text of a crash may hold addresses, so it does not count.
func (o outcome) same(other outcome) bool {
	if o.trap != nil || other.trap != nil {
		return (o.trap != nil) == (other.trap != nil)
	}
	return o.String() == other.String()
}

// firstDifference shows where two texts part.
func firstDifference(want, got string) error {
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	from := max(0, at-40)
	show := func(text string) string {
		if from > 0 {
			return "…" + shorten(text[from:])
		}
		return shorten(text)
	}
	return &difference{show(want), show(got)}
}
