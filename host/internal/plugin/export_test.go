package plugin

import (
	"context"
	"log/slog"

	"github.com/tetratelabs/wazero/api"

	"eshost/host/event"
)

// Memory is the guest's memory, to look at what a call has left there.
func (in *Instance) Memory() api.Memory { return in.mem }

// Slice is how much fuel the next slice has.
func (in *Instance) Slice() int64 { return in.budget.slice }

// Interpreted returns the options of an engine on a machine that cannot run compiled code.
func (o EngineOptions) Interpreted() EngineOptions {
	o.interpret = true
	return o
}

// Compiled is how many modules the engine holds.
func (e *Engine) Compiled() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.compiled)
}

// WASIFunctions maps the functions served for WASI to their types.
func WASIFunctions() map[string]string {
	out := make(map[string]string)
	for _, f := range wasiFuncs() {
		out[f.name] = signature(f.params, f.results)
	}
	return out
}

var (
	Printable    = printable[string]
	FunctionName = functionName
	NewGuestLog  = newGuestLog
	Signature    = signature
	Demangle     = demangle
	EmittedID    = emittedID
)

// Chained is the metadata of what a guest emits when it handles an event.
func Chained(metadata []byte, handled *event.Event) ([]byte, error) {
	if len(metadata) == 0 {
		metadata = []byte("{}")
	}
	o := originOf(handled)
	return linked(metadata, handled.ID, o.correlation, o.depth+1)
}

func (l *guestLog) Line(ctx context.Context, level slog.Level, position event.Position, text []byte) {
	l.line(ctx, level, position, text)
}

func (l *guestLog) Close() { l.close() }
