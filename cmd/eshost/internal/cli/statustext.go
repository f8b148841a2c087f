package cli

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// write prints the status for people.
func (r *statusReport) write(w io.Writer) error {
	head := newTable(w)
	fmt.Fprintf(head, "store\t%s\n", printable(r.Store))
	fmt.Fprintf(head, "log\twatermark %d, head %d\n", r.Log.Watermark, r.Log.Head)
	if r.Log.Watermark < r.Log.Head {
		fmt.Fprintf(head, "\t%s\n", r.Log.held())
	}
	for _, h := range r.Hosts {
		fmt.Fprintf(head, "host\t%s\n", h.describe())
	}
	if len(r.Hosts) == 0 {
		fmt.Fprintln(head, "host\tnone runs")
	}
	if f := r.FileRefused; f != nil {
		fmt.Fprintf(head, "hosts.toml\tnot as it is now: host %s: %s\n", printable(f.Host), printable(f.Refused))
	}
	if err := head.Flush(); err != nil || len(r.Plugins) == 0 {
		return err
	}
	fmt.Fprintln(w)
	return r.writePlugins(w)
}

func (l logReport) held() string {
	if len(l.HeldBy) == 0 {
		return "held back by a transaction that has not ended"
	}
	var who []string
	for _, h := range l.HeldBy {
		who = append(who, printable(h.describe()))
	}
	return "held back by " + strings.Join(who, "; ")
}

// describe names a transaction that holds the watermark back. Invariant 9: nothing waits in silence.
func (h holderReport) describe() string {
	who := fmt.Sprintf("pid %d", h.PID)
	if h.PID == 0 {
		who = "prepared transaction"
	}
	if h.Application != "" {
		who += fmt.Sprintf(" %q", h.Application)
	}
	if h.User != "" {
		who += " of user " + h.User
	}
	if h.State != "" && h.PID != 0 {
		who += ", " + h.State
	}
	return who + ", open for " + (time.Duration(h.AgeSeconds) * time.Second).String()
}

func (h hostReport) describe() string {
	state := "live"
	if !h.Live {
		state = "gone without a goodbye"
	}
	return fmt.Sprintf("%s (%s since %s)", printable(h.Name), state, h.StartedAt.UTC().Format(time.RFC3339))
}

// writePlugins prints a line for each plugin and, below the table, why whatever stands still does.
func (r *statusReport) writePlugins(w io.Writer) error {
	table := newTable(w)
	fmt.Fprintln(table, "PLUGIN\tSTATE\tCHECKPOINT\tLAG\tRETRYING\tPARKED\tWAITING\tOWNER\tMODULE")
	for _, p := range r.Plugins {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", printable(p.Name), p.State, p.Checkpoint, p.Lag, p.number(p.Retrying), p.number(p.Parked), p.number(p.Waiting),
			p.owners(), cmp.Or(p.Digest[:min(12, len(p.Digest))], "-"))
		for _, part := range p.Partitions {
			fmt.Fprintf(table, "  /%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t\n", part.Partition, part.State, part.Checkpoint, part.Lag, part.Retrying, part.Parked, part.Waiting,
				ownerName(part.Owner))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, p := range r.Plugins {
		if p.Target != "" {
			fmt.Fprintf(w, "\n%s keeps its read model in %s\n", printable(p.Name), p.Target)
		}
		if p.Unknown != "" {
			fmt.Fprintf(w, "\n%s: what waits behind failed events is not known: %s\n", printable(p.Name), printable(p.Unknown))
		}
		if p.Reason != "" {
			fmt.Fprintf(w, "\n%s is %s: %s\n", printable(p.Name), p.State, printable(p.Reason))
		}
		if p.Refused != nil && p.State != stateNotStarted {
			fmt.Fprintf(w, "\n%s\n", p.describeRefusal())
		}
		if f := p.FirstFailure; f != nil {
			fmt.Fprintf(w, "\n%s: %s\n", printable(p.Name), f.describe())
		}
		for _, g := range p.Generations {
			g.write(w, p.Name)
		}
	}
	return nil
}

// number is how many of something wait.
func (p *pluginReport) number(n int) string {
	if p.Unknown != "" {
		return "?"
	}
	return strconv.Itoa(n)
}

// describeRefusal is about a plugin that has run before.
func (p *pluginReport) describeRefusal() string {
	f := p.Refused
	if p.Owner == nil {
		return fmt.Sprintf("host %s refused what it was given at %s for %s, which nobody runs: %s", printable(f.Host), f.At.Format(time.RFC3339), printable(p.Name), printable(f.Refused))
	}
	return fmt.Sprintf("%s goes on as it was: host %s refused what it was given at %s: %s", printable(p.Name), printable(f.Host), f.At.Format(time.RFC3339), printable(f.Refused))
}

func ownerName(h *hostReport) string {
	if h == nil {
		return "-"
	}
	return shorten(printable(h.Name), 24)
}

// owners is who has the plugin, or how many have a part of it.
func (p *pluginReport) owners() string {
	names := make(map[string]bool)
	for _, part := range p.Partitions {
		names[ownerName(part.Owner)] = true
	}
	if len(names) > 1 {
		return plural(len(names), "host")
	}
	return ownerName(p.Owner)
}

func (s *sequenceReport) describe() string {
	next := ""
	if s.NextAttempt != nil && s.State == "retrying" {
		next = ", next at " + s.NextAttempt.Format(time.RFC3339)
	}
	return fmt.Sprintf("%s %q since position %d, %s waiting, %s%s\n  %s: %s", s.State, s.Key, s.Position, plural(s.Waiting, "event"),
		plural(s.Attempts, "attempt"), next, s.Kind, printable(s.Error))
}
