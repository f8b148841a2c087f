//go:build !wasip1

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
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

func TestEventsMakeTheExpectedDocuments(t *testing.T) {
	type event struct {
		Stream, Type string
		Data         json.RawMessage
	}
	var host eshost.TestHost
	for _, e := range lines[event](t, "events.ndjson") {
		if err := host.Deliver(eshost.TestEvent{Stream: e.Stream, Type: e.Type, Data: e.Data}); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
	}
	type document struct {
		Key      string
		Document json.RawMessage
	}
	expected := lines[document](t, "documents.ndjson")
	for _, want := range expected {
		if got := host.Document(collection, want.Key); got != string(want.Document) {
			t.Errorf("%s is\n%s\nwant\n%s", want.Key, got, want.Document)
		}
	}
	if n := len(host.Documents(collection)); n != len(expected) {
		t.Errorf("there are %d documents, want %d", n, len(expected))
	}
}

func TestSingleEventsEndAsExpected(t *testing.T) {
	type single struct {
		Name, Type, Data, Before, After, Reject, Retry string
		DataBase64                                     []byte `json:"data_base64"`
		Config                                         map[string]string
	}
	for _, c := range lines[single](t, "cases.ndjson") {
		t.Run(c.Name, func(t *testing.T) {
			host := eshost.TestHost{Config: c.Config}
			if c.Before != "" {
				host.SetDocument(collection, "acc", c.Before)
			}
			err := host.Deliver(eshost.TestEvent{Stream: "acc", Type: c.Type, Data: append([]byte(c.Data), c.DataBase64...)})

			got, want := "", ""
			if err != nil {
				got = err.Error()
			}
			if c.Reject != "" {
				want = "reject: " + c.Reject
			} else if c.Retry != "" {
				want = "retry: " + c.Retry
			}
			if got != want {
				t.Errorf("failed with %q, want %q", got, want)
			}
			after := c.After
			if after == "" {
				after = c.Before
			}
			if got := host.Document(collection, "acc"); got != after {
				t.Errorf("the document is\n%s\nwant\n%s", got, after)
			}
		})
	}
}
