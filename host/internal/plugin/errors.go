package plugin

import (
	"errors"
	"fmt"
)

// The reasons a module is refused when it is loaded, to decide with errors.Is. The error itself is an *Error.
var (
	// ErrNotModule: the bytes are no WebAssembly module, or a damaged one.
	ErrNotModule = errors.New("not a WebAssembly module")
	// ErrComponent: the bytes are a component, which no core-module host can run.
	ErrComponent = errors.New("a WebAssembly component, not a module")
	// ErrExport: an export is missing or has another type.
	ErrExport = errors.New("export does not fit")
	// ErrImport: an import that this host does not serve, or serves with another type.
	ErrImport = errors.New("import does not fit")
	// ErrABIVersion: the module speaks another version of the ABI.
	ErrABIVersion = errors.New("other ABI version")
	// ErrGrant: the module imports a function that the plugin is not allowed to use.
	ErrGrant = errors.New("not allowed")
	// ErrCompileTime: the module takes too long to compile.
	ErrCompileTime = errors.New("takes too long to compile")
	// ErrManifest: the section that describes the module cannot be read.
	ErrManifest = errors.New("bad manifest")
	// ErrSpec: what the plugin was configured with is impossible.
	ErrSpec = errors.New("bad plugin settings")
	// ErrCacheDir: the compile cache's folder cannot be trusted.
	ErrCacheDir = errors.New("unusable compile cache")
	// ErrCacheWrite: the compile cache's folder cannot be made or written to. Everything works without it.
	ErrCacheWrite = errors.New("compile cache cannot be written")
)

// ErrSpent is returned for an instance that must not be used any more.
var ErrSpent = errors.New("the instance is spent")

// Error is why a module could not be loaded or started, in the words of whoever has to mend it.
type Error struct {
	Op      string // "load", "start"
	Subject string // the plugin's name, or a path
	Err     error
	Hint    string // what to do next; may be empty
}

func (e *Error) Error() string {
	if e.Subject == "" {
		return e.Op + ": " + e.Err.Error()
	}
	return e.Op + " " + e.Subject + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// reason is a sentence of its own that counts as one of the sentinels above.
type reason struct {
	text string
	kind error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.kind }

// refuse makes the error for a module that cannot be used. Load adds which plugin's it is.
func refuse(kind error, hint, format string, args ...any) error {
	return &Error{Err: &reason{fmt.Sprintf(format, args...), kind}, Hint: hint}
}

// about returns the error with the step and the plugin it concerns. The error may be shared, so a copy is marked.
func about(op, plugin string, err error) error {
	marked := Error{Op: op, Subject: fmt.Sprintf("plugin %q", plugin), Err: err}
	var e *Error
	if errors.As(err, &e) {
		marked.Err, marked.Hint = e.Err, e.Hint
	}
	return &marked
}
