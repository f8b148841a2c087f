package test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host"
	"eshost/test/pgtest"
)

// TestIdleHostAsksNoMoreForMorePlugins holds an idle host to a load on the database that does not grow with
// the number of its plugins, and is small.
func TestIdleHostAsksNoMoreForMorePlugins(t *testing.T) {
	t.Parallel()
	counts := []int{1, 10, 300}
	databases := make([]string, len(counts))
	for i, n := range counts {
		databases[i] = pgtest.Database(t)
		s := openStore(t, databases[i])
		appendOne(t, s, "a") // a log that is empty is not what hosts have
		var plugins []plugin
		var names []string
		for j := range n {
			names = append(names, fmt.Sprintf("p%03d", j))
			plugins = append(plugins, plugin{names[j], balancesModule(t, "rust"), ""})
		}
		runHost(t, newProject(t, databases[i], "idle", plugins...).config(), host.Options{})
		settled(t, s, names...)
	}
	// The server counts what a connection did up to ten seconds after it fell idle. So what was done to get
	// here may still show in the first windows; a load that grows would show in all of them.
	const windows = 6
	for i := 1; ; i++ {
		rates := measureIdle(t, counts, databases)
		const mostIdle = 15
		if most := min(rates[0]*1.5+2, mostIdle); rates[0] > 0 && slices.Max(rates) <= most {
			break
		}
		if i == windows {
			t.Fatalf("in none of %d windows was the load of %v plugins about the same and at most %d", windows, counts, mostIdle)
		}
	}
}

// measureIdle prints and returns the transactions a second in each database.
func measureIdle(t *testing.T, counts []int, databases []string) []float64 {
	t.Helper()
	const window = 5 * time.Second
	before := transactions(t, databases)
	pause(t.Context(), window)
	after := transactions(t, databases)
	rates := make([]float64, len(counts))
	var table strings.Builder
	for i, n := range counts {
		rates[i] = float64(after[i]-before[i]) / window.Seconds()
		fmt.Fprintf(&table, "%4d plugins: %5.1f transactions a second\n", n, rates[i])
	}
	t.Logf("idle for %s:\n%s", window, &table)
	return rates
}

// transactions is how many transactions each database has seen, asked from another one.
func transactions(t *testing.T, databases []string) []int64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Shared(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	counts := make([]int64, len(databases))
	for i, database := range databases {
		u, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		err = conn.QueryRow(t.Context(), "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1",
			strings.TrimPrefix(u.Path, "/")).Scan(&counts[i])
		if err != nil {
			t.Fatal(err)
		}
	}
	return counts
}
