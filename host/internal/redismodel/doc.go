// Package redismodel keeps a plugin's read model in Redis (target = "redis"): a Redis that keeps nothing on disk, and
// that may lose all or a part of what it has at any moment. All of it is made from the log, and is made from it again.
//
// A [Model] stands between delivery and the database. The lease, its epoch, people's requests and replaced data stay in
// the database. Documents, checkpoint, sequences, the events that wait in them and the record of modules are in Redis and
// change in one script, commit.lua, or not at all.
//
//	                    ┌── gone, damaged, of another log ──► begin anew ──┐
//	Acquire ──► inspect ┤                                                  ├──► session: commit, commit, …
//	                    └── whole, and of this log ─────────► open ────────┘        │
//	   ▲                                                                            │
//	   └──── any error: Redis away, read model gone, taken over, outcome unknown ◄──┘
//
// # What is in Redis
//
// All keys of a plugin begin with PREFIX:{PLUGIN}: and lie in one slot of a cluster. None has an expiry.
//
//	meta                   hash: what the read model is; see below
//	documents:COLLECTION   hash: a document's key → its JSON, the bytes as the handler wrote them
//	index:COLLECTION       sorted set: the keys of that hash in byte order, for scans
//	collections            hash: collection → number of documents; none has 0
//	sequences              hash: ordering key → the failing or parked sequence, as JSON
//	waiting                sorted set: the events that wait in sequences
//	modules                hash: position → the module that made what follows it, as JSON
//	answers                hash: requests that were carried out and not yet answered in the database
//
// The fields of meta that readers need:
//
//	database    the identity of the database whose log it is made of; eshost status --json has it as identity
//	state       rebuilding, ready, or broken
//	position    the checkpoint: every event up to it is in the documents, but for those that wait
//	head        the end of the log when the read model was begun; at it rebuilding becomes ready
//	documents   number of documents in all collections
//	updated     time of the last commit, by the clock of the host that made it (RFC 3339)
//
// The others are the host's: format, generation, epoch, session and serial (whose commit is the next), digest (of the
// module), anchor (the last event, which ties the checkpoint to the log), sequences and waiting (how many there are).
//
// # Reading it from any language
//
// No meta: the read model was never built, or Redis has lost it; what is not there may exist. State rebuilding: it is
// being built, and what is not there may still come. State ready: what is not there does not exist, as of position.
// Anything else: do not trust it; its owner builds it anew. Another database than yours: two share this Redis under one
// prefix, and nothing there is yours.
//
// Read a document together with meta, in one MULTI, so that both are of one commit:
//
//	MULTI
//	HMGET eshost:{balances}:meta database state position
//	HGET  eshost:{balances}:documents:balances acc-ada
//	EXEC
//
// Redis may also lose the documents of one collection alone (an eviction; somebody's DEL). Who wants to know asks for
// two more numbers in the same MULTI, which are equal (none counts as 0) unless that has happened:
//
//	HLEN eshost:{balances}:documents:balances
//	HGET eshost:{balances}:collections balances
//
// In order of keys: ZRANGEBYLEX eshost:{balances}:index:balances [acc- (acc. LIMIT 0 100, then HMGET.
//
// # What is noticed
//
//   - Everything gone (FLUSHALL, a restart, an empty replica promoted): at the next commit or read of the owner, and within
//     two seconds when it has nothing to do. Its session ends, and the next one begins anew from the plugin's start.
//   - A key gone that the owner reads or writes: at that read or commit, before anything is changed. Any other: when
//     the next session opens. A server that may drop any key (maxmemory-policy allkeys-*, with a maxmemory) is refused.
//   - A replica promoted that is some commits behind: it is a whole read model of an earlier position, which goes on.
//   - A commit that Redis refused in its middle (an account that may not use one of the commands): the script marks
//     the read model as broken before its first change.
//   - A database or log that was set back: the anchor's event is not in the log any more, or new events are below the
//     checkpoint, or the database gives out an epoch that Redis has seen.
//   - The read model of another database, which has the same prefix or had it before: nobody of this one reads or writes
//     there (ErrForeign), and it stays as it is until somebody gives one of them another prefix or deletes its meta. A
//     database that was made anew is another one; one that failed over or was copied is not.
//
// Not noticed: a document's value that somebody else has overwritten.
//
// # Who may write
//
// Invariant 2: Acquire takes the lease in the database and then writes its epoch and a new session into meta. A commit
// names both, the checkpoint it begins at and its number in the session; each differs for an owner that was replaced, for a read
// model that was begun anew, and for a commit that comes twice or late. An epoch below the one that Redis has seen is
// refused with store.ErrLeaseLost.
//
// Invariant 7: losing Redis or all it holds loses nothing. What people had skipped is handled again when the read model
// is built anew, as by eshost rebuild; what they had replaced stays replaced.
package redismodel
