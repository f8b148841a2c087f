package plugin_test

import (
	"context"
	"testing"

	"eshost/host/event"
	"eshost/host/internal/plugin"
)

// BenchmarkHandle is what a handler that does nothing costs, on top of what its language costs.
func BenchmarkHandle(b *testing.B) {
	in := start(b, "empty", plugin.EngineOptions{}, plugin.Spec{})
	e := newEvent(`{"account": "account-1", "amount": 1250, "currency": "EUR", "reference": "7b0e6a52-90a1-4b56-8a3c"}`)
	benchmarkHandle(b, in, e, new(constant))
}

// BenchmarkHostCall makes a thousand calls an event.
func BenchmarkHostCall(b *testing.B) {
	in := start(b, "empty", plugin.EngineOptions{}, plugin.Spec{})
	e := newEvent("{}")
	e.Version = 1000
	benchmarkHandle(b, in, e, new(constant))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/call")
}

// BenchmarkStateGet reads a document that is in memory.
func BenchmarkStateGet(b *testing.B) {
	in := start(b, "forward", plugin.EngineOptions{}, plugin.Spec{})
	s := new(script)
	for range 100 {
		s.call(callGet, "accounts", "account-1", buffer{free, 100})
	}
	benchmarkHandle(b, in, s.event(0), &constant{value: []byte(`{"balance":1250,"count":3}`)})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/call")
}

// BenchmarkSpin burns about seven million units of fuel an event.
func BenchmarkSpin(b *testing.B) {
	in := start(b, "behave", plugin.EngineOptions{}, plugin.Spec{Limits: plugin.Limits{Time: 1e12}})
	benchmarkHandle(b, in, newEvent("w"), new(constant))
	b.ReportMetric(float64(in.FuelUsed())*float64(b.N)/float64(b.Elapsed().Milliseconds()), "fuel/ms")
}

func BenchmarkNewInstance(b *testing.B) {
	m := load(b, newEngine(b, plugin.EngineOptions{}), "empty", plugin.Spec{})
	b.ReportAllocs()
	for b.Loop() {
		in, err := m.NewInstance(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := in.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// constant is an Effects that has one document and takes any.
type constant struct {
	memory
	value []byte
}

func (c *constant) Get(context.Context, []byte, []byte) ([]byte, bool, error) {
	return c.value, true, nil
}

func (*constant) Set([]byte, []byte, []byte) error { return nil }

func benchmarkHandle(b *testing.B, in *plugin.Instance, e *event.Event, fx plugin.Effects) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if err := in.Handle(b.Context(), e, 1, fx); err != nil {
			b.Fatal(err)
		}
	}
}
