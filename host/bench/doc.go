// Package bench measures eshost against baselines in the same run and on the same server: machines
// differ and are noisy, ratios less so.
//
// The workload is host/bank's: events of about 130 bytes in 10,000 streams, and the balances example,
// which keeps balance and count per account.
//
//   - catch-up: events per second from a full log to a complete read model, against a hand-written Go
//     loop (native.go) over the same table that reads 5,000 rows at a time, keeps the accounts in
//     memory, and commits one bulk upsert and its checkpoint in one transaction while it reads on.
//   - calls: nanoseconds to handle an event in a module, metered, against the same module unmetered and
//     against wazero's own WithCloseOnContextDone.
//   - live: milliseconds from an append's answer to the commit of its document.
//   - appends: single events from 64 callers at once, against 64 plain INSERT and COMMIT.
//   - load: what reaches the database from hosts with 1 to 1,000 plugins, idle and while another application appends, by
//     the server's own count; what an idle plugin takes of memory; how long a host with 1,000 plugins takes to start.
//   - memory: the process's resident set while a long log is caught up.
//
// Rounds alternate between the two sides of a ratio; what is printed is the median.
package bench
