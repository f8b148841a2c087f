// Package postgres keeps the event log and the state in PostgreSQL 14 or newer, through pgx.
//
// # What it owns
//
// A schema (eshost by default) with the tables of migration/, three connection pools, one connection for the host's
// registration, and one for each open tail. The events table is shared: applications may INSERT into it in their
// own transactions, however long those take. Mapping is the one place that knows the table's names.
//
// # The watermark
//
// Positions are drawn from a sequence when a row is inserted, and seen when its transaction commits, so
// a reader that has seen position 7 may still meet position 6. Invariant 1: the watermark W only covers
// positions that are final: their events are visible, or will never be.
//
// An INSERT holds the events table's RowExclusiveLock before its default nextval() is evaluated, and
// until its transaction ends. So the table's own lock says who may still commit a position that has been
// drawn. A tail does three things, each in a statement of its own:
//
//	(1) hw := pg_sequence_last_value(…)        every position drawn so far is at or below hw, and hw was drawn
//	(2) look at pg_locks                       who holds RowExclusiveLock on the table
//	(3) read events                            with a snapshot younger than (2)
//
// Claim: once none of the transactions that (2) found holds the lock any more in a later look (2'), a
// statement that begins after (2') sees every event at or below hw that will ever be.
//
// Proof. Take an event at position p ≤ hw whose transaction T commits some time. p was drawn before (1)
// read the sequence, or hw would be lower; T took the lock before it drew p; so T held the lock from before
// (1) until its end. Either (2) found T, or T had ended before (2). In the first case T is gone at (2'),
// since a transaction keeps the lock, and is known by the same name, until it ends. So T ended before (2').
// A committing transaction becomes visible before it releases its locks (ProcArrayEndTransaction comes before
// ResourceOwnerRelease in CommitTransaction, and ProcArrayRemove before the lock callbacks in
// FinishPreparedTransaction), so T is visible to a snapshot taken after (2'). ∎
//
// The order is all that matters. Locks before hw, or all in one statement, whose snapshot is older than its
// look at the locks, loses events. So the tail's statements are autocommitted: no isolation level that a
// role or a database sets can give them a common snapshot.
//
// For the same reason hw must not be too high: a position that is drawn after (1) but at or below hw has a
// writer that (2) may have come too early for. SELECT last_value FROM the sequence can be too high by up to 32,
// since nextval() writes the value it logs ahead into the page for a moment and a plain read of the page
// does not wait for it (seen here: 6 of 92,000 reads beside 8 writers went back by themselves).
//
// Type watermark keeps the proof's bookkeeping in its shortest form: for each holder the hw of the scan
// before the one that found it first, its floor. The holder was not found by that scan, so by the claim it
// commits nothing at or below the floor. The mark is the lowest floor, or hw if nobody holds the lock.
//
// What a holder is, exactly:
//
//   - It is known by its virtual transaction id, which no other transaction has until the server restarts. A
//     session's next transaction has another one.
//   - ROLLBACK TO SAVEPOINT may release the lock and a later INSERT take it again. Between the two nothing
//     that could commit has been drawn, so the holder may be forgotten and found again.
//   - A lock taken by the fast path is moved to the shared table when someone needs a stronger one, never back.
//     pg_locks reads the fast path first, so it may show a lock twice but cannot miss it.
//   - PREPARE TRANSACTION hands the lock to a process that does not exist (pid NULL), which keeps the virtual
//     transaction id. Before the minor releases of October 2021 the name becomes -1/xid instead, perhaps
//     between two scans or during one. So a new name of that form inherits the lowest floor of those it may
//     have been. After a restart of the server every prepared transaction has that form; but then the
//     connection was lost, or pg_postmaster_start_time() shows that a pooler hid the restart, and all
//     bookkeeping begins anew.
//   - Only this database counts, and every partition: a plain INSERT locks the parent too, one into a partition
//     locks that one alone. The tail itself never writes. pg_stat_activity is asked for names only: a role
//     without privileges sees nobody's state there, but every role sees all of pg_locks.
//   - An UPDATE or DELETE of events counts as a writer. That can hold the mark, and cannot make it wrong.
//
// If the events after W have no holes up to hw then all of them are visible and W is hw: no look at the
// locks is needed. Where nothing was drawn since the last Poll, reading the sequence is all a Poll does.
//
// The proof needs positions to be drawn under the lock. Open refuses a sequence with CACHE > 1, an
// INCREMENT other than 1 or CYCLE, and a server whose pg_locks does not show a writer's lock. What it
// cannot see, and what must not be done: to draw a position first and insert it later (OVERRIDING SYSTEM
// VALUE, COPY with a position column, hi-lo generators), or to replicate events into the table logically.
//
// # States of a tail
//
//	           ┌────────────────── any error: forget everything but what was published ──────────────────┐
//	           ▼                                                                                         │
//	┌─► no connection ──connect──► new ──hw > W──► proving ──mark = hw──► at the head ──hw > W──► proving
//	│                               │                 │ ▲
//	│                               │                 ▼ │ a holder ends
//	│                               │                held (after 500 ms: by whom)
//	│                               ▼
//	│     the log is not the one that was published ──► broken (ErrLogWentBack, for good)
//	└── Close
//
// A new connection may lead to a server that has forgotten: a standby that took over, a backup. The last
// event that was published must still be there, and the sequence must not stand below W. This is checked at
// once, and again when every writer found open by then has ended, since one could hold a position that was
// published as a hole. For the same reason a hole at the end of the log is published only when the server
// has written to disk that its positions were drawn; otherwise every crash would look like a backup.
// What a foreign writer commits with synchronous_commit = off may be lost in a crash after it was published;
// that is reported, too. Our own appends wait for the disk whatever the server's default is.
//
// # Appending, committing
//
// An Append reads what it needs to decide in one statement and inserts in a second one, without a
// transaction around both: the unique keys (stream, version) and (id) find out if anybody came between, and
// then it decides again. Requests that cannot be stored together are stored alone.
//
// A Commit is one pipelined batch in one transaction that begins with the guard. Invariant 2: where epoch
// or checkpoint are not the expected ones, the guard's error ends the transaction. Nothing is tried again
// unless the server said that it was rolled back.
//
// # When things fail
//
// Errors match store.ErrUnavailable where trying again may help and store.ErrSchema where the database must
// be changed first. No error holds a password. Appends, commits and leases wait for another transaction for
// so long and no longer, and then say which transactions are open.
//
// # What a role needs
//
// To migrate: CREATE on the database, or a schema of its own. To run: USAGE on the schema, SELECT, INSERT,
// UPDATE and DELETE on its tables, SELECT and USAGE on its sequences. To insert events from an application:
// USAGE on the schema and INSERT on events, and for append_event also SELECT.
package postgres
