// Package delivery takes one plugin's events from the log to its read model.
//
// A Runner owns everything between a reader of the log and the store's Commit for one plugin: the
// lease, the lanes with their instances, the document cache, the retries and the parked sequences.
//
//	┌─► acquire ──► session: fetch ─► handle in lanes ─► commit (one in flight) ─┐
//	│      │           ▲                     ▲                                   │
//	│      │           └──── next batch ─────┴── retry, request ◄────────────────┤
//	│      └─► another host has the lease: Run returns ◄── lease lost ◄──────────┤
//	└── backing off ◄── any other error: nothing in memory is kept ◄─────────────┘
//
// Who runs what is the host's to decide: Run returns when another host has the lease, and does not ask again.
//
// A session without events for Options.Idle rests: its instances are closed and most of what it has in memory is let
// go of. It keeps the lease, and its place.
//
// Within a session three things overlap: the next batch is fetched, this batch is handled, the last
// batch commits. Commits are strictly one after another.
//
// A batch is split into lanes by ordering key. Each lane has its own instance and its own overlay of
// documents that nobody else sees. When all lanes are done their reads and writes are compared: if a
// lane read or wrote what another wrote, the outcome is thrown away and the batch runs again in one
// lane. No database transaction is open while a guest runs.
//
// A guest decides how much it writes and how long it takes, so a batch ends early, after any event,
// when it has kept MaxBatchBytes, has run for a second, or has as many events waiting as may wait. What
// several lanes cannot cut at one position, one lane does again.
//
// Invariants:
//
//   - Invariant 2: a batch's outcome is one store.Commit, under the lease's epoch and from the
//     checkpoint the batch began at.
//   - Invariant 3: an event's writes reach its lane's overlay only when its handler has returned ok.
//   - Invariant 4: a key's events are in one lane, in position order. When one fails, the later ones
//     of that key queue behind it in the store; other keys go on. When order_by has changed, what
//     waits is put under the new keys before anything else is handled.
//   - Invariant 5: lanes show in nothing; conflict.go says why. Nor do partitions; partition.go says why.
//   - Invariant 9: what stands still has a Reason in Status, and in the store when a person must act.
//
// On failure of an event its key becomes a sequence in the store: retried with backoff, parked after
// the last attempt. So it does when the store refuses what the event emits, which shows only in the
// commit: smaller and smaller batches find it.
//
// A module that crashes on every event it is given, or cannot start, is quarantined: the batch is thrown
// away, and ever longer pauses later a probe looks for an event that it can handle.
//
// What a person asks for (requests.go: retry, skip, edit, pause, resume) the session carries out between two
// steps, in one commit that answers the request too: so nothing is done twice, whatever becomes of the
// answer. It comes before everything that needs the module, so a broken module or a pause keeps no request
// waiting. Data that a person has put in an event's place (edited.go) is what the module gets wherever the
// event comes from: the log, a sequence, a probe, a rebuild.
//
// On failure of anything else the session ends, its memory is dropped, the lease is taken again under a
// new epoch (so that a commit whose answer was lost cannot land later), and the checkpoint in the store
// says where to go on.
package delivery
