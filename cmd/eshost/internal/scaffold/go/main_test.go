//go:build !wasip1

package main

import (
	"testing"

	eshost "eshost/sdk/go"
)

func TestGreetingsAreCounted(t *testing.T) {
	var host eshost.TestHost
	for _, e := range []eshost.TestEvent{
		{Stream: "ada", Type: "Greeted", Data: []byte(`{"name":"Ada"}`)},
		{Stream: "grace", Type: "Greeted", Data: []byte(`{"name":"Grace"}`)},
		{Stream: "ada", Type: "Left", Data: []byte(`{}`)}, // does not count
		{Stream: "ada", Type: "Greeted", Data: []byte(`{"name":"Countess Ada"}`)},
	} {
		if err := host.Deliver(e); err != nil {
			t.Fatalf("%s of %s: %v", e.Type, e.Stream, err)
		}
	}
	for stream, want := range map[string]string{
		"ada":   `{"name":"Countess Ada","count":2}`,
		"grace": `{"name":"Grace","count":1}`,
	} {
		if got := host.Document("greetings", stream); got != want {
			t.Errorf("the document of %s is %s, want %s", stream, got, want)
		}
	}
}

func TestWhatIsNoGreetingIsRejected(t *testing.T) {
	for data, want := range map[string]string{
		`{}`:  "reject: data: there is no name",
		`hey`: "reject: data: invalid character 'h' looking for beginning of value",
	} {
		var host eshost.TestHost
		err := host.Deliver(eshost.TestEvent{Stream: "ada", Type: "Greeted", Data: []byte(data)})
		if err == nil || err.Error() != want {
			t.Errorf("%s ended with %v, want %s", data, err, want)
		}
		if got := host.Document("greetings", "ada"); got != "" {
			t.Errorf("%s left %s", data, got)
		}
	}
}
