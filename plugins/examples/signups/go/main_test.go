//go:build !wasip1

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

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
	var host eshost.TestHost
	var failures []string
	waiting := map[string]bool{}
	for _, e := range lines[struct {
		Stream, Type string
		Time         time.Time
		Data         json.RawMessage
	}](t, "events.ndjson") {
		if waiting[e.Stream] {
			continue
		}
		if err := host.Deliver(eshost.TestEvent{Stream: e.Stream, Type: e.Type, Time: e.Time, Data: e.Data}); err != nil {
			failures = append(failures, e.Stream+": "+err.Error())
			waiting[e.Stream] = true
		}
	}
	var expectedFailures []string
	documents := 0
	for _, x := range lines[struct {
		Document *struct {
			Collection, Key string
			Data            json.RawMessage
		}
		Failure *struct{ Stream, Kind, Error string }
	}](t, "expected.ndjson") {
		if f := x.Failure; f != nil {
			expectedFailures = append(expectedFailures, f.Stream+": "+f.Kind+": "+f.Error)
			continue
		}
		documents++
		if d := x.Document; host.Document(d.Collection, d.Key) != string(d.Data) {
			t.Errorf("%s/%s is %s, want %s", d.Collection, d.Key, host.Document(d.Collection, d.Key), d.Data)
		}
	}
	if !slices.Equal(failures, expectedFailures) {
		t.Errorf("failed:\n%q\nwant\n%q", failures, expectedFailures)
	}
	made := 0
	for _, collection := range []string{"months", "report", "users"} {
		made += len(host.Documents(collection))
	}
	if made != documents {
		t.Errorf("there are %d documents, want %d", made, documents)
	}
}

func TestMonths(t *testing.T) {
	for _, c := range []struct {
		microseconds int64
		month        string
	}{
		{-1, "1969-12"},
		{0, "1970-01"},
		{951_782_400_000_000, "2000-02"}, // the 29th
		{-62_135_596_800_000_000, "0001-01"},
		{253_402_300_799_999_999, "9999-12"},
	} {
		if got := monthOf(time.UnixMicro(c.microseconds)).String(); got != c.month {
			t.Errorf("%d microseconds are in %s, want %s", c.microseconds, got, c.month)
		}
	}
}

func TestReportGrowsSoFar(t *testing.T) {
	for _, c := range []struct {
		distance int
		failure  string
	}{
		{farthest, ""},
		{farthest + 1, "reject: the event is 1201 months away from the others: is its time right?"},
	} {
		var host eshost.TestHost
		deliver := func(stream string, months int) string {
			at := time.Date(2000, time.January+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
			if err := host.Deliver(eshost.TestEvent{Stream: stream, Type: "UserRegistered", Time: at}); err != nil {
				return err.Error()
			}
			return ""
		}
		got := []string{deliver("user-1", 0), deliver("user-2", c.distance), deliver("user-3", -c.distance)}
		if want := []string{"", c.failure, c.failure}; !slices.Equal(got, want) {
			t.Errorf("%d months: %q, want %q", c.distance, got, want)
		}
		if n := len(host.Documents("months")); c.failure == "" && n != 2*c.distance+1 || c.failure != "" && n != 1 {
			t.Errorf("%d months: there are %d documents", c.distance, n)
		}
	}
}
