package test

import (
	"strings"
	"syscall"
	"testing"

	"eshost/test/pgtest"
)

// TestPgBouncer runs two hosts, every command and an application's own writers through a PgBouncer in transaction mode,
// whose few sessions of the server all of them share. Nothing in hosts.toml says that it is there. A host that stands
// still loses its leases, one that is killed too, and in the end every event must have been applied once.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	pooled, direct := pgtest.Pooled(t, map[string]string{"default_pool_size": "6", "server_round_robin": "1"})
	s := openStore(t, pooled)
	src := newSource("lib-", seed)
	src.slow = true
	stopFeed := feed(t, s, src)
	first := newProject(t, pooled, "first", bankPlugins(t)...)
	second := newProject(t, pooled, "second", bankPlugins(t)...)
	stopCommand := first.feedCommand(newSource("cli-", seed))
	firstHost, secondHost := first.host(), second.host()
	firstHost.ready()
	secondHost.ready()

	if out := first.must("status"); !strings.Contains(out, "through a pooler") {
		t.Errorf("status does not say that there is a pooler:\n%s", out)
	}
	freeze(t, firstHost, s)
	awaitShares(t, s, map[string]int{"second": 3})
	firstHost.signal(syscall.SIGCONT)

	first.must("reload")
	if out := first.must("rebuild", "rust", "--wait", "60s"); !strings.Contains(out, "rust: generation 2 is live") {
		t.Errorf("rebuild says %q", out)
	}
	first.must("pause", "rust")
	first.must("resume", "rust")

	secondHost.kill()
	awaitShares(t, s, map[string]int{"first": 3})
	secondHost = second.host()
	secondHost.ready()
	// Whoever ends the pooler's sessions ends what runs in them, and no more.
	for range 5 {
		terminateConnections(t, direct, "eshost/first")
	}
	stopCommand()
	stopFeed()
	m := checkBank(t, s)
	firstHost.stop()
	secondHost.stop()
	t.Logf("%d events", m.events)
}
