// Package host wires eshost together: a store, one tail that reads its log, and for each plugin of
// hosts.toml a sandboxed module and a runner that delivers events to it.
//
//	Open ── store, modules ──► Run ── lease row, tail, appender, runners, listener ──► ctx ends
//	                                                                                      │
//	Close ◄── store, sandbox ◄── lease row removed ◄── runners commit what is in flight ◄─┘
//
// Host owns every goroutine it starts and waits for it. The parts do not know each other: what one
// needs of another it declares as an interface, and this package fits them together.
//
// Invariant 7: waking the tail when this process appends only makes things faster; polling finds
// everything anyway.
package host
