// Package appender groups concurrent appends into one transaction.
//
// A commit costs a sync of the disk whatever its size. While one group is being written, requests
// that arrive queue up and become the next group: alone, a request waits for nobody; in a crowd, all
// share the syncs. There is no timer.
//
//	           ctx ends                          ctx ends: OutcomeUnknownError
//	        ┌────────────┐                      ┌───────────────┐
//	        │            │                      │               │
//	Append ─► waiting for room ──► queued ──► in a group ──► answered
//	                │                │                          ▲
//	                └── ErrClosed ◄──┴── Close                  └── its own result
//
// Invariants:
//
//   - Each caller gets the result of its own request: one that is refused does not touch the others,
//     and one that no store would keep never reaches a group.
//   - Requests are written in the order in which they were queued, one group after another. (Two
//     groups at a time were slower: 0.7 of the rate on PostgreSQL, 0.6 on SQLite.)
//   - The queue is bounded in bytes. Append blocks when it is full.
//   - Every event has its id before it is written, so that whoever tries again stores nothing twice.
//
// On failure of the store every request of the group is told that its outcome is unknown, with the
// ids to try again with. On Close what is being written is finished and answered, and what is queued
// is refused.
package appender
