package plugin_test

import (
	"bytes"
	"errors"
	"testing"

	"eshost/host/event"
	"eshost/host/internal/plugin"
)

// FuzzHostCalls lets a guest call any function with any arguments. Whatever it does is its own failure, and what gets
// through has been checked.
func FuzzHostCalls(f *testing.F) {
	e := newEngine(f, plugin.EngineOptions{})
	m := load(f, e, "forward", plugin.Spec{Config: map[string]string{"k": "v"}, Limits: plugin.Limits{Time: 5e6}})
	f.Add(new(script).call(callGet, "docs", "a", buffer{free, 10}).event(0).Data)
	f.Add(new(script).call(callSet, "docs", "a", "{}").call(callScan, "docs", "", "", 10, buffer{free, 1000}).event(0).Data)
	f.Add(new(script).call(callEmit, "EMT1").call(callLog, 1, "x").call(callFail, "y").call(callRead, buffer{0, 1 << 20}, 0).event(0).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		in := instance(t, m)
		ev := newEvent("")
		ev.Data = data
		fx := newMemory("docs", "a", "1")
		err := in.Handle(t.Context(), ev, 1, fx)
		var failed *event.Failure
		if err != nil && !errors.As(err, &failed) {
			t.Errorf("the host is in trouble: %v", err)
		}
		for name, value := range fx.docs {
			if !event.ValidJSON(value) || bytes.Count([]byte(name), []byte{0}) != 1 {
				t.Errorf("document %q has the value %q", name, value)
			}
		}
	})
}
