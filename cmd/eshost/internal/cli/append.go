package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eshost/host/event"
	"eshost/host/eventjson"
	"eshost/host/store"
)

const maxAppendBatch = 10_000

func (a *app) appendCommand() *cobra.Command {
	var batch int
	c := a.command(&cobra.Command{
		Use:   "append FILE|-",
		Short: "Append events from a file, or from standard input with -",
		Long: `append stores events, one JSON object a line:

  {"stream":"acc-1","type":"Deposited","data":{"amount":100}}

stream, type and data are required; data is any JSON value, kept byte for byte (data_base64 takes any
bytes). Optional are stream_type, id, expected_version (a number, "none" or "any"), metadata,
content_type and time. A line with specversion is a CloudEvent 1.0: its subject, or else its source, is
the stream, and source, dataschema and extension attributes become metadata. One JSON array of such
objects is taken too.

Lines are stored in batches, each whole or not at all: on a bad line nothing of its batch is stored, and
what was stored before is reported. A batch ends early when standard input pauses. An event that has an
id is stored once: running the same file again reports it as stored before.`,
		Example: `  eshost append events.ndjson
  generate | eshost append - --json
  eshost events --json --store sqlite:old.db --limit 0 | eshost append -`,
		ValidArgsFunction: completeFile,
	}, func(ctx context.Context, args []string) error { return a.append(ctx, args[0], batch) })
	c.Flags().IntVar(&batch, "batch", 1000, fmt.Sprintf("most lines in one batch, 1 to %d", maxAppendBatch))
	a.jsonFlag(c)
	return c
}

func (a *app) append(ctx context.Context, file string, batch int) error {
	if batch < 1 || batch > maxAppendBatch {
		return badInput(helpHint("append"), "--batch must be a number from 1 to %d, is %d", maxAppendBatch, batch)
	}
	in, size, err := a.input(file)
	if err != nil {
		return err
	}
	defer in.Close()
	t, err := a.openStore(ctx, true)
	if err != nil {
		return err
	}
	defer t.Close()

	bar := newProgress(a.err, size)
	im := &importer{
		log:    t,
		name:   inputName(file),
		most:   batch,
		live:   file == "-",
		events: eventjson.NewReader(bar.count(in)),
		bar:    bar,
		began:  time.Now(),
	}
	err = im.run(ctx)
	bar.clear()
	im.result.Seconds = time.Since(im.began).Seconds()
	if err != nil && im.result.Lines == 0 && !a.json {
		return err
	}
	return errors.Join(err, a.printImport(im.result))
}

// input opens the file, and says how large it is, or 0 where nobody knows.
func (a *app) input(file string) (io.ReadCloser, int64, error) {
	if file == "-" {
		return io.NopCloser(a.in), 0, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, missing("name a file of events, or - for standard input", "there is no file %q", file)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read events: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("read events: %w", err), f.Close())
	}
	if info.IsDir() {
		return nil, 0, errors.Join(badInput("name a file of events", "%s is a folder", file), f.Close())
	}
	return f, info.Size(), nil
}

func inputName(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// imported is what append did. Positions are those of all events of the input, stored now or before.
type imported struct {
	Lines         int            `json:"lines"` // events taken from the input
	Appended      int            `json:"appended"`
	Duplicates    int            `json:"duplicates"`
	FirstPosition event.Position `json:"first_position"`
	LastPosition  event.Position `json:"last_position"`
	Seconds       float64        `json:"seconds"`
}

func (a *app) printImport(r imported) error {
	if a.json {
		return writeJSON(a.out, r)
	}
	parts := []string{"appended " + plural(r.Appended, "event")}
	if r.Lines > 0 {
		parts = append(parts, fmt.Sprintf("positions %d to %d", r.FirstPosition, r.LastPosition))
	}
	if r.Duplicates > 0 {
		parts = append(parts, fmt.Sprintf("%d stored before", r.Duplicates))
	}
	_, err := fmt.Fprintln(a.out, strings.Join(parts, ", "))
	return err
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// add counts what one batch did.
func (r *imported) add(recorded []store.Recorded) {
	for _, e := range recorded {
		if r.Lines++; e.Duplicate {
			r.Duplicates++
		} else {
			r.Appended++
		}
		if r.FirstPosition == 0 || e.Position < r.FirstPosition {
			r.FirstPosition = e.Position
		}
		r.LastPosition = max(r.LastPosition, e.Position)
	}
}
