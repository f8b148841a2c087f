// Package sqlite keeps the event log and the state in one SQLite file.
//
// It is the embedded default: no server, one file, and every guarantee of host/store.
//
//	     Append, Commit, …                        Read, Documents, Tail.Poll, …
//	            │                                              │
//	one writer connection, BEGIN IMMEDIATE        a few readers, query_only
//	            └───────────────► WAL ◄────────────────────────┘
//	                               │ checkpoint
//	                         the database file
//
// Several processes may use one file at a time, such as a host and the command line beside it: the
// writer connection waits for the file's write lock, readers never wait.
//
// Invariants:
//
//   - Positions become visible in the order in which they were drawn. SQLite admits one writing
//     transaction at a time, in all processes together, and AUTOINCREMENT draws the position inside
//     it, so the transaction that draws the higher position begins after the lower one is committed
//     or rolled back. Whatever is committed is therefore final, and the watermark is the highest
//     committed position (invariant 1 of the host).
//   - A position is answered only after COMMIT returned under synchronous=FULL: it is in the WAL
//     and the WAL is on the disk.
//   - Every change is one write transaction: all of it or nothing, and COMMIT is never interrupted,
//     so that its outcome is known (invariant 2 of the host).
//
// On failure: a transaction that fails, or whose context ends before its COMMIT, is rolled back; if
// even that fails its connection is closed, which rolls it back, and the next call opens another. A
// file that is moved or replaced while it is open is noticed and refused, since what is written to
// it would be lost.
package sqlite
