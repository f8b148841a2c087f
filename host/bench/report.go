package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes the report as tables.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n%s\n", r.Store, r.Machine)
	if c := r.Catchup; c != nil {
		fmt.Fprintf(t, "\ncatch-up, %d events\tevents/s\tof native\t\n", c.Events)
		if c.Native > 0 {
			fmt.Fprintf(t, "native Go loop\t%.0f\t1.00\t\n", c.Native)
		}
		for _, p := range c.Plugins {
			ratio := "-"
			if p.Ratio > 0 {
				ratio = fmt.Sprintf("%.2f", p.Ratio)
			}
			fmt.Fprintf(t, "%s plugin\t%.0f\t%s\t\n", p.Language, p.Rate, ratio)
		}
	}
	if len(r.Calls) > 0 {
		fmt.Fprintf(t, "\none event in the module\tbytes\tunmetered ns\tmetered ns\tof unmetered\tCloseOnContextDone ns\tof metered\t\n")
		for _, c := range r.Calls {
			fmt.Fprintf(t, "%s\t%d\t%.0f\t%.0f\t%.2f\t%.0f\t%.2f\t\n", c.Language, c.Bytes, c.Plain, c.Metered, c.MeteredRatio, c.Closing, c.ClosingRatio)
		}
	}
	if len(r.SDKs) > 0 {
		fmt.Fprintf(t, "\none event with the SDK\tmodule bytes\tignored ns\tJSON parsed ns\tdocument changed ns\t\n")
		for _, s := range r.SDKs {
			switch {
			case s.Missing != "":
				fmt.Fprintf(t, "%s\t%s\n", s.Language, s.Missing)
			case s.Bytes == 0:
				fmt.Fprintf(t, "%s\t-\t%.0f\t%.0f\t%.0f\t\n", s.Language, s.Ignored, s.Parsed, s.Touched)
			default:
				fmt.Fprintf(t, "%s\t%d\t%.0f\t%.0f\t%.0f\t\n", s.Language, s.Bytes, s.Ignored, s.Parsed, s.Touched)
			}
		}
	}
	if l := r.Live; l != nil {
		fmt.Fprintf(t, "\nlive, %d appends/s\tp50 ms\tp99 ms\tmax ms\t\n%s, %d events\t%.2f\t%.2f\t%.2f\t\n", l.Rate, l.Language, l.Events, l.P50, l.P99, l.Max)
	}
	if a := r.Appends; a != nil {
		fmt.Fprintf(t, "\nappends, %d callers\tevents/s\tof plain\t\n", a.Callers)
		if a.Plain > 0 {
			fmt.Fprintf(t, "plain INSERT and COMMIT\t%.0f\t1.00\t\nthrough the host\t%.0f\t%.2f\t\n", a.Plain, a.Host, a.Ratio)
		} else {
			fmt.Fprintf(t, "through the host\t%.0f\t-\t\n", a.Host)
		}
	}
	if r.Load != nil {
		r.Load.print(t)
	}
	if m := r.Memory; m != nil {
		fmt.Fprintf(t, "\nlong catch-up\tevents/s\tMiB before\tafter a tenth\tat most\tat the end\t\n%s, %d events\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t\n",
			m.Language, m.Events, m.Rate, m.Before, m.Tenth, m.Peak, m.After)
	}
	return t.Flush()
}
