// Package redis makes hosts faster that share a database, with a Redis that keeps nothing: they wake each other, one of
// them polls the database for all, and whoever keeps copies of documents is told what has changed.
//
// It owns one goroutine (Run) and, while Redis is used, one that reads what the others say.
//
//	          found                        slow for three commands in a row
//	checking ───────► ok ◄──────────────────────────────────────► slow
//	   │   ▲           │     a connection breaks, a command fails,   │
//	   │   └─ backoff ─┤     or nothing is heard for too long        │
//	   └───────────► failing ◄───────────────────────────────────────┘
//
// Each change of the state, and of the reason for it, is logged once. A start does not wait for Redis.
//
// Invariant 7: Redis only makes things faster. What comes from it is a reason to look at the database and never
// anything else, so it may be lost, repeated, late, or made up by somebody else. Only a host that hears another one say,
// a few times a second, that it polls looks at the database less often itself. It looks as often as without Redis as soon as:
//
//   - nothing was heard for three beats (0.75s): the polling host has died, hangs, was cut off, does not reach the database
//     or this host's own subscription is dead;
//   - a connection breaks or a command fails, FLUSHALL or not;
//   - Redis answers more slowly than polling would find an event.
//
// Even then it looks once a second. So an event that somebody else appended, or a request for this host, is found
// within poll_max as long as all is well, and within three beats and poll_max when the polling host dies.
//
// Who polls holds a token: a key that one host at a time can set, which expires (2s) unless it is renewed. Nothing depends
// on there being one holder: with two, both poll; with none, all do. A FLUSHALL ends with some host setting it again.
//
// # What is said
//
// On the channel PREFIX:SCOPE:wake hosts say how far the log is, a JSON object of less than 512 bytes. SCOPE names the
// database, so that hosts of two databases may use one Redis. The token is the key PREFIX:SCOPE:poller.
//
// On the channel PREFIX:changes:PLUGIN, where changes are published, each message is a JSON object of one of three kinds:
//
//	{"scope":"…","plugin":"balances","collection":"balances","key":"acc-ada","position":201}
//	{"scope":"…","plugin":"balances","collection":"balances","key":"acc-bob","position":204,"deleted":true}
//	{"scope":"…","plugin":"balances","position":990,"many":true,"collections":["balances"]}
//	{"scope":"…","plugin":"balances","reset":true}
//
// The first two are said of each document that a commit wrote or deleted; position is the event that did. The third stands
// for a commit with too many documents to name: any document of these collections may have changed. The fourth says that
// changes may not have been told: any document of the plugin may have changed. It is said after messages were dropped, and
// whenever a host takes the plugin, or a partition of it, over. Documents' data is never sent: read it from the
// database, where it is at least as new as the message.
//
// Messages are sent at most once, after the commit, and not to those who are not connected. A cache that must not be stale
// for ever gives its entries an end, too; a reader that must not miss a change reads the documents by the plugin's checkpoint.
package redis
