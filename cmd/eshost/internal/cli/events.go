package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"eshost/host/event"
	"eshost/host/eventjson"
	"eshost/host/store"
)

const (
	// settlePatience is how long a command waits for open writers before it goes on without them.
	settlePatience = time.Second
	// pageEvents and pageBytes bound what is read at once.
	pageEvents = 1000
	pageBytes  = 8 << 20
	// followPause is between two looks of --follow.
	followPause = 100 * time.Millisecond
)

// listing says which events to print.
type listing struct {
	after  int64
	stream string
	types  []string
	limit  int
	follow bool
}

func (a *app) eventsCommand() *cobra.Command {
	var l listing
	var c *cobra.Command
	c = a.command(&cobra.Command{
		Use:   "events",
		Short: "Print events of the log",
		Long: `events prints events in the order of their positions, up to the watermark: what is above it may still
change. With --json it prints one object a line, and eshost append takes those lines again.`,
		Example: `  eshost events --stream acc-ada
  eshost events --type Deposited --type Withdrawn --after 1000 --limit 20
  eshost events --follow
  eshost events --json --limit 0 > backup.ndjson`,
		ValidArgsFunction: completeNothing,
	}, func(ctx context.Context, _ []string) error {
		if l.follow && !c.Flags().Changed("limit") {
			l.limit = 0 // to follow is to go on
		}
		return a.events(ctx, l)
	})
	f := c.Flags()
	f.Int64Var(&l.after, "after", 0, "only events after this position")
	f.StringVar(&l.stream, "stream", "", "only events of this stream")
	f.StringArrayVar(&l.types, "type", nil, "only events of this type; may be given more than once")
	f.IntVar(&l.limit, "limit", 100, "most events to print; 0 for all, which --follow prints unless told otherwise")
	f.BoolVar(&l.follow, "follow", false, "go on and print events as they come, until interrupted")
	a.jsonFlag(c)
	return c
}

func (a *app) events(ctx context.Context, l listing) error {
	if l.after < 0 || l.limit < 0 {
		return badInput(helpHint("events"), "--after and --limit must not be negative")
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	tail, state, err := settle(ctx, t.Store, settlePatience)
	if err != nil {
		return err
	}
	defer tail.Close()

	p := &eventPrinter{app: a, listing: l, log: t, after: event.Position(l.after)}
	err = p.print(ctx, state.Watermark)
	for err == nil && l.follow && !p.full() {
		if err = pause(ctx, followPause); err != nil {
			break
		}
		if state, err = poll(ctx, tail); err == nil {
			err = p.print(ctx, state.Watermark)
		}
	}
	if l.follow && errors.Is(err, context.Canceled) {
		return nil
	}
	if err == nil && !l.follow {
		p.explainEnd(state)
	}
	return err
}

// eventPrinter prints a listing page by page.
type eventPrinter struct {
	app     *app
	listing listing
	log     store.Log
	after   event.Position // what has been covered
	last    event.Position // the last event that was printed
	printed int
	more    bool // events are left that the limit kept back
}

func (p *eventPrinter) full() bool { return p.listing.limit > 0 && p.printed >= p.listing.limit }

// print prints what the listing wants of the events up to a position.
func (p *eventPrinter) print(ctx context.Context, upTo event.Position) error {
	for p.after < upTo {
		limit := pageEvents
		if p.listing.limit > 0 {
			limit = min(limit, p.listing.limit-p.printed+1) // one more says whether there are more
		}
		page, err := p.log.Read(ctx, store.ReadOptions{
			After:    p.after,
			UpTo:     upTo,
			Filter:   event.Filter{Types: p.listing.types},
			Stream:   p.listing.stream,
			Limit:    limit,
			MaxBytes: pageBytes,
		})
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if left := p.listing.limit - p.printed; p.listing.limit > 0 && len(page.Events) > left {
			page.Events, p.more = page.Events[:left], true
		}
		if err := p.write(page.Events); err != nil {
			return err
		}
		if p.more {
			return nil
		}
		p.after = page.UpTo
	}
	return nil
}

func (p *eventPrinter) write(events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	write := writeEventTable
	if p.app.json {
		write = writeEventLines
	}
	header := p.printed == 0
	p.printed += len(events)
	p.last = events[len(events)-1].Position
	return write(p.app.out, events, header)
}

// explainEnd says on standard error why the listing ends where it does, if not with the log.
func (p *eventPrinter) explainEnd(state store.TailState) {
	switch {
	case p.more:
		fmt.Fprintf(p.app.err, "eshost: more events follow\nhint: go on with --after %d, or print all with --limit 0\n", p.last)
	case state.Head > state.Watermark:
		fmt.Fprintf(p.app.err, "eshost: events above position %d are not final yet\n", state.Watermark)
		for _, h := range reportHolders(state.Holders) {
			fmt.Fprintln(p.app.err, "eshost: held back by", printable(h.describe()))
		}
	}
}

func writeEventLines(w io.Writer, events []event.Event, _ bool) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var line []byte
	for i := range events {
		line = append(eventjson.Append(line[:0], &events[i]), '\n')
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

func writeEventTable(w io.Writer, events []event.Event, header bool) error {
	table := newTable(w)
	if header {
		fmt.Fprintln(table, "POSITION\tTIME\tSTREAM\tVERSION\tTYPE\tDATA")
	}
	for i := range events {
		e := &events[i]
		fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%s\t%s\n", e.Position, e.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
			shorten(printable(e.Stream), 40), e.Version, shorten(printable(e.Type), 40), preview(e))
	}
	return table.Flush()
}

// preview shows the beginning of an event's data.
func preview(e *event.Event) string {
	const most = 60
	if !utf8.Valid(e.Data) {
		return fmt.Sprintf("%d bytes of %s", len(e.Data), shorten(printable(e.ContentType), 40))
	}
	return shorten(printable(string(e.Data[:min(len(e.Data), 4*most)])), most)
}
