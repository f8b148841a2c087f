// Package meter rewrites WebAssembly modules at load so that the host stays in control of what they do.
//
// The engine's compiled code cannot be interrupted: a looping guest would occupy its thread for ever and keep the Go
// process from collecting garbage. A rewritten module interrupts itself. It counts down a fuel global and calls the
// host, [ImportModule].[Refuel], when that drops below zero; there the host checks the deadline, Go gets its turn, and
// the guest goes on with a new slice or traps. The package owns the binary format, the placement of the charges, and the
// limits on what a module may declare. It works on bytes alone and knows neither the engine nor the ABI.
//
// # Fuel
//
// A unit is about one simple machine operation. A charge subtracts a constant from the fuel; a check is a charge that
// also calls the host when the fuel is used up. They are placed so:
//
//   - A region is what a loop head or a function entry dominates, less the loops inside. A check at its start pays for
//     the region's instructions. Each of them runs at most once between two passes through that start, for within a
//     region control only moves forward; so what runs is never more than what was paid.
//   - Paying for all of a large region would charge branches that are not taken; the extreme is a compiler that makes
//     each function one loop around a br_table, as Go's does. So, once a charge covers splitAbove units, the next label
//     that is jumped to starts a charge of its own. A charge c covers the code behind it in the region only if all ways
//     there pass c. The ones that do not jump over it, to the end of a block that has c inside. Hence the rule: a label
//     at the end of a block with a charge inside, and an else behind such a branch, always start a charge as well.
//   - An entry followed by a loop head with nothing but straight code between needs no check of its own.
//   - A function without loops, bulk operations or indirect calls that does at most absorbBelow units of work, its
//     callees included, is paid by its callers: a direct call pays what the callee costs, an indirect call the most that
//     any such function of its type costs.
//   - Bulk operations and growth pay for their size before they run, so one can run past the end of a slice but a loop of
//     them cannot. Operations on more than 1 MiB of memory are done and paid a piece of that size at a time.
//
// Every cycle in control flow passes a loop head and every cycle in the call graph a function entry that is checked, since
// absorbed functions are on no cycle; and chains of calls that double at each level are checked at each level. So the
// work between two checks is bounded by the size of a function, of what it absorbs, and of its memory.
//
// What a call uses, the fuel granted less the fuel left, depends on the module and its input alone. It is the same on
// every machine and for every size of slice.
//
// # Stack
//
// A second global holds what is left of a stack budget. Functions on a cycle of the call graph, where an indirect call
// leads to every function of its type whose reference escapes, take their estimated frame from it when entered and give
// it back at every way out; their body becomes a block for that. Below zero the guest calls
// [ImportModule].[Overflow], which must trap. Functions on no cycle are not counted: all of them together, once each, is
// the most they can put on the stack.
//
// # Failure
//
// A module is refused with an *[Error] that says what and where. A trap, from the meter or otherwise, leaves both
// globals and the guest's memory as they were at that moment: the instance must be thrown away. The rewriter does not
// check types. The engine validates the result, and every index just beyond the original's, which the rewriting would
// make valid, is refused here. Spellings that the engine reads differently than we do are refused too, so what the
// engine runs is what was metered.
package meter
