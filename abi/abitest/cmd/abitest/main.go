// Command abitest holds a module to the ABI and prints what passed:
//
//	go run ./abi/abitest/cmd/abitest [--probe] [--json] [--events FILE] [--config KEY=VALUE] [--time DURATION] MODULE.wasm
//
// It ends with 0 if no check failed, with 1 if one did, and with 2 if it was used wrongly.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"eshost/abi/abitest"
	"eshost/host/event"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

const usage = `usage: abitest [flags] MODULE.wasm

Holds a module to the sentences of abi/ABI.md and prints what passed. abi/abitest/README.md says what a probe is.

`

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flag.NewFlagSet("abitest", flag.ContinueOnError)
	f.SetOutput(errs)
	f.Usage = func() { fmt.Fprint(errs, usage); f.PrintDefaults() }
	o := abitest.Options{Config: map[string]string{}}
	f.BoolVar(&o.Probe, "probe", false, "the module is a probe of an SDK: prove each host function through it")
	asJSON := f.Bool("json", false, "print the report as JSON")
	events := f.String("events", "", "a `file` of events the module is made for, one JSON object a line: stream, type, data")
	f.DurationVar(&o.Time, "time", 10*time.Second, "how long one call of the module may take")
	f.Func("config", "a setting of the plugin, as `KEY=VALUE`; may be repeated", func(setting string) error {
		key, value, ok := strings.Cut(setting, "=")
		if !ok {
			return errors.New("it should be KEY=VALUE")
		}
		o.Config[key] = value
		return nil
	})
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if f.NArg() != 1 {
		f.Usage()
		return 2
	}
	wasm, err := os.ReadFile(f.Arg(0))
	if err == nil && *events != "" {
		o.Events, err = readEvents(*events)
	}
	if err != nil {
		fmt.Fprintf(errs, "error: %v\nhint: name a file that exists and can be read\n", err)
		return 2
	}
	report := abitest.Check(ctx, wasm, o)
	if *asJSON {
		err = writeJSON(out, report)
	} else {
		err = print(out, report)
	}
	if err != nil {
		fmt.Fprintf(errs, "error: write the report: %v\n", err)
		return 1
	}
	if !report.OK() {
		return 1
	}
	return 0
}

// maxEvents is how many events of a file are tried.
const maxEvents = 100

// readEvents reads the first events of a file as `eshost append` takes them.
func readEvents(path string) ([]event.Event, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []event.Event
	for d := json.NewDecoder(bufio.NewReader(file)); len(all) < maxEvents; {
		var line struct {
			ID, Stream, Type string
			StreamType       string `json:"stream_type"`
			Data             json.RawMessage
			Metadata         json.RawMessage
		}
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: event %d: %w", path, len(all)+1, err)
		}
		if line.Stream == "" || line.Type == "" {
			return nil, fmt.Errorf("%s: event %d: it needs a stream and a type", path, len(all)+1)
		}
		n := len(all) + 1
		e := event.Event{
			Position: event.Position(n), Version: 1, ID: line.ID, Type: line.Type, Stream: line.Stream, StreamType: line.StreamType,
			Time: time.UnixMicro(1_700_000_000_000_000 + int64(n)), Data: line.Data, Metadata: line.Metadata, ContentType: "application/json",
		}
		if e.ID == "" {
			e.ID = fmt.Sprintf("event-%d", n)
		}
		for _, before := range all {
			if before.Stream == e.Stream {
				e.Version++
			}
		}
		if len(e.Metadata) == 0 {
			e.Metadata = []byte("{}")
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: it has no events", path)
	}
	return all, nil
}

func writeJSON(out io.Writer, report *abitest.Report) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(report)
}

func print(out io.Writer, report *abitest.Report) error {
	w := bufio.NewWriter(out)
	for _, r := range report.Results {
		switch r.Outcome {
		case abitest.Passed:
			fmt.Fprintf(w, "passed   %s\n", r.Check)
		case abitest.Skipped:
			fmt.Fprintf(w, "skipped  %s: %s\n", r.Check, r.Reason)
		case abitest.Failed:
			fmt.Fprintf(w, "FAILED   %s\n         ABI.md:   %s\n         expected: %s\n         got:      %s\n", r.Check, r.Sentence, r.Expected, r.Got)
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", report.Passed, report.Failed, report.Skipped)
	return w.Flush()
}
