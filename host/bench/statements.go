package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Statements is what the hosts sent to the database in a second, by what it was for: a commit is several statements.
type Statements struct {
	Total float64 `json:"total"`
	// Ends are looks at where the log ends and who holds its watermark.
	Ends float64 `json:"ends"`
	// Reads are reads of events.
	Reads float64 `json:"reads"`
	// Commits are the statements of commits: guards, documents, sequences.
	Commits float64 `json:"commits"`
	// Leases are registrations of hosts, and leases taken and given back.
	Leases float64 `json:"leases"`
	// Other is the rest: requests, generations, what a start reads.
	Other float64 `json:"other"`
	// Batches is the number of commits, each a transaction.
	Batches float64 `json:"batches"`
}

func (s Statements) minus(o Statements) Statements {
	return Statements{s.Total - o.Total, s.Ends - o.Ends, s.Reads - o.Reads, s.Commits - o.Commits, s.Leases - o.Leases,
		s.Other - o.Other, s.Batches - o.Batches}
}

func (s Statements) per(d time.Duration) Statements {
	n := d.Seconds()
	return Statements{s.Total / n, s.Ends / n, s.Reads / n, s.Commits / n, s.Leases / n, s.Other / n, s.Batches / n}
}

// counter asks the server what it has been asked, with its module pg_stat_statements.
type counter struct{ conn *pgx.Conn }

// newCounter fails where the server has not loaded the module, or the role may not create its extension.
func newCounter(ctx context.Context, url string) (*counter, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	c := &counter{conn}
	if _, err = conn.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err == nil {
		_, _, err = c.count(ctx)
	}
	if err != nil {
		c.close(ctx)
		return nil, fmt.Errorf("count statements with pg_stat_statements, which must be in shared_preload_libraries: %w", err)
	}
	return c, nil
}

func (c *counter) close(ctx context.Context) { _ = c.conn.Close(ctx) }

// count returns what the server has run of the hosts' statements since it began to count, and how many plain inserts
// of events beside them.
func (c *counter) count(ctx context.Context) (hosts Statements, inserts float64, err error) {
	rows, err := c.conn.Query(ctx, `SELECT query, calls::float8 FROM pg_stat_statements
		WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND toplevel`)
	if err != nil {
		return hosts, 0, err
	}
	var query string
	var calls float64
	_, err = pgx.ForEachRow(rows, []any{&query, &calls}, func() error {
		if query = strings.ReplaceAll(query, `"`, ""); isPlainInsert(query) {
			inserts += calls
		} else if !strings.Contains(query, "pg_stat_statements") {
			hosts.add(query, calls)
		}
		return nil
	})
	return hosts, inserts, err
}

// plainInsert is what an application appends with that knows nothing of hosts.
const plainInsert = `INSERT INTO eshost.events (stream, stream_type, version, type, data) VALUES ($1, 'account', $2, $3, $4)`

func isPlainInsert(query string) bool {
	return strings.HasPrefix(query, "INSERT INTO eshost.events (stream, stream_type, version, type, data) VALUES")
}

// add counts calls of a statement under what it is for.
func (s *Statements) add(query string, calls float64) {
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(query, p) {
				return true
			}
		}
		return false
	}
	s.Total += calls
	switch {
	case has("pg_sequence_last_value", "pg_locks"):
		s.Ends += calls
	case has("WITH moved AS"):
		s.Batches += calls
		s.Commits += calls
	case has("set_config(", "INSERT INTO eshost.documents", "DELETE FROM eshost.documents",
		"INSERT INTO eshost.module_spans", "INSERT INTO eshost.sequence", "DELETE FROM eshost.sequence"):
		s.Commits += calls
	case has("eshost.hosts", "SET owner"):
		s.Leases += calls
	case has("FROM eshost.events"):
		s.Reads += calls
	default:
		s.Other += calls
	}
}
