package plugin_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"eshost/abi"
	"eshost/host/event"
	"eshost/host/internal/plugin"
)

func TestEmittedIDsStayTheSame(t *testing.T) {
	a := plugin.EmittedID("balances", "e-1", 0)
	if a != "504ba97a-df5a-5022-aa04-515cf6f312a3" {
		t.Errorf("the id of the same emission is another now: %s", a)
	}
	if id, err := uuid.Parse(a); err != nil || id.Version() != 5 {
		t.Errorf("%s is no UUID of version 5: %v", a, err)
	}
	seen := map[string]bool{a: true}
	for _, id := range []string{plugin.EmittedID("balances", "e-1", 1), plugin.EmittedID("balances", "e-2", 0), plugin.EmittedID("other", "e-1", 0), plugin.EmittedID("balances\x00e", "-1", 0)} {
		if seen[id] {
			t.Errorf("%s is given twice", id)
		}
		seen[id] = true
	}
}

// TestChain emits in answer to events with all kinds of metadata.
func TestChain(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	for name, c := range map[string]struct {
		handled, guest string // metadata
		want           string
	}{
		"from outside":           {`{}`, `{}`, `{"causation_id":"e","correlation_id":"e","causation_depth":1}`},
		"no metadata":            {``, ``, `{"causation_id":"e","correlation_id":"e","causation_depth":1}`},
		"in a chain":             {`{"correlation_id":"c","causation_depth":2}`, `{"a": 1 }`, `{"a": 1,"causation_id":"e","correlation_id":"c","causation_depth":3}`},
		"spaces":                 {`{}`, " { \n} ", ` {"causation_id":"e","correlation_id":"e","causation_depth":1}`},
		"correlated by hand":     {`{"correlation_id":"c"}`, `{"correlation_id":"own","b":"caus"}`, `{"b":"caus","causation_id":"e","correlation_id":"own","causation_depth":1}`},
		"forged":                 {`{}`, `{"causation_id":"x","causation_depth":-9,"a":{"causation_depth":7}}`, `{"a":{"causation_depth":7},"causation_id":"e","correlation_id":"e","causation_depth":1}`},
		"forged in disguise":     {`{}`, `{"\u0063ausation_depth":-9}`, `{"causation_id":"e","correlation_id":"e","causation_depth":1}`},
		"depth is no number":     {`{"causation_depth":"many"}`, `{}`, `{"causation_id":"e","correlation_id":"e","causation_depth":1}`},
		"depth is negative":      {`{"causation_depth":-3}`, `{}`, `{"causation_id":"e","correlation_id":"e","causation_depth":1}`},
		"correlation is no text": {`{"correlation_id":[1]}`, `{"correlation_id":null}`, `{"causation_id":"e","correlation_id":"e","causation_depth":1}`},
		"correlation is long":    {`{"correlation_id":"` + long + `"}`, `{"correlation_id":"` + long + `"}`, `{"causation_id":"e","correlation_id":"e","causation_depth":1}`},
		"correlation is empty":   {`{"correlation_id":""}`, `{}`, `{"causation_id":"e","correlation_id":"e","causation_depth":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := plugin.Chained([]byte(c.guest), &event.Event{ID: "e", Metadata: []byte(c.handled)})
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

// TestLoop has an event that was emitted in answer to many others: what is emitted in answer to it fails, for good.
func TestLoop(t *testing.T) {
	t.Parallel()
	in := start(t, "forward", plugin.EngineOptions{}, plugin.Spec{Limits: plugin.Limits{EmitDepth: 3}})
	emit := abi.AppendEmit(nil, &event.Emitted{Stream: "s", Type: "Ping", Data: []byte("1")})
	for depth, fails := range map[string]bool{"1": false, "2": false, "3": true, "4": true, "99999999999999999999": false} {
		s := new(script).call(callEmit, emit)
		e := s.event(0)
		e.Metadata = []byte(`{"correlation_id":"the order","causation_depth":` + depth + `}`)
		fx := newMemory()
		err := in.Handle(t.Context(), e, 1, fx)
		if !fails {
			if err != nil || len(fx.emitted) != 1 {
				t.Errorf("depth %s: %v, %d events", depth, err, len(fx.emitted))
			}
			continue
		}
		f := failure(t, err, event.FailLoop, "limits.emit_depth = 3")
		if !f.Final() || !strings.Contains(f.Message, "the order") || len(fx.emitted) != 0 {
			t.Errorf("depth %s: %+v, %d events", depth, f, len(fx.emitted))
		}
		in = start(t, "forward", plugin.EngineOptions{}, plugin.Spec{Limits: plugin.Limits{EmitDepth: 3}})
	}
}
