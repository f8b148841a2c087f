//go:build !wasip1

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	eshost "eshost/sdk/go"
)

// lines reads a file of ../testdata into one T a line.
func lines[T any](t *testing.T, file string) []T {
	b, err := os.ReadFile(filepath.Join("..", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for line := range bytes.Lines(b) {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%s: %v: %s", file, err, line)
		}
		all = append(all, one)
	}
	return all
}

func TestEventsMakeWhatIsExpected(t *testing.T) {
	type event struct {
		Stream, Type string
		Data         json.RawMessage
	}
	var host eshost.TestHost
	var failures []string
	waiting := map[string]bool{}
	for _, e := range lines[event](t, "events.ndjson") {
		if waiting[e.Stream] {
			continue
		}
		if err := host.Deliver(eshost.TestEvent{Stream: e.Stream, Type: e.Type, Data: e.Data}); err != nil {
			failures = append(failures, e.Stream+": "+err.Error())
			waiting[e.Stream] = true
		}
	}
	var emitted []string
	for _, e := range host.Emitted() {
		emitted = append(emitted, fmt.Sprintf("%s %s %s", e.Stream, e.Type, e.Data))
	}

	documents := 0
	var expectedFailures, expectedEmitted []string
	for _, x := range lines[struct {
		Document *struct {
			Key  string
			Data json.RawMessage
		}
		Emitted *event
		Failure *struct{ Stream, Kind, Error string }
	}](t, "expected.ndjson") {
		switch d, e, f := x.Document, x.Emitted, x.Failure; {
		case d != nil:
			documents++
			if got := host.Document("orders", d.Key); got != string(d.Data) {
				t.Errorf("%s is %s, want %s", d.Key, got, d.Data)
			}
		case e != nil:
			expectedEmitted = append(expectedEmitted, fmt.Sprintf("%s %s %s", e.Stream, e.Type, e.Data))
		case f != nil:
			expectedFailures = append(expectedFailures, f.Stream+": "+f.Kind+": "+f.Error)
		}
	}
	if n := len(host.Documents("orders")); n != documents {
		t.Errorf("there are %d documents, want %d", n, documents)
	}
	if !slices.Equal(emitted, expectedEmitted) {
		t.Errorf("emitted\n%q\nwant\n%q", emitted, expectedEmitted)
	}
	if !slices.Equal(failures, expectedFailures) {
		t.Errorf("failed:\n%q\nwant\n%q", failures, expectedFailures)
	}
}
