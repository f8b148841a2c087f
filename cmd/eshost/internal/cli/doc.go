// Package cli is the eshost command line: one file per command.
//
// Data goes to standard output, everything else to standard error. An error says what happened to which
// thing, and what to do next:
//
//	eshost: events.ndjson:3: type is missing
//	hint: nothing is stored; mend the line and run the command again
//
// Exit codes:
//
//	0    done
//	1    failed: a conflict with what is stored, a paused plugin, a timeout, no such document, a lost connection
//	2    wrong use or wrong input: a flag, a name, a line, hosts.toml, a module the host refuses, another
//	     application's database, one that a newer eshost has migrated, or one to read that needs migrating
//	3    something it needs is missing: a file, a permission, a database that answers, tables to read
//	130  interrupted
//
// Only codeOf decides which.
package cli
