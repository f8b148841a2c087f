package torture

import (
	"fmt"
	"slices"
	"strings"
)

// pluginSpec is what is declared of a plugin.
type pluginSpec struct {
	name, module string
	events       []string
	more         string
	order        string
	emits        bool // it answers what asks
	skipped      bool // people skip its poisonous events
	rebuilt      bool // it is rebuilt now and then
	inRedis      bool // its read model is there
}

// books reports whether its documents list the positions that they are made of.
func (p *pluginSpec) books() bool { return p.module == "ledger" || p.module == "book" }

func (p *pluginSpec) toml() string {
	var quoted []string
	for _, e := range p.events {
		quoted = append(quoted, fmt.Sprintf("%q", e))
	}
	allow := `["state", "log"]`
	if p.module == "ledger" {
		allow = `["state", "log", "emit"]`
	}
	more := p.more
	if p.inRedis {
		more += "\ntarget = \"redis\""
	}
	return fmt.Sprintf("events = [%s]\norder_by = %q\nallow = %s\n%s\n[plugins.%s.retry]\nattempts = 4\nbackoff = \"50ms..500ms\"\n"+
		"[plugins.%[5]s.limits]\ntime = \"20s\"\n", strings.Join(quoted, ", "), p.order, allow, more, p.name)
}

var (
	bankTypes   = []string{"AccountOpened", "Deposited", "Withdrawn"}
	ledgerTypes = []string{"Noted", "Slow", "FailsOnce", "FailsTwice", "TrapsOnce", "Poison"}
)

// plugins are what the hosts run.
func (w *world) plugins() []pluginSpec {
	w.mu.Lock()
	defer w.mu.Unlock()
	return []pluginSpec{
		{name: "ledger", module: "ledger", events: ledgerTypes, order: "stream", more: "batch = 40\nlanes = 2", skipped: true},
		{name: "copy", module: "ledger", events: ledgerTypes, order: "stream", more: "batch = 200"},
		{name: "shared", module: "ledger", events: []string{"Shared", "Slow"}, order: "stream", more: "batch = 60\nlanes = 4", rebuilt: true},
		{name: "whole", module: "ledger", events: []string{"Noted", "Slow", "Shared", "Echo"}, order: "all", more: "batch = 30"},
		{name: "answers", module: "ledger", events: []string{"Ask", "AskFails"}, order: "stream", more: "batch = 50", emits: true, rebuilt: true},
		{name: "parts", module: "ledger", events: ledgerTypes, order: "stream", more: fmt.Sprintf("partitions = %d\nbatch = 40", w.partitions)},
		{name: "shares", module: "ledger", events: slices.DeleteFunc(slices.Clone(ledgerTypes), func(e string) bool { return e == "Poison" }),
			order: "stream", more: "partitions = 2\nbatch = 60", rebuilt: true},
		{name: "balances", module: "balances", events: bankTypes, order: "stream", rebuilt: true},
		{name: "cached", module: "book", events: append(slices.Clone(ledgerTypes), "Shared"), order: "stream", more: "batch = 60\nlanes = 4", rebuilt: true, inRedis: true},
	}
}

func (w *world) pluginNames() []string {
	var names []string
	for _, p := range w.plugins() {
		names = append(names, p.name)
	}
	return names
}
