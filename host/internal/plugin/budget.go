package plugin

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"eshost/host/event"
)

// A guest burns fuel; when it is used up the rewritten code calls refuel, which looks at the clock and hands out the next
// slice. Compiled guest code cannot be interrupted in between, and the garbage collector waits for it.
//
// Invariant 6: a guest holds up the rest of the process for one slice at most, and spinning guests leave a CPU free.
const (
	sliceTime = time.Millisecond // what a slice should take at most
	minSlice  = 10_000           // fuel; below that looking at the clock costs more than it tells
	// longestSlice is what a slice counts for at most. No guest can make one last longer; what does is a machine too busy
	// to run the host, and events must not fail of that.
	longestSlice = 5 * time.Millisecond
)

// budget is what a guest may still use. Its clock stands still while the host works for the guest.
//
// The clock starts with the first refuel: an event that needs less than a slice, as nearly all do, never reads it, and one
// that needs more gets a slice more than its limit.
type budget struct {
	engine  *Engine
	limit   time.Duration
	slice   int64         // fuel; fits itself to the machine and to what the guest does
	granted int64         // fuel handed out since begin
	used    int64         // fuel used by the last call
	running bool          // the clock has been started
	slices  int           // used up since then
	turn    bool          // one of the engine's turns is taken
	spent   time.Duration // what the slices before this one have taken
	mark    time.Duration // when this slice began, moved by the time the guest was not running
}

// newBudget is the budget of a start, with no fuel handed out yet.
func newBudget(e *Engine, limit time.Duration) budget {
	return budget{engine: e, limit: limit, slice: e.opts.Slice}
}

func (b *budget) begin(limit time.Duration) {
	b.limit, b.granted, b.running = limit, b.slice, false
}

func (b *budget) end(left int64) {
	b.used = b.granted - left
	b.giveTurn()
}

// next ends a slice. It reports false when the time is over, else how much fuel there is now.
func (b *budget) next(left int64) (fuel int64, ok bool) {
	b.giveTurn()
	if b.running {
		slices := 1 + max(0, -left)/b.engine.opts.Slice // a charge for a large operation may be many at once
		took := min(b.engine.now()-b.mark, time.Duration(slices)*longestSlice)
		b.spent += took
		b.fit(took / time.Duration(slices))
	} else {
		b.running, b.spent, b.slices = true, 0, 0
	}
	b.slices++
	if b.spent > b.limit {
		return 0, false
	}
	b.granted += b.slice - left
	return b.slice, true
}

// longSlices is how many slices make an event a long one: some 10 ms.
const longSlices = 10

// resume begins the next slice. Long events share turns, one for each CPU but one, so that however many guests spin there
// is a CPU for the plugins whose events are short.
func (b *budget) resume(ctx context.Context) error {
	runtime.Gosched() // other goroutines' latency comes before a long event's
	if b.slices > longSlices {
		select {
		case b.engine.turns <- struct{}{}:
			b.turn = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.mark = b.engine.now()
	return nil
}

func (b *budget) giveTurn() {
	if b.turn {
		<-b.engine.turns
		b.turn = false
	}
}

// fit sizes the next slices by how long the last one took.
func (b *budget) fit(took time.Duration) {
	switch {
	case took > sliceTime:
		b.slice = max(minSlice, b.slice*int64(sliceTime)/int64(took))
	case b.slice < b.engine.opts.Slice:
		b.slice = min(b.engine.opts.Slice, b.slice+b.slice/4)
	}
}

// leave and enter surround the host's waiting for something that is not the guest's to answer for.
func (b *budget) leave() time.Duration {
	b.giveTurn()
	if !b.running {
		return 0
	}
	return b.engine.now()
}

func (b *budget) enter(left time.Duration) {
	if b.running {
		b.mark += b.engine.now() - left
	}
}

func meterFuncs(m Meter) []hostFunc {
	return []hostFunc{
		{module: m.Module, name: m.Refuel, call: refuel},
		{module: m.Module, name: m.Overflow, call: overflow},
	}
}

// refuel is called by the guest's rewritten code when its slice is used up.
func refuel(in *Instance, _ []uint64) {
	if err := in.call.Err(); err != nil {
		in.stop(fmt.Errorf("handling was stopped: %w", err))
	}
	fuel, ok := in.budget.next(int64(in.fuel.Get()))
	if !ok {
		in.stop(&event.Failure{Kind: event.FailBudget, Message: fmt.Sprintf("it ran longer than its time limit of %v", in.budget.limit)})
	}
	in.fuel.Set(uint64(fuel))
	if err := in.budget.resume(in.call.Context); err != nil {
		in.stop(fmt.Errorf("handling was stopped: %w", err))
	}
}

// overflow is called when the guest's call stack is used up.
func overflow(in *Instance, _ []uint64) {
	in.stop(&event.Failure{Kind: event.FailBudget, Message: "its call stack is used up; does it recurse without end?"})
}

// charge makes the guest pay for work the host does in its place, so that no loop of host calls outruns the clock. Small
// amounts are in the price of the call itself.
func (in *Instance) charge(fuel int) {
	if fuel >= 64 {
		in.fuel.Set(uint64(int64(in.fuel.Get()) - int64(fuel)))
	}
}

// What the host's work costs, in bytes to a unit of fuel or units to a byte.
const (
	copyBytes    = 16 // copied, per unit
	fuelPerJSON  = 8  // units per byte that is checked to be JSON
	fuelPerPrint = 8  // units per byte that is made printable
)
