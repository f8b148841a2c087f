//go:build !wasip1

package typed_test

import (
	"fmt"
	"math"
	"testing"

	eshost "eshost/sdk/go"
	"eshost/sdk/go/typed"
)

func init() { eshost.Handle(handle) }

type greeted struct {
	Name  string `json:"name"`
	Times int    `json:"times"`
}

type greeting struct {
	Name  string         `json:"name"`
	Count int            `json:"count"`
	By    map[string]int `json:"by,omitempty"`
}

func handle(e *eshost.Event) error {
	switch e.Type() {
	case "Greeted":
		return greet(e)
	case "Listed":
		found, err := typed.Scan[greeting]("greetings", "a", "", 10)
		if err != nil {
			return err
		}
		counts := map[string]int{}
		for _, document := range found {
			counts[document.Key] = document.Value.Count
		}
		return typed.Set("lists", "counts", counts)
	case "By":
		by, err := typed.Metadata[map[string]string](e)
		if err != nil {
			return err
		}
		return typed.Set("by", e.Stream(), by["by"])
	case "Emitted":
		return typed.Emit(eshost.NewEvent{Stream: "out", Type: "Sum"}, math.NaN())
	}
	return typed.Set("nan", e.Stream(), math.NaN())
}

func greet(e *eshost.Event) error {
	data, err := typed.Data[greeted](e)
	if err != nil {
		return err
	}
	g, _, err := typed.Get[greeting]("greetings", e.Stream())
	if err != nil {
		return err
	}
	g.Name = data.Name
	g.Count += max(1, data.Times)
	if err := typed.Set("greetings", e.Stream(), g); err != nil {
		return err
	}
	return typed.Emit(eshost.NewEvent{Stream: "audit", Type: "Counted"}, g.Count)
}

func TestDocumentsAndEventsAreTypes(t *testing.T) {
	var host eshost.TestHost
	deliver := func(e eshost.TestEvent) {
		t.Helper()
		if err := host.Deliver(e); err != nil {
			t.Fatal(err)
		}
	}
	want := func(collection, key, document string) {
		t.Helper()
		if got := host.Document(collection, key); got != document {
			t.Errorf("%s/%s is %s, want %s", collection, key, got, document)
		}
	}
	deliver(eshost.TestEvent{Stream: "ada", Type: "Greeted", Data: []byte(`{"name":"Ada"}`)})
	deliver(eshost.TestEvent{Stream: "ada", Type: "Greeted", Data: []byte(`{"name":"<Ada> & Co","times":2,"more":[]}`)})
	want("greetings", "ada", `{"name":"<Ada> & Co","count":3}`)
	if emitted := host.Emitted(); len(emitted) != 2 || string(emitted[1].Data) != "3" || emitted[1].Type != "Counted" {
		t.Errorf("emitted %v", emitted)
	}
	host.SetDocument("greetings", "abe", `{"name":"Abe","count":7,"by":{"en":7}}`)
	host.SetDocument("greetings", "bob", `{"name":"Bob","count":9}`)
	deliver(eshost.TestEvent{Stream: "s", Type: "Listed"})
	want("lists", "counts", `{"abe":7,"ada":3}`)
	deliver(eshost.TestEvent{Stream: "s", Type: "By", Metadata: `{"by":"grace"}`})
	want("by", "s", `"grace"`)
}

func TestWhatDoesNotFitIsTold(t *testing.T) {
	var host eshost.TestHost
	host.SetDocument("greetings", "broken", `{"name":1}`)
	for _, c := range []struct{ stream, eventType, data, want string }{
		{"ada", "Greeted", `{"name":1}`, `reject: data: json: cannot unmarshal number into Go struct field greeted.name of type string`},
		{"ada", "Greeted", `no`, `reject: data: invalid character 'o' in literal null (expecting 'u')`},
		{"broken", "Greeted", `{}`, `retry: document "greetings" "broken": json: cannot unmarshal number into Go struct field greeting.name of type string`},
		{"", "Greeted", `{}`, `retry: state_get "greetings" "": invalid: not JSON, not UTF-8, or a name that is empty or holds a zero byte`},
		{"ada", "Emitted", ``, `retry: event "Sum" for "out": json: unsupported value: NaN`},
		{"ada", "Other", ``, `retry: document "nan" "ada": json: unsupported value: NaN`},
	} {
		err := host.Deliver(eshost.TestEvent{Stream: c.stream, Type: c.eventType, Data: []byte(c.data)})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %s: %v, want %s", c.eventType, c.data, err, c.want)
		}
	}
}

// A handler that counts how often somebody was greeted.
func Example() {
	handle := func(e *eshost.Event) error {
		data, err := typed.Data[greeted](e)
		if err != nil {
			return err // data that does not fit rejects the event
		}
		g, _, err := typed.Get[greeting]("greetings", e.Stream())
		if err != nil {
			return err
		}
		g.Name = data.Name
		g.Count++
		return typed.Set("greetings", e.Stream(), g)
	}
	_ = handle // eshost.Handle(handle) in an init function

	var host eshost.TestHost
	err := host.Deliver(eshost.TestEvent{Stream: "ada", Type: "Greeted", Data: []byte(`{"name":"Ada"}`)})
	fmt.Println(host.Document("greetings", "ada"), err)
	// Output: {"name":"Ada","count":1} <nil>
}
