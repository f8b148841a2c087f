package plugin_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"eshost/abi"
	"eshost/host/event"
	"eshost/host/internal/plugin"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{})
	fx := newMemory("docs", "a", `{"n":1}`)
	room := buffer{free, 100}
	s := new(script).
		call(callGet, "docs", "a", room).
		call(callGet, "docs", "b", room).
		call(callSet, "docs", "b", `[2]`).
		call(callGet, "docs", "b", buffer{free + 100, 3}).
		call(callDelete, "docs", "a").
		call(callGet, "docs", "a", room)
	if err := in.Handle(t.Context(), s.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	notFound := int64(abi.ErrnoNotFound)
	wantResults(t, in, s, 7, notFound, 0, 3, 0, notFound)
	if got := read(t, in, buffer{free, 8}); got != `{"n":1}`+"\x00" {
		t.Errorf("get wrote %q", got)
	}
	if got := read(t, in, buffer{free + 100, 4}); got != "[2]\x00" {
		t.Errorf("get wrote %q", got)
	}
	if len(fx.docs) != 1 || string(fx.docs["docs\x00b"]) != "[2]" {
		t.Errorf("the documents are %q", fx.docs)
	}
}

func TestResultRead(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{Config: map[string]string{"currency": "EUR", "empty": ""}})
	fx := newMemory("docs", "a", `"0123456789"`)
	s := new(script).
		call(callRead, buffer{free, 10}, 0).          // nothing is kept yet
		call(callGet, "docs", "a", buffer{free, 11}). // one byte too small
		call(callRead, buffer{free + 100, 5}, 0).     // in parts
		call(callRead, buffer{free + 105, 100}, 5).   //
		call(callRead, buffer{free + 200, 100}, 12).  // at the end
		call(callRead, buffer{free + 200, 100}, -1).  // far behind it
		call(callRead, buffer{free + 200, 0}, 0).     // no room
		call(callConfig, "currency", buffer{free + 300, 3}).
		call(callRead, buffer{free + 200, 100}, 0). // an answer that fits drops what was kept
		call(callConfig, "currency", buffer{free + 300, 2}).
		call(callRead, buffer{free + 310, 100}, 0).
		call(callConfig, "nothing", buffer{free, 10}).
		call(callRead, buffer{free + 200, 100}, 0).
		call(callConfig, "empty", buffer{free, 0}).
		call(callConfig, strings.Repeat("k", abi.MaxKey+1), buffer{free, 0})
	if err := in.Handle(t.Context(), s.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	wantResults(t, in, s, 0, 12, 5, 7, 0, 0, 0, 3, 0, 3, 3, -1, 0, 0, -3)
	for _, want := range []struct {
		at   buffer
		text string
	}{
		{buffer{free, 11}, strings.Repeat("\x00", 11)},
		{buffer{free + 100, 12}, `"0123456789"`},
		{buffer{free + 300, 3}, "EUR"},
		{buffer{free + 310, 3}, "EUR"},
	} {
		if got := read(t, in, want.at); got != want.text {
			t.Errorf("at %d there is %q, want %q", want.at.at, got, want.text)
		}
	}
	next := new(script).call(callRead, buffer{free, 10}, 0)
	if err := in.Handle(t.Context(), next.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	wantResults(t, in, next, 0) // the end of handle dropped what was kept
}

func TestScan(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{})
	fx := newMemory("docs", "a1", "1", "docs", "a2", "22", "docs", "b1", "333", "other", "a1", "4")
	s := new(script).
		call(callScan, "docs", "a", "", 1000, buffer{free, 1000}).
		call(callScan, "docs", "", "a1", 1, buffer{free + 1000, 1000}).
		call(callScan, "docs", "a", "", 10, buffer{free + 2000, 4}).
		call(callRead, buffer{free + 2000, 1000}, 0).
		call(callScan, "none", "", "", 10, buffer{free + 3000, 4}).
		call(callScan, "docs", "", "", 0, buffer{free, 0}).
		call(callScan, "docs", "", "", -1, buffer{free, 0}).
		call(callScan, "docs", "", "", abi.MaxScan+1, buffer{free, 0}).
		call(callScan, "", "", "", 1, buffer{free, 0}).
		call(callScan, "docs", "\xff", "", 1, buffer{free, 0}).
		call(callScan, "docs", "", strings.Repeat("k", abi.MaxKey+1), 1, buffer{free, 0})
	if err := in.Handle(t.Context(), s.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	both := list("a1", "1", "a2", "22")
	wantResults(t, in, s, int64(len(both)), 16, int64(len(both)), int64(len(both)), 4, -7, -7, -3, -7, -7, -3)
	if got := read(t, in, buffer{free, uint32(len(both))}); got != both {
		t.Errorf("got %q, want %q", got, both)
	}
	if got, want := read(t, in, buffer{free + 1000, 16}), list("a2", "22"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := read(t, in, buffer{free + 2000, uint32(len(both))}); got != both {
		t.Errorf("got %q, want %q", got, both)
	}
}

// list is what a scan answers for keys and values.
func list(docs ...string) string {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(docs)/2))
	for i := 0; i < len(docs); i += 2 {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(docs[i])))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(docs[i+1])))
		b = append(append(b, docs[i]...), docs[i+1]...)
	}
	return string(b)
}

func TestScanOfTooMuch(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{})
	fx := newMemory()
	for i := range 17 {
		fx.docs[fmt.Sprintf("docs\x00%02d", i)] = []byte(`"` + strings.Repeat("x", 1<<20-2) + `"`)
	}
	s := new(script).
		call(callScan, "docs", "", "", 1000, buffer{free, 0}).
		call(callScan, "docs", "", "", 2, buffer{free, 0})
	if err := in.Handle(t.Context(), s.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	wantResults(t, in, s, int64(abi.ErrnoTooLarge), 4+2*(8+2+1<<20))
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{})
	fx := newMemory()
	long := strings.Repeat("k", abi.MaxKey+1)
	s := new(script).
		call(callGet, "", "k", buffer{free, 0}).
		call(callGet, "c", "", buffer{free, 0}).
		call(callGet, strings.Repeat("c", abi.MaxCollection+1), "k", buffer{free, 0}).
		call(callGet, "c", long, buffer{free, 0}).
		call(callGet, "c\x00", "k", buffer{free, 0}).
		call(callGet, "c", "\xc3", buffer{free, 0}).
		call(callSet, "c", "k", "").
		call(callSet, "c", "k", "{").
		call(callSet, "c", "k", "\"\xff\"").
		call(callSet, "c", "k", strings.Repeat("[", 257)+strings.Repeat("]", 257)).
		call(callSet, "c", "", "1").
		call(callSet, "c", long, "1").
		call(callDelete, "c", "\x00").
		call(callDelete, "", "k")
	if err := in.Handle(t.Context(), s.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	wantResults(t, in, s, -7, -7, -3, -3, -7, -7, -7, -7, -7, -7, -7, -3, -7, -7)
	if fx.writes != 0 {
		t.Errorf("%d writes arrived", fx.writes)
	}
	large := new(script).call(callSet, "c", "k", []byte(`"`+strings.Repeat("x", abi.MaxDocument-2)+`"`)).
		call(callSet, "c", "k", []byte(`"`+strings.Repeat("x", abi.MaxDocument-1)+`"`))
	big := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{})
	if err := big.Handle(t.Context(), large.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	wantResults(t, big, large, 0, int64(abi.ErrnoTooLarge))
}

func TestReadQuota(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{})
	fx := newMemory()
	for i := range 1000 {
		fx.docs[fmt.Sprintf("c\x00%d", i)] = []byte("1")
	}
	s := new(script)
	for range 25 {
		s.call(callScan, "c", "", "", 1000, buffer{free, 0})
	}
	s.call(callGet, "c", "1", buffer{free, 0})
	for range 2 { // the next event has a quota of its own
		if err := in.Handle(t.Context(), s.event(0), 1, fx); err != nil {
			t.Fatal(err)
		}
		answered := 0
		for _, r := range s.results(in) {
			if r != int64(abi.ErrnoQuota) {
				answered++
			}
		}
		if answered != 20 { // 1,001 each, and 19 of them are 19,019
			t.Errorf("%d scans of a thousand documents were answered: %v", answered, s.results(in))
		}
	}
}

func TestWriteQuota(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{Limits: plugin.Limits{Time: 1e11}})
	large := `"` + strings.Repeat("x", 1<<20-2) + `"`
	s := new(script).call(callSet, "c", "k", large)
	for range 16 {
		s.calls = append(s.calls, s.calls[:40]...)
		s.n++
		s.fix = append(s.fix, len(s.calls)-36, len(s.calls)-28, len(s.calls)-20)
	}
	fx := newMemory()
	if err := in.Handle(t.Context(), s.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	got := s.results(in)
	if fx.writes != 15 || got[14] != 0 || got[15] != int64(abi.ErrnoQuota) {
		t.Errorf("%d writes of a mebibyte and a name arrived, the calls returned %v", fx.writes, got)
	}
}

func TestEmit(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{})
	fx := newMemory()
	emitted := func(change func(*event.Emitted)) []byte {
		e := event.Emitted{Stream: "s", StreamType: "t", Type: "Paid", Data: []byte(`{"n":1}`), Metadata: []byte(`{"m":1}`), ContentType: "application/json"}
		change(&e)
		return abi.AppendEmit(nil, &e)
	}
	s := new(script).
		call(callEmit, emitted(func(*event.Emitted) {})).
		call(callEmit, emitted(func(e *event.Emitted) { e.StreamType, e.Metadata, e.ContentType = "", nil, "" })).
		call(callEmit, emitted(func(e *event.Emitted) { e.Data, e.ContentType = []byte{0xff}, "application/octet-stream" })).
		call(callEmit, emitted(func(e *event.Emitted) { e.Data = []byte("{") })).
		call(callEmit, emitted(func(e *event.Emitted) { e.Stream = "" })).
		call(callEmit, emitted(func(e *event.Emitted) { e.Type = "" })).
		call(callEmit, emitted(func(e *event.Emitted) { e.Type = "\xff" })).
		call(callEmit, emitted(func(e *event.Emitted) { e.Metadata = []byte("[]") })).
		call(callEmit, emitted(func(e *event.Emitted) { e.Stream = strings.Repeat("s", 600) })).
		call(callEmit, emitted(func(e *event.Emitted) { e.Data = []byte(`"` + strings.Repeat("s", abi.MaxEmitData) + `"`) })).
		call(callEmit, "not an event").
		call(callEmit, "")
	if err := in.Handle(t.Context(), s.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	wantResults(t, in, s, 0, 0, 0, -7, -7, -7, -7, -7, -3, -3, -7, -7)
	if len(fx.emitted) != 3 {
		t.Fatalf("%d events arrived", len(fx.emitted))
	}
	first, second := fx.emitted[0], fx.emitted[1]
	if first.Cause != 7 || first.ID == "" || first.ID == second.ID || first.Stream != "s" || first.StreamType != "t" || first.Type != "Paid" ||
		string(first.Data) != `{"n":1}` || string(first.Metadata) != `{"m":1,"causation_id":"e7","correlation_id":"e7","causation_depth":1}` || first.ContentType != "application/json" {
		t.Errorf("got %+v", first)
	}
	if string(second.Metadata) != `{"causation_id":"e7","correlation_id":"e7","causation_depth":1}` || second.ContentType != "application/json" {
		t.Errorf("got %+v", second)
	}
	many := new(script)
	for range abi.MaxEmits + 1 {
		many.call(callEmit, emitted(func(*event.Emitted) {}))
	}
	if err := in.Handle(t.Context(), many.event(0), 1, fx); err != nil {
		t.Fatal(err)
	}
	if got := many.results(in); got[abi.MaxEmits-1] != 0 || got[abi.MaxEmits] != int64(abi.ErrnoQuota) {
		t.Errorf("the last two emits answered %v", got[abi.MaxEmits-1:])
	}
}

func TestFailKeepsTheLastText(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{})
	s := new(script).call(callFail, "first").call(callFail, "last \n\x1b[31m\xff é").call(callFail, strings.Repeat("x", 5000)).call(callFail, "last \n\x1b[31m\xff é")
	err := in.Handle(t.Context(), s.event(1), 1, newMemory())
	failure(t, err, event.FailRetry, `last \n\x1b[31m\xff é`)
	if in.Spent() {
		t.Error("a retry spends the instance")
	}
	s = new(script).call(callFail, strings.Repeat("é", 5000))
	f := failure(t, in.Handle(t.Context(), s.event(2), 1, newMemory()), event.FailReject, "éé…")
	if len(f.Message) > abi.MaxFailText+len("…") {
		t.Errorf("the message has %d bytes", len(f.Message))
	}
	f = failure(t, in.Handle(t.Context(), new(script).event(2), 1, newMemory()), event.FailReject, "gave no reason")
	if f.Stack != "" {
		t.Errorf("a stack %q", f.Stack)
	}
}

func TestWildPointersStopTheGuest(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	m := load(t, e, "forward", plugin.Spec{})
	const end = 4 << 20
	wild := []buffer{{0xffffffff, 0xffffffff}, {end - 1, 2}, {end + 1, 0}, {0, end + 1}, {0xfffffff0, 0x20}, {1, 0xffffffff}}
	good := buffer{free, 1}
	for function, args := range map[int]int{callGet: 3, callSet: 3, callDelete: 2, callEmit: 1, callFail: 1, callConfig: 2} {
		for at := range args {
			for _, w := range wild {
				bufs := []any{good, good, good}[:args]
				bufs[at] = w
				wantStopped(t, m, new(script).call(function, bufs...), fmt.Sprintf("function %d, argument %d, %v", function, at, w))
			}
		}
	}
	for _, w := range wild {
		wantStopped(t, m, new(script).call(callLog, 1, w), "log")
		wantStopped(t, m, new(script).call(callRead, w, 0), "result_read")
		wantStopped(t, m, new(script).call(callScan, w, good, good, 1, good), "scan's collection")
		wantStopped(t, m, new(script).call(callScan, good, w, good, 1, good), "scan's prefix")
		wantStopped(t, m, new(script).call(callScan, good, good, w, 1, good), "scan's after")
		wantStopped(t, m, new(script).call(callScan, good, good, good, 1, w), "scan's buffer")
	}
}

func wantStopped(t *testing.T, m *plugin.Module, s *script, what string) {
	t.Helper()
	in, err := m.NewInstance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close(t.Context())
	fx := newMemory()
	err = in.Handle(t.Context(), s.event(0), 1, fx)
	var f *event.Failure
	if !errors.As(err, &f) || f.Kind != event.FailProtocol || !in.Spent() || fx.writes+len(fx.emitted) > 0 {
		t.Errorf("%s: got %v", what, err)
	}
}

func TestNothingIsAllowedWhileStarting(t *testing.T) {
	t.Parallel()
	var l logs
	in := start(t, "starting", plugin.EngineOptions{Logger: l.logger()}, plugin.Spec{Config: map[string]string{"k": "value"}})
	var got []int64
	for i := range uint32(6) {
		v, _ := in.Memory().ReadUint64Le(0x8000 + 8*i)
		got = append(got, int64(v))
	}
	denied := int64(abi.ErrnoDenied)
	if want := fmt.Sprint([]int64{denied, denied, denied, denied, denied, 5}); fmt.Sprint(got) != want {
		t.Errorf("the calls returned %v, want %v", got, want)
	}
	if !strings.Contains(l.String(), `level=INFO msg=value plugin=test starting=true`) {
		t.Errorf("logged %q", l.String())
	}
}
