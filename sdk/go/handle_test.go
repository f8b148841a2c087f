//go:build !wasip1

package eshost

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The handler of these tests does what the test that runs wants.
func init() { Handle(func(e *Event) error { return do(e) }) }

var do func(e *Event) error

func deliver(t *testing.T, h *TestHost, e TestEvent, handle func(e *Event) error) error {
	t.Helper()
	if e.Stream == "" {
		e.Stream = "acc-1"
	}
	do = handle
	return h.Deliver(e)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDocumentsAreWrittenReadAndDeleted(t *testing.T) {
	handle := func(e *Event) error {
		if e.DataText() == "delete" {
			return StateDelete("last", e.Stream())
		}
		before, found, err := StateGet("last", e.Stream())
		if err != nil {
			return err
		}
		if !found {
			before = []byte("null")
		}
		if err := StateSet("last", e.Stream(), e.Data()); err != nil {
			return err
		}
		if own, found, err := StateGet("last", e.Stream()); string(own) != e.DataText() || !found || err != nil {
			return fmt.Errorf("own write is not seen: %q %v %v", own, found, err)
		}
		return StateSet("before", e.Stream(), before)
	}
	var h TestHost
	for _, step := range []struct{ data, last, before string }{
		{"1", "1", "null"}, {"2", "2", "1"}, {"delete", "", "1"}, {"delete", "", "1"}, {"3", "3", "null"},
	} {
		must(t, deliver(t, &h, TestEvent{Data: []byte(step.data)}, handle))
		if last, before := h.Document("last", "acc-1"), h.Document("before", "acc-1"); last != step.last || before != step.before {
			t.Errorf("after %s the documents are %q and %q", step.data, last, before)
		}
	}
}

func TestAFailedEventLeavesNothing(t *testing.T) {
	effects := func() error {
		return errors.Join(
			StateSet("c", "new", []byte("1")), StateDelete("c", "old"), Emit(NewEvent{Stream: "s", Type: "T", Data: []byte("{}")}),
		)
	}
	var h TestHost
	h.SetDocument("c", "old", "0")
	for want, failure := range map[string]error{
		"retry: later":                Retry("later"),
		"reject: never":               Reject("never"),
		"retry: plain":                errors.New("plain"),
		"retry: outer: inner":         fmt.Errorf("outer: %w", errors.New("inner")),
		"reject: account 7: no funds": fmt.Errorf("account 7: %w", Reject("no funds")),
	} {
		err := deliver(t, &h, TestEvent{}, func(*Event) error {
			LogInfo("was here")
			must(t, effects())
			return failure
		})
		if err == nil || err.Error() != want {
			t.Errorf("failed with %v, want %s", err, want)
		}
		var f *Failure
		if !errors.As(err, &f) || f.Rejected != strings.HasPrefix(want, "reject") {
			t.Errorf("%s is %#v", want, err)
		}
		if h.Document("c", "new") != "" || h.Document("c", "old") != "0" || len(h.Emitted()) != 0 {
			t.Errorf("%s left effects", want)
		}
	}
	if len(h.Logs()) != 5 {
		t.Errorf("%d lines are logged; they are no effects", len(h.Logs()))
	}
	must(t, deliver(t, &h, TestEvent{}, func(*Event) error { return effects() }))
	if h.Document("c", "new") != "1" || h.Document("c", "old") != "" || len(h.Emitted()) != 1 {
		t.Error("an event that succeeds has no effects")
	}
}

func TestErrorsOfTheHostNameFunctionCollectionAndKey(t *testing.T) {
	const invalid = "invalid: not JSON, not UTF-8, or a name that is empty or holds a zero byte"
	const tooLarge = "too large: a name, key, value or list is over its limit"
	long := strings.Repeat("ü", 600)
	cut := strings.Repeat("ü", 80) + "…"
	get := func(collection, key string) error { _, _, err := StateGet(collection, key); return err }
	scan := func(limit int) error { _, err := StateScan("balances", "acc-", "", limit); return err }
	config := func(key string) error { _, _, err := ConfigGet(key); return err }
	emit := func(e NewEvent) error { return Emit(e) }
	for _, c := range []struct {
		call func() error
		want string
		is   Errno
	}{
		{func() error { return StateSet("balances", "acc-1", []byte("{")) }, `state_set "balances" "acc-1": ` + invalid, ErrInvalid},
		{func() error { return StateSet("balances", "acc-1", nil) }, `state_set "balances" "acc-1": ` + invalid, ErrInvalid},
		{func() error { return StateSet("balances", "acc-1", []byte("\"\xff\"")) }, `state_set "balances" "acc-1": ` + invalid, ErrInvalid},
		{func() error { return StateSet("b", "k", make([]byte, 1<<20+1)) }, `state_set "b" "k": ` + tooLarge, ErrTooLarge},
		{func() error { return get("balances", "") }, `state_get "balances" "": ` + invalid, ErrInvalid},
		{func() error { return get("", "acc-1") }, `state_get "" "acc-1": ` + invalid, ErrInvalid},
		{func() error { return StateDelete("balances", long) }, `state_delete "balances" "` + cut + `": ` + tooLarge, ErrTooLarge},
		{func() error { return scan(0) }, `state_scan "balances" "acc-": ` + invalid, ErrInvalid},
		{func() error { return scan(-1) }, `state_scan "balances" "acc-": ` + invalid, ErrInvalid},
		{func() error { return scan(1001) }, `state_scan "balances" "acc-": ` + tooLarge, ErrTooLarge},
		{func() error { return config(long) }, `config_get "` + cut + `": ` + tooLarge, ErrTooLarge},
		{func() error { return emit(NewEvent{Stream: "alerts", Data: []byte("{}")}) }, `emit "alerts" "": ` + invalid, ErrInvalid},
		{func() error { return emit(NewEvent{Stream: "a", Type: "T"}) }, `emit "a" "T": ` + invalid, ErrInvalid},
		{func() error {
			return emit(NewEvent{Stream: "a", Type: "T", Data: []byte("{}"), Metadata: []byte("[]")})
		}, `emit "a" "T": ` + invalid, ErrInvalid},
	} {
		err := deliver(t, new(TestHost), TestEvent{}, func(*Event) error {
			err := c.call()
			var host *HostError
			if !errors.Is(err, c.is) || !errors.As(err, &host) || host.Function == "" {
				t.Errorf("%v is no %v", err, c.is)
			}
			return err
		})
		if err == nil || err.Error() != "retry: "+c.want {
			t.Errorf("failed with %v\nwant retry: %s", err, c.want)
		}
	}
	if got := Errno(-99).Error(); got != "error -99" {
		t.Errorf("an unknown code is %q", got)
	}
}

func TestDocumentsLargerThanTheFirstBufferAreReadWhole(t *testing.T) {
	must(t, deliver(t, new(TestHost), TestEvent{}, func(*Event) error {
		for _, size := range []int{0, len(firstBuffer) - 3, len(firstBuffer) - 2, len(firstBuffer) - 1, 100_000} {
			document := `"` + strings.Repeat("x", size) + `"`
			must(t, StateSet("c", "k", []byte(document)))
			got, found, err := StateGet("c", "k")
			if string(got) != document || !found || err != nil {
				t.Errorf("%d bytes: read %d, %v, %v", size, len(got), found, err)
			}
		}
		return nil
	}))
}

// What StateGet returned stays when the next call uses the buffer again.
func TestDocumentsStayAsTheyWere(t *testing.T) {
	var h TestHost
	h.SetDocument("c", "a", "1")
	h.SetDocument("c", "b", "2")
	must(t, deliver(t, &h, TestEvent{}, func(*Event) error {
		a, _, _ := StateGet("c", "a")
		b, _, _ := StateGet("c", "b")
		if string(a) != "1" || string(b) != "2" {
			t.Errorf("read %s and %s", a, b)
		}
		return nil
	}))
}

func TestScansPageThroughKeysInByteOrder(t *testing.T) {
	var h TestHost
	for _, key := range []string{"b-1", "a-10", "a-1", "a-2", "a-3"} {
		h.SetDocument("c", key, strings.Repeat("1", 2000))
	}
	h.SetDocument("other", "a-0", "0")
	must(t, deliver(t, &h, TestEvent{}, func(*Event) error {
		must(t, StateSet("c", "a-new", []byte("9")))
		must(t, StateDelete("c", "a-2"))
		for _, c := range []struct {
			prefix, after string
			limit         int
			want          string
		}{
			{"", "", 1000, "a-1 a-10 a-3 a-new b-1"}, {"a-", "", 2, "a-1 a-10"}, {"a-", "a-10", 2, "a-3 a-new"}, {"a-", "a-new", 2, ""},
		} {
			docs, err := StateScan("c", c.prefix, c.after, c.limit)
			must(t, err)
			var keys []string
			for _, doc := range docs {
				keys = append(keys, doc.Key)
				if want := h.Document("c", doc.Key); want != "" && string(doc.Data) != want {
					t.Errorf("%s is %s", doc.Key, doc.Data)
				}
			}
			if got := strings.Join(keys, " "); got != c.want {
				t.Errorf("scan %q after %q found %s, want %s", c.prefix, c.after, got, c.want)
			}
		}
		return nil
	}))
}

func TestSettingsAreRead(t *testing.T) {
	h := TestHost{Config: map[string]string{"currency": "EUR", "empty": "", "long": strings.Repeat("é", 5000)}}
	must(t, deliver(t, &h, TestEvent{}, func(*Event) error {
		for key, want := range h.Config {
			if got, found, err := ConfigGet(key); got != want || !found || err != nil {
				t.Errorf("%s is %q, %v, %v", key, got, found, err)
			}
		}
		if got, found, err := ConfigGet("missing"); got != "" || found || err != nil {
			t.Errorf("missing is %q, %v, %v", got, found, err)
		}
		return nil
	}))
}

func TestLinesAreLoggedWithTheirLevel(t *testing.T) {
	var h TestHost
	must(t, deliver(t, &h, TestEvent{}, func(*Event) error {
		LogDebug("a")
		LogInfo("b")
		LogWarn("c")
		LogError("")
		return nil
	}))
	if got := h.Logs(); !slices.Equal(got, []LogLine{{0, "a"}, {1, "b"}, {2, "c"}, {3, ""}}) {
		t.Errorf("logged %v", got)
	}
}

func TestEmittedEventsArriveInOrder(t *testing.T) {
	want := []NewEvent{
		{Stream: "alerts", Type: "Low", Data: []byte(`{"x":1}`), Metadata: []byte{}},
		{Stream: "alerts", StreamType: "alert", Type: "Text", Data: []byte("hello"), Metadata: []byte(`{"a":1}`), ContentType: "text/plain"},
	}
	var h TestHost
	must(t, deliver(t, &h, TestEvent{}, func(*Event) error { return errors.Join(Emit(want[0]), Emit(want[1])) }))
	if !reflect.DeepEqual(h.Emitted(), want) {
		t.Errorf("emitted %q", h.Emitted())
	}
}

func TestTheFakeHostNumbersEvents(t *testing.T) {
	var h TestHost
	var got []string
	for _, e := range []TestEvent{
		{Stream: "a"}, {Stream: "b"}, {Stream: "a"}, {Stream: "a", Position: 10, Version: 7, Attempt: 3, ID: "x"}, {Stream: "a"},
	} {
		must(t, deliver(t, &h, e, func(e *Event) error {
			got = append(got, fmt.Sprint(e.Position(), e.Version(), e.Attempt(), " ", e.ID(), " ", string(e.Metadata()), " ", e.ContentType(), e.Time().Unix()))
			return nil
		}))
	}
	rest := " {} application/json0"
	if want := []string{"1 1 1 test-1" + rest, "2 1 1 test-2" + rest, "3 2 1 test-3" + rest, "10 7 3 x" + rest, "11 8 1 test-11" + rest}; !slices.Equal(got, want) {
		t.Errorf("numbered %q\nwant %q", got, want)
	}
}

func TestTestsThatRunTogetherKeepTheirHostsApart(t *testing.T) {
	do = func(e *Event) error { return StateSet("c", e.Stream(), []byte(e.DataText())) }
	for i := range 20 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			var h TestHost
			for n := range 50 {
				must(t, h.Deliver(TestEvent{Stream: "s" + strconv.Itoa(i), Data: []byte(strconv.Itoa(n))}))
			}
			if got := h.Documents("c"); len(got) != 1 || got["s"+strconv.Itoa(i)] != "49" {
				t.Errorf("documents are %v", got)
			}
		})
	}
}

func TestAPanicGoesOnToTheTestAndTheHostToTheNextEvent(t *testing.T) {
	var h TestHost
	func() {
		defer func() {
			if cause := recover(); cause != "boom" {
				t.Errorf("recovered %v", cause)
			}
		}()
		_ = deliver(t, &h, TestEvent{}, func(*Event) error {
			must(t, StateSet("c", "k", []byte("1")))
			panic("boom")
		})
	}()
	must(t, deliver(t, &h, TestEvent{}, func(*Event) error { return nil }))
	if h.Document("c", "k") != "" {
		t.Error("a panic left effects")
	}
}

func TestASecondHandlerIsRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second handler was taken")
		}
	}()
	Handle(func(*Event) error { return nil })
}

func TestAnEventLikeTheLastCostsNoAllocation(t *testing.T) {
	envelope := TestEvent{Type: "T", Stream: "s", Data: []byte("{}")}.envelope()
	var e Event
	if n := testing.AllocsPerRun(10, func() {
		e.read(envelope)
		_, _, _, _ = e.Type(), e.Stream(), e.Data(), e.Position()
	}); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

func TestACallWithoutAHostSaysWhatToDo(t *testing.T) {
	for function, call := range map[string]func(){
		"state_get":    func() { _, _, _ = StateGet("c", "k") },
		"state_set":    func() { _ = StateSet("c", "k", []byte("1")) },
		"state_delete": func() { _ = StateDelete("c", "k") },
		"state_scan":   func() { _, _ = StateScan("c", "", "", 1) },
		"emit":         func() { _ = Emit(NewEvent{Stream: "s", Type: "T"}) },
		"log":          func() { LogInfo("text") },
		"config_get":   func() { _, _, _ = ConfigGet("k") },
	} {
		t.Run(function, func(t *testing.T) {
			defer func() {
				want := "eshost: " + function + " was called where no host is: build the plugin with GOOS=wasip1 GOARCH=wasm and -buildmode=c-shared" +
					" and have eshost run it, or in a test hand events to TestHost.Deliver"
				if got := recover(); got != want {
					t.Errorf("panicked with %v, want %s", got, want)
				}
			}()
			call()
		})
	}
}
