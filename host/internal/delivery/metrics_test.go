package delivery

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eshost/host/event"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	var got map[string]float64
	inWorld(t, func(t *testing.T, w *world) {
		m := NewMetrics(reg)
		w.append("a", "bad", "a", "bad")
		h := handler(func(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
			if e.Position == 2 && attempt < 3 || e.Position == 4 {
				return failing(event.FailTrap)
			}
			return notes(ctx, e, fx)
		})
		w.start(h, Options{Metrics: m, Attempts: 3})
		rest(time.Minute)
		got = gather(t, reg)
	})
	for name, want := range map[string]float64{
		"eshost_events_handled_total":      3 + 2 + 3, // a, bad, a; twice again; the next one three times
		"eshost_events_failed_total trap":  2 + 3,
		"eshost_sequence_retries_total":    5,
		"eshost_batch_events":              1,
		"eshost_batch_commit_seconds":      6,
		"eshost_documents_written_total":   1 + 1,
		"eshost_checkpoint_position":       4,
		"eshost_failed_sequences parked":   1,
		"eshost_failed_sequences retrying": 0,
		"eshost_waiting_events":            1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

// gather returns the values of plugin p's metrics, by name and what other labels say.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	got := make(map[string]float64)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				if l.GetName() != "plugin" {
					name += " " + l.GetValue()
				} else if l.GetValue() != "p" {
					t.Errorf("%s is of plugin %q", name, l.GetValue())
				}
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}

// TestMetricsOfPartitions shows a plugin as a whole: the partitions that this host delivers, and no others.
func TestMetricsOfPartitions(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	show := func(what string, want ...float64) {
		t.Helper()
		got := gather(t, reg)
		for i, name := range []string{"eshost_checkpoint_position", "eshost_failed_sequences retrying", "eshost_failed_sequences parked", "eshost_waiting_events"} {
			value, shown := got[name]
			if shown != (want != nil) || shown && value != want[i] {
				t.Errorf("%s: %s is %v (shown: %v), want %v", what, name, value, shown, want)
			}
		}
	}
	show("none")
	m.observeState("p", 0, count{10, 1, 2, 7})
	m.observeState("p", 3, count{8, 1, 0, 1})
	show("two", 8, 2, 2, 8)
	m.observeState("p", 3, count{12, 0, 0, 0})
	show("one got on", 10, 1, 2, 7)
	m.forgetState("p", 0)
	show("the other is another host's", 12, 0, 0, 0)
	m.forgetState("p", 0)
	m.forgetState("p", 3)
	show("all are")
}
