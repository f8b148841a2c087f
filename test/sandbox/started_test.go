package sandbox

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eshost/host/store"
)

// started are the modules that load and cannot be started; package plugin has them.
var started = []struct {
	group      int
	name, says string
}{
	{5, "start_loop", "time limit"},
	{5, "initialize_loop", "time limit"},
	{5, "init_loop", "time limit"},
	{5, "start_trap", "unreachable"},
	{5, "init_trap", "integer divide by zero"},
	{5, "init_fails", "no such account table"},
	{7, "recursion", "its call stack is used up"},
	{9, "data_outside", "out of bounds"},
	{10, "inbox_zero", "eshost_inbox gave no buffer"},
	{10, "inbox_outside", "outside its memory"},
	{10, "inbox_short", "outside its memory"},
	{10, "inbox_trap", "unreachable"},
}

// cannotStart runs them all in one host, side by side: three of them spin until the time of a start is over, and
// the healthy plugin goes on meanwhile.
func cannotStart(t *testing.T, r *report) {
	var modules []module
	for _, s := range started {
		modules = append(modules, module{s.name, read(t, filepath.Join(root, "host/internal/plugin/testdata/start", s.name+".wasm")), `events = ["Bad"]`})
	}
	w := newWorld(t, modules...)
	w.append("bad", store.NewEvent{Type: "Bad", Data: []byte("{}")})
	began := time.Now()
	handledBefore := w.handled()
	for _, s := range started {
		name := strings.ReplaceAll(s.name, "_", " ")
		w.measured(t, r, s.group, name+" (all of these at once)", 0, func() string {
			var reason string
			w.until(s.name+" is given up", func() bool {
				_, reason = w.state(s.name)
				return strings.Contains(reason, s.says)
			})
			p := w.stored(s.name)
			if p.Position != 0 || p.Waiting > 0 {
				t.Errorf("its checkpoint is at %d, %d events wait", p.Position, p.Waiting)
			}
			if !strings.Contains(p.Condition.Reason, s.says) || p.Condition.State == store.Running {
				t.Errorf("the store says %+v", p.Condition)
			}
			return reason
		})
	}
	t.Logf("beside three spinning starts the healthy plugin handled %d events in %v", w.handled()-handledBefore, time.Since(began).Round(time.Millisecond))
}

// handled is how many events the healthy plugin has handled.
func (w *world) handled() uint64 {
	for _, p := range w.host.Status().Plugins {
		if p.Name == healthy {
			return p.Handled
		}
	}
	return 0
}
