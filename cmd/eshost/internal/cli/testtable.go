package cli

import (
	"fmt"
	"io"
	"strings"
)

// trialRows is how much of each part the table shows.
const trialRows = 20

func (a *app) printTrial(r *trialReport) error {
	if a.json {
		return writeJSON(a.out, r)
	}
	p := &trialPrinter{w: a.out}
	p.documents(r.Documents)
	p.emitted(r.Emitted)
	p.logs(r.Logs, r.LogsDropped)
	p.failures(r.Failures)
	p.outcomes(r.Outcomes)
	p.fuel(r.Fuel)
	p.chaos(r.Chaos)
	p.expected(r.Expected)
	p.summary(r)
	return p.err
}

// trialPrinter prints a report for people, part after part. It keeps the first error.
type trialPrinter struct {
	w   io.Writer
	err error
}

func (p *trialPrinter) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// table prints the first rows of a part and says how many more there are. A part without rows is left out.
func (p *trialPrinter) table(header string, n int, row func(i int) string) {
	if n == 0 || p.err != nil {
		return
	}
	t := newTable(p.w)
	fmt.Fprintln(t, header)
	for i := range min(n, trialRows) {
		fmt.Fprintln(t, row(i))
	}
	if p.err = t.Flush(); n > trialRows {
		p.printf("… and %d more: --json prints all\n", n-trialRows)
	}
	p.printf("\n")
}

func (p *trialPrinter) documents(docs []trialDocument) {
	p.table("DOCUMENT\tDATA", len(docs), func(i int) string {
		return documentName(docs[i].Collection, docs[i].Key) + "\t" + short(string(docs[i].Data), 100)
	})
}

func documentName(collection, key string) string {
	return short(collection, 40) + "/" + short(key, 60)
}

// short makes text printable and cuts it for a table.
func short(text string, most int) string {
	return shorten(printable(text[:min(len(text), 4*most+4)]), most)
}

func (p *trialPrinter) emitted(events []trialEmitted) {
	p.table("EMITTED\tAFTER\tSTREAM\tDATA", len(events), func(i int) string {
		e := &events[i]
		data := string(e.Data)
		if e.Data == nil {
			data = "base64 " + e.DataBase64
		}
		return fmt.Sprintf("%s\t%d\t%s\t%s", short(e.Type, 40), e.After, short(e.Stream, 40), short(data, 80))
	})
}

func (p *trialPrinter) logs(lines []trialLine, dropped int) {
	p.table("LOG\tEVENT\tTEXT", len(lines), func(i int) string {
		at := "start"
		if lines[i].Position > 0 {
			at = fmt.Sprint(lines[i].Position)
		}
		return fmt.Sprintf("%s\t%s\t%s", lines[i].Level, at, short(lines[i].Text, 200))
	})
	if dropped > 0 {
		p.printf("%s more of the log dropped\n\n", plural(dropped, "line"))
	}
}

func (p *trialPrinter) failures(failures []trialFailure) {
	for i := range failures[:min(len(failures), trialRows)] {
		p.failure(&failures[i])
	}
	if n := len(failures); n > trialRows {
		p.printf("… and %d more failures: --json prints all\n\n", n-trialRows)
	}
}

func (p *trialPrinter) failure(f *trialFailure) {
	p.printf("FAILED: event %d, %s of %s\n", f.Position, printable(f.Type), printable(f.Stream))
	p.printf("  id     %s\n", printable(f.ID))
	p.printf("  data   %s\n", printable(f.Data))
	p.printf("  error  %s: %s\n", f.Kind, printable(f.Error))
	for i, frame := range f.Stack {
		name := "       "
		if i == 0 {
			name = "stack  "
		}
		p.printf("  %s%s\n", name, printable(frame))
	}
	p.printf("  tried  %s\n", times(f.Attempts))
	if f.Waiting > 0 {
		p.printf("  %s behind it, of the same ordering key\n", waits(f.Waiting))
	}
	p.printf("\n")
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func waits(n int) string {
	if n == 1 {
		return "1 event waits"
	}
	return fmt.Sprintf("%d events wait", n)
}

func (p *trialPrinter) outcomes(outcomes []trialOutcome) {
	p.table("POSITION\tTYPE\tSTREAM\tOUTCOME\tFUEL", len(outcomes), func(i int) string {
		o := &outcomes[i]
		return fmt.Sprintf("%d\t%s\t%s\t%s\t%d", o.Position, short(o.Type, 40), short(o.Stream, 40), o.Outcome, o.Fuel)
	})
}

func (p *trialPrinter) fuel(f trialFuel) {
	types := f.Types
	if len(types) == 1 {
		types = nil // the line of all says the same
	}
	p.table("FUEL\tEVENTS\tTOTAL\tMIN\tMEDIAN\tMAX\tCOSTLIEST", len(types)+1, func(i int) string {
		name, r := "all", f.fuelRange
		if i > 0 {
			name, r = short(types[i-1].Type, 40), types[i-1].fuelRange
		}
		return fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\tevent %d", name, r.Events, r.Total, r.Min, r.Median, r.Max, r.Costliest)
	})
}

func (p *trialPrinter) chaos(c *trialChaos) {
	if c == nil || c.Difference == nil {
		return
	}
	d := c.Difference
	p.printf("CHAOS: a difference after event %d, %s of %s\n", d.Position, printable(d.Type), printable(d.Stream))
	p.printf("  id    %s\n", printable(d.ID))
	switch d.What {
	case "document":
		p.printf("  document %s\n", documentName(d.Collection, d.Key))
	case "emitted":
		p.printf("  what it emitted\n")
	default:
		p.printf("  how it ended\n")
	}
	p.both("one instance", d.Steady, "several", d.Chaos)
	p.printf("\n")
}

func (p *trialPrinter) expected(x *trialExpected) {
	if x == nil || len(x.Differences) == 0 {
		return
	}
	for i := range x.Differences[:min(len(x.Differences), trialRows)] {
		d := &x.Differences[i]
		p.printf("%s: %s\n", strings.ToUpper(d.Kind), d.name())
		p.both("expected", string(d.Expected), "got", string(d.Got))
	}
	if n := len(x.Differences); n > trialRows {
		p.printf("… and %d more: --json prints all\n", n-trialRows)
	}
	p.printf("\n")
}

func (d *expectedDiff) name() string {
	switch d.What {
	case "document":
		return "document " + documentName(d.Collection, d.Key)
	case "emitted":
		return fmt.Sprintf("emitted event %d", d.Number)
	}
	return fmt.Sprintf("failure of event %d", d.Number)
}

// both prints two texts below each other; of long ones what is around the first difference. One that is empty is not there.
func (p *trialPrinter) both(nameA, a, nameB, b string) {
	width := max(len(nameA), len(nameB))
	from := 0
	if a != "" && b != "" {
		from = differsAt(a, b)
	}
	for _, side := range []struct{ name, text string }{{nameA, a}, {nameB, b}} {
		text := "nothing"
		if side.text != "" {
			text = around(side.text, from)
		}
		p.printf("  %-*s  %s\n", width, side.name, text)
	}
}

func differsAt(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// around shows what of a text lies near an index, all of it if it is short.
func around(text string, at int) string {
	const most, before = 160, 60
	if at <= most-before {
		return short(text, most)
	}
	return "…" + short(strings.ToValidUTF8(text[min(at-before, len(text)):], ""), most-1)
}

func (p *trialPrinter) summary(r *trialReport) {
	t := newTable(p.w)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("events", "%s", r.Events)
	row("made", "%s, %s", plural(len(r.Documents), "document"), plural(len(r.Emitted), "emitted event"))
	row("fuel", "%d", r.Fuel.Total)
	row("memory", "%d bytes at most", r.PeakMemory)
	if c := r.Chaos; c != nil {
		result := "the same documents and events"
		if c.Difference != nil {
			result = fmt.Sprintf("different after event %d", c.Difference.Position)
		}
		row("chaos", "%s (%s, %s thrown away, another one's turn %s, seed %d)", result, plural(c.Runs, "run"), plural(c.Thrown, "instance"), times(c.Turns), c.Seed)
	}
	if x := r.Expected; x != nil {
		result := "as " + printable(x.File) + " says"
		switch {
		case x.Updated:
			result = fmt.Sprintf("wrote %s: %s, %s, %s", printable(x.File), plural(len(r.Documents), "document"),
				plural(len(r.Emitted), "emitted event"), plural(len(r.Failures), "failure"))
		case !x.Matches:
			result = fmt.Sprintf("%d results are not as %s says", len(x.Differences), printable(x.File))
		}
		row("expected", "%s", result)
	}
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
}

func (c trialCounts) String() string {
	text := fmt.Sprintf("%d handled", c.Handled)
	for _, more := range []struct {
		n    int
		what string
	}{{c.Retried, "of them not at once"}, {c.Failed, "failed"}, {c.Waiting, "waiting behind them"}, {c.Skipped, "of other types"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	return text
}
