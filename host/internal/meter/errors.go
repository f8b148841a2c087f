package meter

import (
	"errors"
	"fmt"
)

// The reasons a module is refused. Every error of this package is an *Error whose Kind is one of these, so callers
// decide with errors.Is and print the *Error.
var (
	// ErrNotWasm: the bytes are not a WebAssembly module at all.
	ErrNotWasm = errors.New("not a WebAssembly module")
	// ErrComponent: the bytes are a component-model binary, which this host cannot run.
	ErrComponent = errors.New("a component, not a core module")
	// ErrVersion: a core module of a version other than 1.
	ErrVersion = errors.New("unsupported WebAssembly version")
	// ErrMalformed: the module breaks the binary format, truncation included.
	ErrMalformed = errors.New("malformed module")
	// ErrUnsupported: the module uses a proposal beyond WebAssembly 2.0.
	ErrUnsupported = errors.New("unsupported WebAssembly feature")
	// ErrLimit: the module is larger, in some measure, than Options allow.
	ErrLimit = errors.New("limit exceeded")
	// ErrReserved: the module uses a name that belongs to the host.
	ErrReserved = errors.New("reserved name")
	// ErrImport: the module imports what a guest must own itself: a memory, a table or a global.
	ErrImport = errors.New("forbidden import")
)

// Error says why a module was refused and where in its bytes the reason is.
type Error struct {
	Kind    error  // one of the sentinels above
	Section string // the section being read, "" for the header
	Func    int    // the function index, as in the original module, or -1
	Offset  int    // the byte offset in the original module
	Detail  string
}

// Error returns one line for a person: what, where, why.
func (e *Error) Error() string {
	where := "header"
	if e.Section != "" {
		where = e.Section + " section"
	}
	if e.Func >= 0 {
		where += fmt.Sprintf(", function %d", e.Func)
	}
	return fmt.Sprintf("%v: %s (%s, offset %#x)", e.Kind, e.Detail, where, e.Offset)
}

// Unwrap makes errors.Is(err, ErrLimit) and the like work.
func (e *Error) Unwrap() error { return e.Kind }
