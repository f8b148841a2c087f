// Package tail reads the end of the log once for all plugins of a host.
//
// It owns the one goroutine that polls the store's end (Run), a ring of the recent events, and the
// readers' places to wait. A plugin reads through a Reader: from the ring while it keeps up, from the
// store with its filter in SQL while it is behind.
//
//	            events or Wake
//	   ┌──────────────────────────────┐
//	   ▼                              │
//	polling ── nothing new ──► waiting (doubling, MinPoll … MaxPoll)
//	   │                              ▲
//	   └── error ──► backing off ─────┘   the ring stays; readers wait
//	   └── log went back ──► Run returns: going on would skip or repeat events
//
// Invariants:
//
//   - Invariant 1: a Reader hands out positions in order and never past the watermark; what it
//     reports as covered is final.
//   - The ring covers (start, watermark] without a hole. When a poll could not carry all new events
//     the ring starts anew at the watermark, and readers behind it go to the store.
//   - How many statements reach the database when idle does not depend on how many readers there are, and
//     under load no reader that wants nothing of it makes more than its share of Options.QuietRate.
//
// A lost connection loses nothing: the watermark stays where it is until the store proves a higher one.
package tail
