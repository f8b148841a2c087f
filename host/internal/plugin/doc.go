// Package plugin runs events through WebAssembly modules that nobody has to trust.
//
// An Engine owns the compile cache on disk and one compiled module, with a runtime of its own, for each distinct (digest, memory
// limit), however many plugins and instances share it. A Module is one plugin's use of a compiled module: its grants,
// configuration, limits and log. An Instance is one running copy with a memory of its own; one goroutine uses it at a time.
//
// A module is loaded in these steps, each with an error that says what is there, what is wanted and the way out:
// header, metering, manifest, compilation, exports, imports, grants. After that nothing can fail to link.
//
// The life of an instance:
//
//	           NewInstance
//	                │ start function, _initialize, eshost_init, eshost_inbox
//	                │ (InitTime; no effects)
//	  at fault      ▼
//	  ◄────────── ready ◄───────────────────────────────┐
//	*Error          │ Handle                            │
//	                ▼                                   │
//	             running ── ok, retry, reject ──────────┘
//	                │
//	                ├── trap, budget, protocol: an *event.Failure
//	                ├── an Effects method failed, ctx ended: the host's error
//	                ▼
//	              spent ── Close ──► closed
//
// An instance that was stopped or trapped in the middle of a function has its memory in any state, so it is spent: it
// answers ErrSpent and its owner makes another.
//
// A guest runs compiled code, which Go can neither interrupt nor, while it runs, collect garbage beside. So package meter
// rewrites every module to count fuel, and to call the host when a slice of it is used up: there the deadline and the
// caller's context are checked and other goroutines get their turn (budget.go). What the host does for a guest is
// charged in the same fuel, by size.
//
// Invariants:
//
//   - Invariant 3: an event that fails has had effects on nothing but the Effects value of its own call, which the
//     caller drops.
//   - Invariant 6: a guest can hurt only itself. Addresses are checked (abifuncs.go), names, values, quotas and emitted
//     events are checked before they leave this package, time, memory, stack and log are bounded, texts are made
//     printable (failure.go), compiled code is read only from a folder nobody else can write to (cachedir.go), and
//     the outside world is a clock that stands, a seeded source of randomness and two streams into the log (wasi.go).
package plugin
