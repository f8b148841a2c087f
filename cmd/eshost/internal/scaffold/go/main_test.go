//go:build !wasip1

package main

import (
	"errors"
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
	for _, data := range []string{`{"name":7}`, `hey`} {
		var host eshost.TestHost
		err := host.Deliver(eshost.TestEvent{Stream: "ada", Type: "Greeted", Data: []byte(data)})
		var failure *eshost.Failure
		if !errors.As(err, &failure) || !failure.Rejected {
			t.Errorf("%s ended with %v", data, err)
		}
		if got := host.Document("greetings", "ada"); got != "" {
			t.Errorf("%s left %s", data, got)
		}
	}
}
