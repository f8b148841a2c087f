package trial_test

import (
	"errors"
	"testing"

	"eshost/host/event"
	"eshost/host/internal/trial"
)

// TestPartitioned fails events whose handler reaches for another key's documents, whatever it makes of the error, and lets
// others be.
func TestPartitioned(t *testing.T) {
	reaches := map[string]func(fx trial.Effects, e *event.Event) error{
		"get": func(fx trial.Effects, e *event.Event) error {
			_, _, err := fx.Get(t.Context(), b("c"), b("total"))
			return err
		},
		"set":    func(fx trial.Effects, e *event.Event) error { return fx.Set(b("c"), b("total"), b("1")) },
		"delete": func(fx trial.Effects, e *event.Event) error { return fx.Delete(b("c"), b("total")) },
		"scan": func(fx trial.Effects, e *event.Event) error {
			_, err := fx.Scan(t.Context(), b("c"), b(e.Stream), nil, 10)
			return err
		},
	}
	answers := map[string]func(error) error{
		"passes it on":    func(err error) error { return err },
		"swallows it":     func(error) error { return nil },
		"asks for more":   func(error) error { return &event.Failure{Kind: event.FailRetry, Message: "again"} },
		"blames the host": func(error) error { return errors.New("the host is in trouble") },
	}
	for what, reach := range reaches {
		for how, answer := range answers {
			t.Run(what+"/"+how, func(t *testing.T) {
				f := &fake{handle: func(_ map[string]string, e *event.Event, _ int, fx trial.Effects) error {
					if err := fx.Set(b("c"), b(e.Stream+"/last"), b("1")); err != nil {
						return err
					}
					if _, err := fx.Scan(t.Context(), b("c"), b(e.Stream+"/"), nil, 10); err != nil {
						return err
					}
					if e.Stream == "far" {
						return answer(reach(fx, e))
					}
					return nil
				}}
				o := options
				o.Partitioned = true
				r, err := trial.Run(t.Context(), f, events("near", "far", "near"), o)
				if err != nil {
					t.Fatal(err)
				}
				far := r.Outcomes[1]
				if far.Failure == nil || far.Failure.Kind != event.FailPartition || far.Attempts != 1 {
					t.Errorf("it ends with %v after %d attempts", far.Failure, far.Attempts)
				}
				if r.Outcomes[0].Failure != nil || r.Outcomes[2].Failure != nil || len(r.Documents) != 1 || r.Documents[0].Key != "near/last" {
					t.Errorf("the outcomes are %+v, the documents %v", r.Outcomes, r.Documents)
				}
				if r, err := trial.Run(t.Context(), f, events("near"), options); err != nil || r.Outcomes[0].Failure != nil {
					t.Errorf("without partitions: %+v, %v", r, err)
				}
			})
		}
	}
}

func b(s string) []byte { return []byte(s) }
