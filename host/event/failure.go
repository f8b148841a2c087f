package event

// FailureKind says how a handler failed.
type FailureKind string

const (
	// FailRetry is a handler that asked to be called again (status 1).
	FailRetry FailureKind = "retry"
	// FailReject is a handler that refused the event for good (status 2): it is parked at once.
	FailReject FailureKind = "reject"
	// FailTrap is a handler that crashed: a wasm trap, a panic, an abort.
	FailTrap FailureKind = "trap"
	// FailBudget is a handler that ran out of its time, its stack or its memory.
	FailBudget FailureKind = "budget"
	// FailProtocol is a module that broke the ABI: a wild pointer, an unknown status.
	FailProtocol FailureKind = "protocol"
	// FailLoop is a handler that emits an event too far down a chain of emitted ones: it is parked at once.
	FailLoop FailureKind = "loop"
	// FailPartition is a handler that reaches, in a plugin with partitions, for a document of another ordering key: it is
	// parked at once. See Reach.
	FailPartition FailureKind = "partition"
)

// Failure is why one event could not be handled. It is the handler's fault or the event's, never
// the host's: an error that is not a Failure (a lost database, a stop) says nothing about the event.
type Failure struct {
	Kind    FailureKind
	Message string // what the handler said, or what the sandbox saw; bounded and printable
	Stack   string // function names, innermost first, one a line; empty where there are none
}

func (f *Failure) Error() string { return string(f.Kind) + ": " + f.Message }

// Crashed reports whether the module broke, rather than refused the event.
func (f *Failure) Crashed() bool {
	return f.Kind == FailTrap || f.Kind == FailBudget || f.Kind == FailProtocol
}

// Final reports whether trying again is pointless.
func (f *Failure) Final() bool {
	return f.Kind == FailReject || f.Kind == FailLoop || f.Kind == FailPartition
}
