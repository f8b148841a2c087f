package abitest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"eshost/abi"
	"eshost/host/event"
)

// probeChecks ask a probe, which README.md describes, for one thing of the SDK after the other.
func probeChecks() []check {
	const answers = "which copies up to `cap` bytes from `offset` and returns how many."
	const atOnce = "| 2 | reject | the effects are dropped and the event is parked at once |"
	const again = "| 1 | retry | the effects are dropped; the event is tried again after a pause, and parked after the last attempt |"
	checks := []check{
		{"probe: set and delete", "Writes take effect when `handle` returns 0, together with the checkpoint.", false, (*kit).probeSet},
		{"probe: get", "| -1 | not found | no such document or key |", false, (*kit).probeGet},
		{"probe: get large documents", answers, false, (*kit).probeGetLarge},
		{"probe: scan", "The data is: u32 count, then for each u32 key length, u32 value length, key, value.", false, (*kit).probeScan},
		{"probe: scan a megabyte", answers, false, (*kit).probeScanLarge},
		{"probe: config", "| `config_get` | `(key, key_len, buf, cap i32) -> i64` | none |", false, (*kit).probeConfig},
		{"probe: log", "`log` levels: 0 debug, 1 info, 2 warn, 3 error.", false, (*kit).probeLog},
		{"probe: emit", "then slots as in the envelope: 0 stream, 1 stream type, 2 type, 3 data", false, (*kit).probeEmit},
		{"probe: event", "| 6 | content type of data, a media type |", false, (*kit).probeEvent},
		{"probe: retry", again, false, probeFails("retry", abi.StatusRetry)},
		{"probe: reject", atOnce, false, probeFails("reject", abi.StatusReject)},
		{"probe: error", textIsShown, false, probeCrashes("error")},
		{"probe: panic", textIsShown, false, probeCrashes("panic")},
		{"probe: bounds", textIsShown, false, (*kit).probeBounds},
		{"probe: clock", "The clock stands at the event's time;", false, (*kit).probeClock},
		{"probe: random", "random bytes come from the event's id;", false, (*kit).probeRandom},
		{"probe: too large", "| -3 | too large | a name, key, value or list over its limit |", false, (*kit).probeTooLarge},
		{"probe: invalid", "| -7 | invalid | not JSON, not UTF-8, or a name that is empty or holds a zero byte |", false, (*kit).probeInvalid},
	}
	for _, call := range probeCalls {
		checks = append(checks, check{"probe: " + call.function + " refused", "**Negative answers** are errors:", false,
			func(k *kit) error { return k.probeRefused(call.function, call.event, call.data) }})
	}
	return checks
}

// probeCalls says which event has a probe call which function.
var probeCalls = []struct{ function, event, data string }{
	{abi.FuncStateGet, "get", "a"},
	{abi.FuncStateSet, "set", "1"},
	{abi.FuncStateDelete, "delete", ""},
	{abi.FuncStateScan, "scan", ",,10"},
	{abi.FuncEmit, "emit", "text"},
	{abi.FuncConfigGet, "config", "currency"},
}

const probeStream = "stream-é"

func probeEvent(eventType, data string) event.Event {
	return event.Event{
		Position: 4711, Version: 3, ID: "id-1", Type: eventType, Stream: probeStream, StreamType: "kind", Time: time.UnixMicro(1_700_000_000_123_456),
		Data: []byte(data), Metadata: []byte(`{}`), ContentType: "text/plain",
	}
}

func sourceKey(key string) Key { return Key{"source", key} }

// wrote wants an event to leave a document, or with "" none.
func (k *kit) wrote(eventType, data, want string) error {
	e := probeEvent(eventType, data)
	what := fmt.Sprintf("%s %q", eventType, shorten(data))
	if o := k.deliver(&e); o.trap != nil || o.status != abi.StatusOK {
		return differs(what+" to return 0", "%s", o)
	}
	if got := k.module.Documents[Key{"docs", probeStream}]; got != want {
		d := firstDifference(want, got).(*difference)
		d.expected = what + " to leave " + d.expected
		return d
	}
	return nil
}

type wrote struct{ event, data, want string }

func (k *kit) allWrote(all ...wrote) error {
	for _, w := range all {
		if err := k.wrote(w.event, w.data, w.want); err != nil {
			return err
		}
	}
	return nil
}

func (k *kit) probeSet() error {
	if err := k.reset(); err != nil {
		return err
	}
	return k.allWrote(wrote{"set", `{"a":1}`, `{"a":1}`}, wrote{"delete", "", ""}, wrote{"delete", "", ""}, wrote{"set", `"é"`, `"é"`})
}

func (k *kit) probeGet() error {
	if err := k.reset(); err != nil {
		return err
	}
	k.module.Documents = map[Key]string{sourceKey("a-1"): `"one"`, sourceKey("b-é"): "null"}
	return k.allWrote(wrote{"get", "a-1", `"one"`}, wrote{"get", "b-é", "null"}, wrote{"get", "a-3", `"none"`})
}

// probeGetLarge reads documents around the sizes that first buffers have, up to the largest.
func (k *kit) probeGetLarge() error {
	if err := k.reset(); err != nil {
		return err
	}
	for _, size := range []int{100, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 65_535, 65_536, 65_537, abi.MaxDocument} {
		document := `"` + strings.Repeat("x", size-2) + `"`
		k.module.Documents[sourceKey("large")] = document
		if err := k.allWrote(wrote{"get", "large", document}, wrote{"set", document, document}); err != nil {
			return err
		}
	}
	return nil
}

func (k *kit) probeScan() error {
	if err := k.reset(); err != nil {
		return err
	}
	k.module.Documents = map[Key]string{sourceKey("a-1"): `"one"`, sourceKey("a-10"): "10", sourceKey("a-2"): "2", sourceKey("b-é"): "null"}
	return k.allWrote(
		wrote{"scan", ",,1000", `"a-1:5 a-10:2 a-2:1 b-é:4 "`},
		wrote{"scan", "a-,a-1,1", `"a-10:2 "`},
		wrote{"scan", "c,,10", `""`},
	)
}

func (k *kit) probeScanLarge() error {
	if err := k.reset(); err != nil {
		return err
	}
	var list strings.Builder
	for i := range abi.MaxScan {
		key := fmt.Sprintf("key-%04d", i)
		k.module.Documents[sourceKey(key)] = `"` + strings.Repeat("v", 1000) + `"`
		list.WriteString(key + ":1002 ")
	}
	return k.wrote("scan", fmt.Sprintf(",,%d", abi.MaxScan), `"`+list.String()+`"`)
}

func (k *kit) probeConfig() error {
	if err := k.reset(); err != nil {
		return err
	}
	long := strings.Repeat("é", 40_000)
	k.module.Config = map[string]string{"currency": "EUR", "empty": "", "long": long}
	return k.allWrote(wrote{"config", "currency", `"EUR"`}, wrote{"config", "empty", `""`}, wrote{"config", "missing", `"none"`},
		wrote{"config", "long", `"` + long + `"`})
}

func (k *kit) probeLog() error {
	if err := k.reset(); err != nil {
		return err
	}
	e := probeEvent("log", "a line, é")
	if o := k.deliver(&e); !slices.Equal(k.module.Logs, []string{"0 a line, é", "1 a line, é", "2 a line, é", "3 a line, é"}) {
		return differs("the line on the levels 0, 1, 2 and 3", "%q and %s", k.module.Logs, o)
	}
	return nil
}

func (k *kit) probeEmit() error {
	if err := k.reset(); err != nil {
		return err
	}
	want := event.Emitted{Stream: "out", StreamType: "kind", Type: "Emitted", Data: []byte("some data, é"), Metadata: []byte(`{"n":1}`), ContentType: "text/plain"}
	e := probeEvent("emit", "some data, é")
	got := k.deliver(&e)
	if wanted := (outcome{emitted: []event.Emitted{want}}); got.String() != wanted.String() {
		return differs(wanted.String(), "%s", got)
	}
	return nil
}

// probeEvent reads all of an event, and again where numbers are larger than a float's 53 bits and texts are empty.
func (k *kit) probeEvent() error {
	if err := k.reset(); err != nil {
		return err
	}
	plain := probeEvent("event", "7")
	plain.Metadata = []byte("[]")
	extreme := event.Event{Position: 1<<62 + 1, Version: 1<<53 + 1, ID: "é-🏦", Type: "event", Stream: probeStream, Time: time.UnixMicro(-1_000_001), Metadata: []byte("{}")}
	for _, c := range []struct {
		e       event.Event
		attempt int
		want    string
	}{
		{plain, 2, `["id-1","event","stream-é","kind","7","[]","text/plain",4711,3,1700000000123456,2]`},
		{extreme, 1 << 20, `["é-🏦","event","stream-é","","","{}","",4611686018427387905,9007199254740993,-1000001,1048576]`},
	} {
		o := k.deliverAs(&c.e, abi.AppendEnvelope(nil, &c.e, c.attempt))
		if got := k.module.Documents[Key{"docs", probeStream}]; got != c.want {
			return differs(c.want, "%s and %s", got, o)
		}
	}
	return nil
}

// probeFails wants a status, the text as it was given, and the next event handled.
func probeFails(eventType string, status abi.Status) func(*kit) error {
	return func(k *kit) error {
		if err := k.reset(); err != nil {
			return err
		}
		const text = "nie — wirklich nie"
		e := probeEvent(eventType, text)
		if o := k.deliver(&e); o.trap != nil || o.status != status || o.text != text {
			return differs(fmt.Sprintf("status %d and %s", status, text), "%s", o)
		}
		return k.wrote("set", "1", "1")
	}
}

// probeCrashes wants status 1 or a trap, with the text somewhere in what is said about it, and the next event handled.
func probeCrashes(eventType string) func(*kit) error {
	return func(k *kit) error {
		if err := k.reset(); err != nil {
			return err
		}
		const text = "told to by the kit, é"
		e := probeEvent(eventType, text)
		if o := k.deliver(&e); o.trap == nil && o.status != abi.StatusRetry || !strings.Contains(o.text, text) {
			return differs(fmt.Sprintf("status 1 or a trap that says %q", text), "%s", o)
		}
		return k.wrote("set", "1", "1")
	}
}

func (k *kit) probeBounds() error {
	if err := k.reset(); err != nil {
		return err
	}
	e := probeEvent("bounds", "twenty bytes of data")
	if o := k.deliver(&e); o.trap == nil && o.status != abi.StatusRetry || o.text == "" {
		return differs("status 1 or a trap that says that an index is out of bounds", "%s", o)
	}
	return k.wrote("set", "1", "1")
}

// probed is the JSON that the probe writes for an event in a fresh instance.
func (k *kit) probed(e event.Event) (document string, err error) {
	if err := k.reset(); err != nil {
		return "", err
	}
	o := k.deliver(&e)
	if document = k.module.Documents[Key{"docs", probeStream}]; document == "" {
		return "", differs("a document after "+e.Type, "%s", o)
	}
	if document == `"none"` {
		return "", skip("the language has none here")
	}
	return document, nil
}

func (k *kit) probeClock() error {
	got, err := k.probed(probeEvent("clock", ""))
	if err == nil && got != "1700000000123456" {
		return differs("the event's time in microseconds, 1700000000123456", "%s", got)
	}
	return err
}

func (k *kit) probeRandom() error {
	e := probeEvent("random", "")
	first, err := k.probed(e)
	if err != nil {
		return err
	}
	second, err := k.probed(e)
	if err != nil {
		return err
	}
	e.ID = "id-2"
	other, err := k.probed(e)
	if err != nil {
		return err
	}
	if first != second || first == other || !json.Valid([]byte(first)) {
		return differs("the same for an event's id, and others for another's", "%s, %s and for another id %s", first, second, other)
	}
	return nil
}

func (k *kit) probeTooLarge() error {
	return k.probeSays("too large", wrote{"get", strings.Repeat("k", abi.MaxKey+1), ""}, wrote{"scan", "a,,1001", ""}, wrote{"config", strings.Repeat("k", abi.MaxKey+1), ""},
		wrote{"set", `"` + strings.Repeat("x", abi.MaxDocument) + `"`, ""})
}

func (k *kit) probeInvalid() error {
	return k.probeSays("invalid", wrote{"set", "no JSON", ""}, wrote{"get", "", ""}, wrote{"get", "a\x00", ""})
}

// probeSays wants each event to fail with a text that holds a name of abi/ABI.md's table.
func (k *kit) probeSays(name string, all ...wrote) error {
	if err := k.reset(); err != nil {
		return err
	}
	for _, w := range all {
		e := probeEvent(w.event, w.data)
		if o := k.deliver(&e); o.trap == nil && o.status != abi.StatusRetry || !strings.Contains(o.text, name) {
			return differs(fmt.Sprintf("%s %q to end with status 1 or a trap and a text that holds %q", w.event, shorten(w.data), name), "%s", o)
		}
	}
	return nil
}

// probeRefused has the host refuse one function in every way, also in one that version 1 does not know.
func (k *kit) probeRefused(function, eventType, data string) error {
	if err := k.reset(); err != nil {
		return err
	}
	if !k.imports(function) {
		return differs("a probe that imports "+function, "the imports %s", strings.Join(k.module.Imports(), ", "))
	}
	for errno, name := range map[abi.Errno]string{
		abi.ErrnoDenied: "denied", abi.ErrnoTooLarge: "too large", abi.ErrnoQuota: "quota", abi.ErrnoInvalid: "invalid", -1000: "-1000",
	} {
		e := probeEvent(eventType, data)
		o, err := k.refused(function, errno, &e)
		if err != nil {
			return err
		}
		if o.trap == nil && o.status != abi.StatusRetry || !strings.Contains(o.text, name) {
			return differs(fmt.Sprintf("status 1 or a trap and a text that holds %q when the answer is %d", name, errno), "%s", o)
		}
	}
	return nil
}
