// Package pgtest gives tests and the benchmark a real PostgreSQL: a private server in a temporary
// folder, on a free loopback port, that nothing else uses and that never outlives its owner.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		url := pgtest.Database(t) // a fresh, empty database, dropped when t ends
//	}
//
// The server is started by the first test that asks for a database and shared by the tests of the
// process. A test that must stop a server, or needs other settings, starts its own with Private.
//
// A watchdog process holds the read end of a pipe whose write end only this process has. When that
// closes, however this process ended (kill -9 included), the watchdog stops the server and removes
// its folder.
//
// The environment variable ESHOST_TEST_POSTGRES=URL makes Database use that server instead: its role
// must be allowed to create databases. ESHOST_POSTGRES_BIN=DIR names the folder of initdb and
// postgres where they are neither in PATH nor where Debian puts them.
package pgtest
