package abitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"eshost/abi"
	"eshost/host/event"
)

const (
	anyOtherStatus = "Any other status, and any trap, drops the effects and counts as a failed attempt;"
	textIsShown    = "The text given to `fail` before the return or the trap is shown to people."
	throughSlots   = "A guest ignores slots it does not know, and finds everything through the slots: a later host may add some, and put other bytes between."
	scratch        = "**Linear memory is scratch.** An instance may vanish between any two events, and several instances of one module may run side by side."
)

// eventChecks have a module handle events.
func eventChecks() []check {
	return []check{
		{"handle returns 0, 1 or 2", anyOtherStatus, false, (*kit).statuses},
		{"addresses lie in memory", "A pointer or length outside the guest's memory is no error code but a trap:", false, (*kit).addresses},
		{"a crash says why", textIsShown, false, (*kit).crashes},
		{"the inbox grows", "The host keeps the address and asks again only when it needs a larger one", false, (*kit).inboxGrows},
		{"an event of another type", "event's envelope is the first `len` bytes of the inbox. Returns a status", false, (*kit).otherType},
		{"empty data", "data: exactly the bytes that were appended", false, (*kit).emptyData},
		{"data of 1 MiB", "| `eshost_inbox` | `(min i32) -> i32` | returns the address of a buffer of at least `min` bytes", false, (*kit).largeData},
		{"empty and long names, extreme numbers", "| i64 | time, microseconds since 1970-01-01T00:00:00Z |", false, (*kit).extremes},
		{"unknown slots are ignored", throughSlots, false, (*kit).unknownSlots},
		{"slots are found wherever they lie", throughSlots, false, (*kit).movedSlots},
		{"the inbox serves many events", "The buffer stays valid until the next `eshost_inbox`.", false, (*kit).inboxStays},
		{"large answers are read", "If it fits into `cap` bytes it has been written to `buf`; if not, nothing was written and the host keeps the data for `result_read`,", false, (*kit).largeAnswers},
		{"refused calls are borne", "**Negative answers** are errors:", false, (*kit).refusedCalls},
		{"the same events have the same effects", "So a replay gives the same bytes.", false, (*kit).deterministic},
		{"clock and random bytes are the event's", "The clock stands at the event's time; random bytes come from the event's id;", false, (*kit).clockAndRandom},
		{"nothing lasts in linear memory", scratch, false, (*kit).forgetful},
		{"instances share nothing", scratch, false, (*kit).instances},
	}
}

func (k *kit) context() context.Context { return context.Background() }

// each delivers the samples to one instance.
func (k *kit) each(judge func(*event.Event, outcome) error) error {
	if err := k.reset(); err != nil {
		return err
	}
	for i := range k.samples {
		if err := judge(&k.samples[i], k.deliver(&k.samples[i])); err != nil {
			return err
		}
	}
	return nil
}

func (k *kit) statuses() error {
	return k.each(func(e *event.Event, o outcome) error {
		if o.trap == nil && !o.healthy() {
			return differs("a status of 0, 1 or 2 for an event of type "+e.Type, "%d", o.status)
		}
		return nil
	})
}

func (k *kit) crashes() error {
	return k.each(func(e *event.Event, o outcome) error { return well(o, "an event of type "+e.Type) })
}

// well fails for what no event may do to a module.
func well(o outcome, what string) error {
	if o.healthy() {
		return nil
	}
	return differs("a status of 0, 1 or 2 for "+what+", or a trap that says why", "%s", o)
}

// one delivers an event to a fresh instance without documents.
func (k *kit) one(e event.Event, what string) error {
	if err := k.reset(); err != nil {
		return err
	}
	return well(k.deliver(&e), what)
}

func (k *kit) otherType() error {
	for _, eventType := range []string{"NoPluginKnowsThisType", "x", strings.Repeat("t", 512), "ünïcode 🏦"} {
		e := k.with(func(e *event.Event) { e.Type = eventType })
		if err := k.one(e, "an event of the type "+shorten(eventType)); err != nil {
			return err
		}
	}
	return nil
}

func (k *kit) emptyData() error {
	for _, s := range k.kinds() {
		s.Data = nil
		if err := k.one(s, "an event of type "+s.Type+" without data"); err != nil {
			return err
		}
	}
	return nil
}

func (k *kit) largeData() error {
	text := []byte(`{"name":"` + strings.Repeat("x", 1<<20-11) + `"}`)
	for _, s := range k.kinds() {
		for what, data := range map[string][]byte{"JSON": text, "bytes": bytes.Repeat([]byte{0xff, 0}, 1<<19)} {
			s.Data = data
			if err := k.one(s, fmt.Sprintf("an event of type %s with %d bytes of data, %s", s.Type, len(data), what)); err != nil {
				return err
			}
		}
	}
	return nil
}

// kinds is one sample of each event type.
func (k *kit) kinds() []event.Event {
	var kinds []event.Event
	for _, s := range k.samples {
		if !slices.ContainsFunc(kinds, func(e event.Event) bool { return e.Type == s.Type }) && len(kinds) < sampleTypes {
			kinds = append(kinds, s)
		}
	}
	return kinds
}

func (k *kit) extremes() error {
	for what, change := range map[string]func(*event.Event){
		"empty stream type": func(e *event.Event) { e.StreamType = "" },
		"long names": func(e *event.Event) {
			e.ID, e.Stream, e.StreamType = strings.Repeat("i", 512), strings.Repeat("é", 256), strings.Repeat("k", 512)
		},
		"large numbers":       func(e *event.Event) { e.Position, e.Version = math.MaxInt64, math.MaxInt64 },
		"a time before 1970":  func(e *event.Event) { e.Time = time.UnixMicro(-62_135_596_800_000_000) },
		"a time in year 9999": func(e *event.Event) { e.Time = time.UnixMicro(253_402_300_799_999_999) },
		"long metadata":       func(e *event.Event) { e.Metadata = []byte(`{"k":"` + strings.Repeat("m", 200_000) + `"}`) },
		"data of bytes":       func(e *event.Event) { e.Data, e.ContentType = []byte("\xff\xfe\x00{"), "application/octet-stream" },
	} {
		if err := k.one(k.with(change), "an event with "+what); err != nil {
			return err
		}
	}
	return nil
}

func (k *kit) unknownSlots() error { return k.inEnvelope(withMoreSlots) }
func (k *kit) movedSlots() error   { return k.inEnvelope(withMovedSlots) }

// inEnvelope wants each sample to do the same in another envelope.
func (k *kit) inEnvelope(envelope func(*event.Event) []byte) error {
	return k.alike(k.deliver, func(e *event.Event) outcome { return k.deliverAs(e, envelope(e)) })
}

// alike wants two ways of handling all samples to have the same effects, event by event.
func (k *kit) alike(first, second func(*event.Event) outcome) error {
	run := func(way func(*event.Event) outcome) ([]outcome, error) {
		if err := k.reset(); err != nil {
			return nil, err
		}
		var all []outcome
		for i := range k.samples {
			all = append(all, way(&k.samples[i]))
		}
		return all, nil
	}
	want, err := run(first)
	if err != nil {
		return err
	}
	got, err := run(second)
	if err != nil {
		return err
	}
	for i := range want {
		if !want[i].same(got[i]) {
			return firstDifference(want[i].String(), got[i].String())
		}
	}
	return nil
}

// inboxStays writes all of the inbox before each event, and asks for no other.
func (k *kit) inboxStays() error {
	return k.alike(k.deliver, func(e *event.Event) outcome {
		if in := k.module.instance; in != nil {
			b, _ := in.module.Memory().Read(in.inbox, in.size)
			litter(b)
		}
		return k.deliver(e)
	})
}

func (k *kit) addresses() error {
	return k.each(func(e *event.Event, o outcome) error {
		if o.outside != "" {
			return differs("addresses inside the memory for an event of type "+e.Type, "%s", o.outside)
		}
		return nil
	})
}

func (k *kit) imports(names ...string) bool {
	return slices.ContainsFunc(k.module.Imports(), func(name string) bool {
		return slices.ContainsFunc(names, func(f string) bool { return name == abi.Module+"."+f })
	})
}

// largeAnswers finds a document of 100 KB wherever the module looks.
func (k *kit) largeAnswers() error {
	if !k.imports(abi.FuncStateGet) {
		return skip("the module reads no documents")
	}
	for _, s := range k.kinds() {
		if err := k.reset(); err != nil {
			return err
		}
		k.module.invent = `{"large":"` + strings.Repeat("x", 100_000) + `"}`
		if err := well(k.deliver(&s), "an event of type "+s.Type+" and a document of 100 KB"); err != nil {
			return err
		}
	}
	return nil
}

func (k *kit) refusedCalls() error {
	functions := []string{abi.FuncStateGet, abi.FuncStateSet, abi.FuncStateDelete, abi.FuncStateScan, abi.FuncEmit, abi.FuncConfigGet}
	if !k.imports(functions...) {
		return skip("the module calls nothing that can be refused")
	}
	for _, s := range k.kinds() {
		for _, f := range functions {
			for _, errno := range []abi.Errno{abi.ErrnoDenied, abi.ErrnoTooLarge, abi.ErrnoQuota, abi.ErrnoInvalid, -1000} {
				if !k.imports(f) {
					continue
				}
				o, err := k.refused(f, errno, &s)
				if err == nil {
					err = well(o, fmt.Sprintf("an event of type %s when %s answers %d", s.Type, f, errno))
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// refused delivers an event while the host answers the calls of one function with an error.
func (k *kit) refused(function string, errno abi.Errno, e *event.Event) (outcome, error) {
	m := k.module
	m.Documents, m.refuse = map[Key]string{}, nil
	if m.instance == nil { // it may call the function to start
		if err := m.instantiate(k.context()); err != nil {
			return outcome{}, errors.Join(err, m.discard(k.context()))
		}
	}
	m.refuse = func(called string) abi.Errno {
		if called == function {
			return errno
		}
		return 0
	}
	defer func() { m.refuse = nil }()
	return k.deliver(e), nil
}

func (k *kit) deterministic() error { return k.alike(k.deliver, k.deliver) }

// clockAndRandom handles each event twice in fresh instances, some time apart.
func (k *kit) clockAndRandom() error {
	uses := func(name string) bool {
		return name == "env.seed" || name == "wasi_snapshot_preview1.clock_time_get" || name == "wasi_snapshot_preview1.random_get"
	}
	if !slices.ContainsFunc(k.module.Imports(), uses) {
		return skip("the module imports neither a clock nor random bytes")
	}
	again := func(e *event.Event) outcome {
		before := maps.Clone(k.module.Documents)
		k.fresh(e)
		k.module.Documents = before
		time.Sleep(2 * time.Millisecond) // a clock that did not stand would show it
		return k.fresh(e)
	}
	return k.alike(k.fresh, again)
}

// forgetful throws the instance away after every event.
func (k *kit) forgetful() error { return k.alike(k.deliver, k.fresh) }

// instances lets every event be handled by an instance that has seen other events before.
func (k *kit) instances() error {
	return k.alike(k.deliver, func(e *event.Event) outcome {
		before, emitted := maps.Clone(k.module.Documents), len(k.module.Emitted)
		for i := range min(len(k.samples), sampleTypes) {
			k.deliver(&k.samples[len(k.samples)-1-i])
		}
		k.module.Documents, k.module.Emitted = before, k.module.Emitted[:emitted]
		return k.deliver(e)
	})
}
