package plugin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"eshost/abi"
	"eshost/host/event"
)

// Instance is one running copy of a module. One goroutine uses it at a time. Its memory is scratch: the caller may throw
// it away between any two events, and must once it is spent.
type Instance struct {
	module *Module
	call   callContext

	guest       api.Module
	mem         api.Memory
	fuel        api.MutableGlobal
	handle, ask api.Function // handle and eshost_inbox
	stack       [1]uint64

	inbox, room uint32 // the buffer for envelopes: its address and size

	budget budget
	job    job
	output output
	random *rand.ChaCha8 // nil until first used
	spent  bool
	closed bool
	muted  bool
	size   int // of the memory that has been freed
}

// job is what one event, or the start of the instance, has done so far.
type job struct {
	event *event.Event // nil while the instance starts
	fx    Effects      // nil while the instance starts

	reads, writes, writeBytes, emits, emitBytes int

	origin *origin // of what is emitted; nil until something is

	kept   []byte        // an answer that did not fit, for result_read
	fail   string        // the last text given to fail
	abort  string        // what AssemblyScript's runtime said about its end
	exit   string        // how the guest asked to end
	seeded bool          // random follows this job
	slept  time.Duration // how far waiting has moved the monotonic clock

	stopped   error // why a host function stopped the guest; nil means it did not
	inEffects bool  // the host's own code is running
}

// callContext is the context wazero hands back to host functions: it leads to the instance without a lookup. It hides the
// caller's values from wazero, which looks for its own in every call.
type callContext struct {
	context.Context
	instance *Instance
	making   context.Context // what wazero needs to know while it makes the instance, else nil
}

func (c *callContext) Value(key any) any {
	if c.making == nil {
		return nil
	}
	return c.making.Value(key)
}

// errStopped unwinds the guest's frames; job.stopped says why.
var errStopped = errors.New("stopped by the host")

// stop ends the guest at once, from within a host function. The guest has no way to catch it.
func (in *Instance) stop(why error) {
	in.job.stopped = why
	panic(errStopped)
}

// NewInstance makes an instance and runs its start function, _initialize and eshost_init, under the limits of a start. If
// the module is at fault the error is an *Error around an *event.Failure.
func (m *Module) NewInstance(ctx context.Context) (*Instance, error) {
	if err := m.engine.admit(m); err != nil {
		return nil, fmt.Errorf("start plugin %q: %w", m.spec.Name, err)
	}
	in := &Instance{module: m, budget: newBudget(m.engine, m.spec.Limits.InitTime)}
	in.call.instance = in
	if err := in.start(ctx); err != nil {
		err = errors.Join(err, in.Close(context.WithoutCancel(ctx)))
		var failure *event.Failure
		if errors.As(err, &failure) {
			return nil, about("start", m.spec.Name, failure)
		}
		return nil, fmt.Errorf("start plugin %q: %w", m.spec.Name, err)
	}
	return in, nil
}

func (in *Instance) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in.call.Context = ctx
	defer func() { in.call.Context = nil }()
	defer in.budget.giveTurn()
	defer in.output.flush(in)
	code := in.module.code
	in.call.making = experimental.WithMemoryAllocator(context.Background(), memories{})
	guest, err := code.program.runtime.InstantiateModule(&in.call, code.program.code, in.module.engine.config)
	in.call.making = nil
	if err != nil {
		return in.settle(err)
	}
	in.bind(guest)
	in.guest = guest
	if in.fuel == nil {
		return fmt.Errorf("the meter left no mutable global %s", in.module.engine.opts.Meter.Fuel)
	}
	in.handle, in.ask = guest.ExportedFunction(abi.ExportHandle), guest.ExportedFunction(abi.ExportInbox)
	if code.exports.initialize {
		if err := in.run(guest.ExportedFunction(abi.ExportInitialize), 0); err != nil {
			return err
		}
	}
	if code.exports.init {
		if err := in.run(guest.ExportedFunction(abi.ExportInit), 0); err != nil {
			return err
		}
		if status := int32(in.stack[0]); status != 0 {
			return &event.Failure{Kind: event.FailReject, Message: in.said(fmt.Sprintf("%s returned %d and gave no reason", abi.ExportInit, status))}
		}
	}
	return in.growInbox(abi.MinInboxBuffer)
}

// bind finds what every call needs of the guest.
func (in *Instance) bind(guest api.Module) {
	in.mem = guest.Memory()
	in.fuel, _ = guest.ExportedGlobal(in.module.engine.opts.Meter.Fuel).(api.MutableGlobal)
}

// Handle runs one event through the module. It returns nil, or an *event.Failure if the event or the module is at fault,
// or another error if the host is in trouble: then nothing is known about the event. Attempts count from 1.
//
// Invariant 3: fx has seen what a failing handler did before it failed; whoever owns fx drops that unless Handle
// returned nil.
func (in *Instance) Handle(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
	if in.spent || in.closed {
		return ErrSpent
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	in.call.Context = ctx
	in.job = job{event: e, fx: fx}
	in.output.begin()
	in.budget.begin(in.module.spec.Limits.Time)
	in.fuel.Set(uint64(in.budget.slice))
	err := in.deliver(e, attempt)
	in.budget.end(int64(in.fuel.Get()))
	in.output.flush(in)
	in.call.Context = nil
	in.job.event, in.job.fx, in.job.kept = nil, nil, nil
	if in.spent {
		if freeing := in.free(ctx); freeing != nil {
			return errors.Join(err, freeing)
		}
	}
	return err
}

// free gives the guest's memory and stack back. A spent instance may wait long for whoever closes it.
func (in *Instance) free(ctx context.Context) error {
	if in.guest == nil {
		return nil
	}
	guest := in.guest
	in.size = in.MemorySize()
	in.guest, in.mem, in.fuel, in.handle, in.ask = nil, nil, nil, nil, nil
	return guest.Close(ctx)
}

func (in *Instance) deliver(e *event.Event, attempt int) error {
	size := abi.EnvelopeSize(e)
	if size > int(in.room) {
		if err := in.growInbox(size); err != nil {
			return err
		}
	}
	buf, ok := in.mem.Read(in.inbox, uint32(size))
	if !ok {
		return in.broken("its inbox has left its memory")
	}
	abi.AppendEnvelope(buf[:0], e, attempt)
	if err := in.run(in.handle, uint64(size)); err != nil {
		return err
	}
	switch status := abi.Status(in.stack[0]); status {
	case abi.StatusOK:
		return nil
	case abi.StatusRetry:
		return &event.Failure{Kind: event.FailRetry, Message: in.said("the handler asked to be called again and gave no reason")}
	case abi.StatusReject:
		return &event.Failure{Kind: event.FailReject, Message: in.said("the handler rejected the event and gave no reason")}
	default:
		return in.broken(fmt.Sprintf("handle returned %d, a status is 0, 1 or 2", status))
	}
}

// growInbox asks the guest for a buffer of at least size bytes. The host trusts no answer: the range must lie in memory.
func (in *Instance) growInbox(size int) error {
	const step = abi.MinInboxBuffer // so that slowly growing events do not ask each time
	size = (size + step - 1) / step * step
	if uint64(size) > in.module.spec.Limits.Memory {
		return &event.Failure{Kind: event.FailBudget, Message: fmt.Sprintf("the event needs %d bytes, more than the module's memory may have (limits.memory)", size)}
	}
	in.room = 0
	if err := in.run(in.ask, uint64(size)); err != nil {
		return err
	}
	at := uint32(in.stack[0])
	if at == 0 {
		return in.broken(fmt.Sprintf("%s gave no buffer of %d bytes", abi.ExportInbox, size))
	}
	if _, ok := in.mem.Read(at, uint32(size)); !ok {
		return in.broken(fmt.Sprintf("%s gave a buffer of %d bytes at %d, outside its memory of %d bytes", abi.ExportInbox, size, at, in.mem.Size()))
	}
	in.inbox, in.room = at, uint32(size)
	return nil
}

// broken is the failure of a module that does not keep to the ABI. It is not asked again.
func (in *Instance) broken(text string) error {
	in.spent = true
	in.output.flush(in)
	return in.protocol(text)
}

func (in *Instance) protocol(text string) *event.Failure {
	if said := in.said(""); said != "" {
		text += "; it said: " + said
	}
	return &event.Failure{Kind: event.FailProtocol, Message: text}
}

// run calls a guest function of at most one parameter and one result, both in in.stack.
func (in *Instance) run(f api.Function, arg uint64) error {
	in.stack[0] = arg
	if err := f.CallWithStack(&in.call, in.stack[:]); err != nil {
		return in.settle(err)
	}
	return nil
}

// settle turns what ended the guest into a Failure or the host's own error. The instance is spent: its frames are gone
// and its memory is in any state.
func (in *Instance) settle(cause error) error {
	in.spent = true
	in.output.flush(in)
	var failure *event.Failure
	switch stopped := in.job.stopped; {
	case errors.As(stopped, &failure):
		return &event.Failure{Kind: failure.Kind, Message: failure.Message, Stack: in.trace(cause)}
	case stopped != nil:
		return stopped
	case in.job.inEffects:
		return fmt.Errorf("the host panicked: %w", cause)
	}
	return in.trapped(cause)
}

// Mute drops what the instance logs from now on.
func (in *Instance) Mute() { in.muted = true }

// Spent reports that the instance must be closed and not be used again.
func (in *Instance) Spent() bool { return in.spent }

// FuelUsed is what the last event cost. The same event on the same documents costs the same on every machine.
func (in *Instance) FuelUsed() int64 { return in.budget.used }

// MemorySize is how much linear memory the instance has, in bytes. It never shrinks.
func (in *Instance) MemorySize() int {
	if in.mem == nil {
		return in.size
	}
	return int(in.mem.Size())
}

// Close frees the instance. It must not be running.
func (in *Instance) Close(ctx context.Context) error {
	if in.closed {
		return nil
	}
	in.closed = true
	err := in.free(ctx)
	in.module.engine.dismiss(in.module)
	return err
}
