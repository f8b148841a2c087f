// Package delivery takes one plugin's events from the log to its read model.
//
// A Runner owns everything between a reader of the log and the store's Commit for one plugin: the
// lease, the lanes with their instances, the document cache, the retries and the parked sequences.
//
//	          lease held elsewhere                     lease lost
//	        ┌──────────────────────┐   ┌───────────────────────────────────────┐
//	        ▼                      │   ▼                                       │
//	waiting for the lease ──────► session: fetch ─► handle in lanes ─► commit ─┤
//	        ▲                      │        ▲            │   (one in flight)   │
//	        │                      │        └── retry ◄──┘                     │
//	        └─── backing off ◄─────┴── any error: nothing in memory is kept ◄──┘
//
// Within a session three things overlap: the next batch is fetched, this batch is handled, the last
// batch commits. Commits are strictly one after another.
//
// A batch is split into lanes by ordering key. Each lane has its own instance and its own overlay of
// documents that nobody else sees. When all lanes are done their reads and writes are compared: if a
// lane read or wrote what another wrote, the outcome is thrown away and the batch runs again in one
// lane. No database transaction is open while a guest runs.
//
// Invariants:
//
//   - Invariant 2: a batch's outcome is one store.Commit, under the lease's epoch and from the
//     checkpoint the batch began at.
//   - Invariant 3: an event's writes reach its lane's overlay only when its handler has returned ok.
//   - Invariant 4: a key's events are in one lane, in position order. When one fails, the later ones
//     of that key queue behind it in the store; other keys go on.
//   - Invariant 5: lanes show in nothing; see conflict.go.
//
// On failure of an event its key becomes a sequence in the store: retried with backoff, parked after
// the last attempt. On failure of anything else the session ends, its memory is dropped, the lease is
// taken again under a new epoch (so that a commit whose answer was lost cannot land later), and the
// checkpoint in the store says where to go on.
package delivery
