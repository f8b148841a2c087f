package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// expectedLine is one line of an expected file: it has one of these.
type expectedLine struct {
	Document *trialDocument `json:"document,omitempty"`
	Emitted  *trialEmitted  `json:"emitted,omitempty"`
	Failure  *trialFailure  `json:"failure,omitempty"`
}

// expectation is an expected file. Documents and failures have an order of their own; what is emitted is
// expected in the order of the file.
type expectation struct {
	documents []trialDocument
	emitted   []trialEmitted
	failures  []trialFailure
}

// trialExpected says how the result compares with the expected file.
type trialExpected struct {
	File        string         `json:"file"`
	Updated     bool           `json:"updated"` // written by this run
	Matches     bool           `json:"matches"`
	Differences []expectedDiff `json:"differences"`
}

// expectedDiff is one thing that came out differently. Expected or Got is null where it is missing.
type expectedDiff struct {
	Kind       string          `json:"kind"` // missing, unexpected or differs
	What       string          `json:"what"` // document, emitted or failure
	Collection string          `json:"collection,omitempty"`
	Key        string          `json:"key,omitempty"`
	Number     int64           `json:"number,omitempty"` // which emitted event, from 1; or the position of the failure
	Expected   json.RawMessage `json:"expected"`
	Got        json.RawMessage `json:"got"`
}

const expectHint = "--update with --expect writes such a file"

// readExpected reads the expected file. With --update it only makes sure that nothing else is overwritten.
func (r *trialRun) readExpected() (*expectation, error) {
	if r.expect == "" {
		return nil, nil
	}
	switch info, err := os.Stat(r.expect); {
	case err == nil && info.IsDir():
		return nil, badInput("name a file", "%s is a folder", r.expect)
	case err == nil && r.update && !info.Mode().IsRegular():
		// To replace it would take the device or pipe away from everybody.
		return nil, badInput("name a file", "%s is a device or a pipe, which --update does not replace", r.expect)
	}
	text, err := os.ReadFile(r.expect)
	if errors.Is(err, fs.ErrNotExist) {
		if r.update {
			return nil, checkFolderOf(r.expect)
		}
		return nil, missing("--update writes it", "there is no file %q", r.expect)
	}
	if err != nil {
		return nil, fmt.Errorf("read what is expected: %w", err)
	}
	x, err := parseExpected(r.expect, text)
	if err != nil && r.update {
		return nil, badInput("name another file, or remove it first", "%w; --update would overwrite it", err)
	}
	if err != nil {
		return nil, badInput(expectHint, "%w", err)
	}
	return x, nil
}

func checkFolderOf(file string) error {
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return missing("make it first", "there is no folder %q to write %s to", filepath.Dir(file), filepath.Base(file))
	}
	return nil
}

// parseExpected reads JSON objects one after another, however they are laid out.
func parseExpected(name string, text []byte) (*expectation, error) {
	x := new(expectation)
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	seen := make(map[[2]string]bool)
	for {
		rest := text[in.InputOffset():]
		begin := len(text) - len(bytes.TrimLeft(rest, " \t\r\n"))
		var line expectedLine
		err := in.Decode(&line)
		if errors.Is(err, io.EOF) {
			return x, nil
		}
		if err == nil {
			err = x.add(&line, seen)
		}
		if err != nil {
			at := 1 + bytes.Count(text[:begin], []byte("\n"))
			return nil, fmt.Errorf("%s:%d: not a line of an expected file: %s", name, at, strings.TrimPrefix(err.Error(), "json: "))
		}
	}
}

func (x *expectation) add(line *expectedLine, seen map[[2]string]bool) error {
	switch d, e, f := line.Document, line.Emitted, line.Failure; {
	case d != nil && e == nil && f == nil:
		if d.Collection == "" || d.Key == "" || len(d.Data) == 0 {
			return errors.New("a document has collection, key and data")
		}
		id := [2]string{d.Collection, d.Key}
		if seen[id] {
			return fmt.Errorf("document %s/%s is there twice", d.Collection, d.Key)
		}
		seen[id] = true
		x.documents = append(x.documents, *d)
	case e != nil && d == nil && f == nil:
		if e.Stream == "" || e.Type == "" {
			return errors.New("an emitted event has stream and type")
		}
		x.emitted = append(x.emitted, *e)
	case f != nil && d == nil && e == nil:
		if f.Position < 1 || f.Kind == "" {
			return errors.New("a failure has position, type, stream, kind and error")
		}
		x.failures = append(x.failures, *f)
	default:
		return errors.New("it is an object with one of document, emitted and failure")
	}
	return nil
}

// expectation is what the report would have a file expect.
func (r *trialReport) expectation() *expectation {
	x := &expectation{documents: r.Documents}
	for _, e := range r.Emitted {
		e.ID = ""
		x.emitted = append(x.emitted, e)
	}
	for _, f := range r.Failures {
		f.ID, f.Data, f.Attempts, f.Stack = "", "", 0, nil
		x.failures = append(x.failures, f)
	}
	return x
}

// compare finds what differs from what is expected.
func (r *trialReport) compare(file string, want *expectation) error {
	r.Expected = &trialExpected{File: file, Differences: r.expectation().differences(want)}
	n := len(r.Expected.Differences)
	if r.Expected.Matches = n == 0; r.Expected.Matches {
		return nil
	}
	verb := "differ"
	if n == 1 {
		verb = "differs"
	}
	return failed("mend the handler; if the new result is right: --update", "%s %s from %s", plural(n, "result"), verb, file)
}

func (x *expectation) differences(want *expectation) []expectedDiff {
	diffs := []expectedDiff{}
	note := func(d expectedDiff) {
		switch {
		case d.Expected == nil:
			d.Kind = "unexpected"
		case d.Got == nil:
			d.Kind = "missing"
		case sameJSON(d.Expected, d.Got):
			return
		default:
			d.Kind = "differs"
		}
		diffs = append(diffs, d)
	}
	pair(x.documents, want.documents, compareDocuments, func(got, expected *trialDocument) {
		d := cmp.Or(got, expected)
		note(expectedDiff{What: "document", Collection: d.Collection, Key: d.Key, Expected: dataOf(expected), Got: dataOf(got)})
	})
	for _, e := range alignEmitted(x.emitted, want.emitted) {
		note(expectedDiff{What: "emitted", Number: int64(e.number), Expected: textOf(e.expected), Got: textOf(e.got)})
	}
	pair(x.failures, want.failures, compareFailures, func(got, expected *trialFailure) {
		note(expectedDiff{What: "failure", Number: int64(cmp.Or(got, expected).Position), Expected: textOf(expected), Got: textOf(got)})
	})
	return diffs
}

// pair calls f for each element of either list with its counterpart in the other, nil where it has none.
func pair[T any](got, expected []T, compare func(a, b T) int, f func(got, expected *T)) {
	got, expected = slices.Clone(got), slices.Clone(expected)
	slices.SortFunc(got, compare)
	slices.SortFunc(expected, compare)
	for len(got) > 0 || len(expected) > 0 {
		var order int
		switch {
		case len(got) == 0:
			order = 1
		case len(expected) == 0:
			order = -1
		default:
			order = compare(got[0], expected[0])
		}
		var g, e *T
		if order <= 0 {
			g, got = &got[0], got[1:]
		}
		if order >= 0 {
			e, expected = &expected[0], expected[1:]
		}
		f(g, e)
	}
}

type emittedPair struct {
	number        int // in its own list, from 1
	got, expected *trialEmitted
}

// alignEmitted leaves out what is equal at both ends, so that one event more or less is told as such.
func alignEmitted(got, expected []trialEmitted) []emittedPair {
	same := func(i, j int) bool { return sameJSON(textOf(&got[i]), textOf(&expected[j])) }
	from, x, y := 0, len(got), len(expected)
	for from < x && from < y && same(from, from) {
		from++
	}
	for x > from && y > from && same(x-1, y-1) {
		x, y = x-1, y-1
	}
	var pairs []emittedPair
	for i := from; i < max(x, y); i++ {
		p := emittedPair{number: i + 1}
		if i < x {
			p.got = &got[i]
		}
		if i < y {
			p.expected = &expected[i]
		}
		pairs = append(pairs, p)
	}
	return pairs
}

func dataOf(d *trialDocument) json.RawMessage {
	if d == nil {
		return nil
	}
	return d.Data
}

// textOf is something as JSON, nil where there is nothing.
func textOf[T any](v *T) json.RawMessage {
	var text bytes.Buffer
	if v == nil || writeJSON(&text, v) != nil {
		return nil
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

func compareDocuments(a, b trialDocument) int {
	return cmp.Or(strings.Compare(a.Collection, b.Collection), strings.Compare(a.Key, b.Key))
}

func compareFailures(a, b trialFailure) int { return cmp.Compare(a.Position, b.Position) }

// update writes the expected file, whole or not at all.
func (r *trialReport) update(file string) error {
	x := r.expectation()
	var text bytes.Buffer
	for i := range x.documents {
		if err := writeJSON(&text, expectedLine{Document: &x.documents[i]}); err != nil {
			return fmt.Errorf("write document %q: %w", x.documents[i].Key, err)
		}
	}
	for i := range x.emitted {
		if err := writeJSON(&text, expectedLine{Emitted: &x.emitted[i]}); err != nil {
			return fmt.Errorf("write emitted event %d: %w", i+1, err)
		}
	}
	for i := range x.failures {
		if err := writeJSON(&text, expectedLine{Failure: &x.failures[i]}); err != nil {
			return fmt.Errorf("write the failure of event %d: %w", x.failures[i].Position, err)
		}
	}
	if err := replaceFile(file, text.Bytes()); err != nil {
		return fmt.Errorf("write what is expected: %w", err)
	}
	r.Expected = &trialExpected{File: file, Updated: true, Matches: true, Differences: []expectedDiff{}}
	return nil
}

// replaceFile writes a file so that it has the old content or the new one whatever happens.
func replaceFile(file string, content []byte) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(file); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", file)
		}
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
