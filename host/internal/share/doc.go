// Package share decides which host runs what: it is a function from who lives and who owns what to who should own what.
//
// Every host computes it for itself from the same rows of the store and acts on its own part alone: it takes what is
// its own and free, and hands over what is another's. So there is no leader, and nothing to agree on. Two hosts that
// see different rows for a moment may want the same unit; the lease decides, as it always does, and the next look
// sees what came of it. Nothing here is needed for correctness: the worst it can do is to leave work unevenly spread.
//
//	hosts, units, owners ──► Assign ──► unit: host
//
// Properties, each with a test:
//
//   - Even: no single unit could move to another host and leave the loads, by weight, more even.
//   - Sticky: a unit stays with its owner unless its move makes the loads more even. When a host joins it gets its
//     share and nothing else moves; when one leaves only its units move.
//   - Stable: assigning again what was assigned changes nothing. So moves come to an end.
//   - A unit goes only to hosts that declare its plugin, and units of one group go to one host.
package share
