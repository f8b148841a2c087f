package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"eshost/host/eventjson"
	"eshost/host/store"
)

// maxBatchBytes ends a batch early: memory is bounded by it and by one line.
const maxBatchBytes = 8 << 20

// livePause is how long a live input may pause before what is there is stored.
const livePause = 50 * time.Millisecond

// importer stores the events of an input batch by batch.
type importer struct {
	log    store.Log
	name   string // of the input
	most   int    // lines in a batch
	live   bool   // the input may pause: what is there is stored then
	events *eventjson.Reader
	bar    *progress
	began  time.Time

	batch  []eventjson.Item
	bytes  int
	ids    map[string]bool // of the batch
	result imported
	// stored is the last line that is stored, and withoutID says that a stored line had no id: to
	// append it again would store it again.
	stored    int
	withoutID bool
}

// run stores until the end of the input or the first error.
func (im *importer) run(ctx context.Context) error {
	im.ids = make(map[string]bool)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	input := im.read(ctx)
	paused := time.NewTimer(livePause)
	defer paused.Stop()
	for {
		select {
		case <-ctx.Done():
			return im.interrupted(ctx.Err())
		case <-paused.C:
			if im.live {
				if err := im.flush(ctx); err != nil {
					return err
				}
			}
		case r := <-input:
			if errors.Is(r.err, io.EOF) {
				return im.flush(ctx)
			}
			if err := im.add(ctx, r); err != nil {
				return err
			}
		}
		paused.Reset(livePause)
	}
}

// line is one event of the input, or the error that ended it.
type line struct {
	item eventjson.Item
	err  error
}

// read parses the input beside the store's work. Nobody waits for it: reading standard input cannot be
// interrupted, and it keeps nothing but that.
func (im *importer) read(ctx context.Context) <-chan line {
	lines := make(chan line)
	go func() {
		for {
			item, err := im.events.Next()
			select {
			case lines <- line{item, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// add takes a line into the batch and stores the batch when it is full.
func (im *importer) add(ctx context.Context, l line) error {
	var bad *eventjson.LineError
	if errors.As(l.err, &bad) {
		return im.refuse(exitInput, bad.Line, bad.Err)
	}
	if l.err != nil {
		return im.refuse(exitFailed, 0, fmt.Errorf("read: %w", l.err))
	}
	// An id that occurs twice is for the store to judge: the same event again, or a conflict. It
	// judges between requests.
	if id := l.item.Append.Events[0].ID; im.ids[id] && id != "" || im.bytes+l.item.Size > maxBatchBytes {
		if err := im.flush(ctx); err != nil {
			return err
		}
	}
	im.take(l.item)
	if len(im.batch) < im.most {
		return nil
	}
	return im.flush(ctx)
}

func (im *importer) take(item eventjson.Item) {
	im.batch = append(im.batch, item)
	im.bytes += item.Size
	im.ids[item.Append.Events[0].ID] = true
}

// flush stores the batch, whole or not at all.
func (im *importer) flush(ctx context.Context) error {
	if len(im.batch) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return im.interrupted(err)
	}
	answer := im.log.Append(ctx, []store.AppendRequest{request(im.batch)})[0]
	if answer.Err != nil {
		return im.explain(answer.Err)
	}
	im.result.add(answer.Events)
	im.stored = im.batch[len(im.batch)-1].Line
	im.withoutID = im.withoutID || im.ids[""]
	im.bar.show(im.result.Lines)
	im.batch, im.bytes = im.batch[:0], 0
	clear(im.ids)
	return nil
}

// request makes one request of a batch. The order of lines is the order of positions, so only
// neighbours of one stream are put together, and only where none of them asks for a version: together
// with a line that does, the others would have to follow it without a gap.
func request(batch []eventjson.Item) store.AppendRequest {
	var r store.AppendRequest
	for _, item := range batch {
		s := item.Append
		if n := len(r.Streams); n > 0 && together(&r.Streams[n-1], &s) {
			r.Streams[n-1].Events = append(r.Streams[n-1].Events, s.Events...)
			continue
		}
		r.Streams = append(r.Streams, s)
	}
	return r
}

func together(a, b *store.StreamAppend) bool {
	return a.Stream == b.Stream && a.StreamType == b.StreamType && a.Expected == store.AnyVersion && b.Expected == store.AnyVersion
}

// explain finds the line that the store's refusal is about.
func (im *importer) explain(err error) error {
	var version *store.VersionConflictError
	var id *store.IDConflictError
	var invalid *store.InvalidError
	switch {
	case errors.As(err, &version):
		return im.refuse(exitFailed, im.find(func(s store.StreamAppend) bool {
			return s.Stream == version.Stream && s.Expected == version.Expected
		}), err)
	case errors.As(err, &id):
		return im.refuse(exitFailed, im.find(func(s store.StreamAppend) bool { return s.Events[0].ID == id.ID }), err)
	case errors.As(err, &invalid):
		return im.refuse(exitInput, im.find(func(s store.StreamAppend) bool {
			return s.Stream == invalid.Stream && s.StreamType == invalid.StreamType
		}), err)
	}
	return &failure{
		code: codeOf(err),
		err:  im.aboutBatch(err),
		hints: []string{
			"these lines may be stored or not; " + im.storedBefore(),
			"events that have an id can be appended again without being stored twice",
		},
	}
}

func (im *importer) find(match func(store.StreamAppend) bool) int {
	for _, item := range im.batch {
		if match(item.Append) {
			return item.Line
		}
	}
	return 0
}

// refuse says that nothing of the batch is stored because of a line, or of the batch as a whole where
// the line is 0.
func (im *importer) refuse(code, line int, err error) error {
	if line > 0 {
		err = fmt.Errorf("%s:%d: %w", im.name, line, err)
	} else {
		err = im.aboutBatch(err)
	}
	hints := []string{im.storedBefore()}
	switch {
	case im.stored > 0 && im.withoutID:
		hints = append(hints, fmt.Sprintf("append only the lines after line %d next: some of the stored ones have no id and would be stored twice", im.stored))
	case im.stored > 0:
		hints = append(hints, "mend the line and run the command again: what is stored has ids and is not stored twice")
	default:
		hints = append(hints, "mend the line and run the command again")
	}
	return &failure{code: code, err: err, hints: hints}
}

// interrupted says what is stored. Of the batch nothing is.
func (im *importer) interrupted(err error) error {
	next := "run the command again to store the rest"
	switch {
	case im.stored > 0 && im.withoutID:
		next = fmt.Sprintf("append only the lines after line %d next: some of the stored ones have no id and would be stored twice", im.stored)
	case im.stored > 0:
		next += ": what is stored has ids and is not stored twice"
	}
	return &failure{code: exitInterrupted, err: im.aboutBatch(err), hints: []string{im.storedBefore(), next}}
}

func (im *importer) aboutBatch(err error) error {
	if len(im.batch) == 0 {
		return fmt.Errorf("%s: %w", im.name, err)
	}
	first, last := im.batch[0].Line, im.batch[len(im.batch)-1].Line
	if first == last {
		return fmt.Errorf("%s:%d: %w", im.name, first, err)
	}
	return fmt.Errorf("%s: lines %d to %d: %w", im.name, first, last, err)
}

func (im *importer) storedBefore() string {
	if im.stored == 0 {
		return "nothing was stored"
	}
	return fmt.Sprintf("everything up to line %d was stored, nothing after it", im.stored)
}
