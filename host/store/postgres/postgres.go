package postgres

import (
	"context"
	"errors"
	"fmt"

	"eshost/host/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store is one open database. Its methods may be called from many goroutines.
type Store struct {
	target     *target
	schema     string
	events     Mapping
	sql        *statements
	sequence   string // that positions are drawn from, as a quoted name
	relation   string // the events table, as a quoted name
	serverName string // for people

	// Pools of their own: neither a rush of appends, nor slow commits, nor large reads keep the others waiting.
	appends, commits, reads *pgxpool.Pool
	renewals                *renewals
}

var _ store.Store = (*Store)(nil)

// Open connects to the database, brings its schema up to date and checks that it can be trusted with
// the order of events. It fails with store.ErrUnavailable if no server answers or it refuses us, and
// with store.ErrSchema if it is one that cannot be used.
//
// The URL is postgres://user:password@host:port/database with the parameters of libpq and pgx. A pooler in
// transaction mode before the server is found out; pgbouncer=true says that there is one, and pgbouncer=false that
// there is none, or one that keeps a session of the server for each connection.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	o = o.withDefaults()
	t, err := parseURL(url, o)
	if err != nil {
		return nil, err
	}
	s := &Store{target: t, schema: o.Schema, events: o.Events, renewals: newRenewals(t)}
	if err := s.prepare(ctx, o.NoMigrate); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		pool        **pgxpool.Pool
		connections int
		as          session
	}{{&s.appends, o.AppendConnections, steady}, {&s.commits, o.CommitConnections, steady}, {&s.reads, o.ReadConnections, fresh}} {
		if *p.pool, err = t.pool(ctx, p.connections, p.as); err != nil {
			s.closeAll()
			return nil, fmt.Errorf("make a connection pool: %s", describe(err))
		}
	}
	return s, nil
}

// upToDate looks at the schema as migrate does, and fails where there is something to do.
func upToDate(ctx context.Context, conn *pgx.Conn, schema string) error {
	known, err := migrations()
	if err != nil {
		return err
	}
	applied, err := appliedVersion(ctx, conn, schema)
	if errors.Is(err, store.ErrSchema) { // or half of a migration that ended during the look
		applied, err = appliedVersion(ctx, conn, schema)
	}
	if err != nil {
		return err
	}
	return needsNothing(schema, applied, known[len(known)-1].version)
}

func needsNothing(schema string, applied, newest int) error {
	switch {
	case applied == 0:
		return fmt.Errorf("%w: schema %q has none", store.ErrNoSchema, schema)
	case applied < newest:
		return fmt.Errorf("%w: schema %q is at version %d and this eshost needs version %d", store.ErrOldSchema, schema, applied, newest)
	case applied > newest:
		return tooNew(schema, applied, newest)
	}
	return nil
}

// prepare does on one connection all that must be right before the first statement.
func (s *Store) prepare(ctx context.Context, noMigrate bool) error {
	conn, err := s.target.connect(ctx, fresh)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if s.serverName, err = checkServer(ctx, conn); err != nil {
		return err
	}
	bringUp := migrate
	if noMigrate {
		bringUp = upToDate
	}
	if err := bringUp(ctx, conn, s.schema); err != nil {
		return err
	}
	log, err := checkTables(ctx, conn, s.schema, s.events)
	if err != nil {
		return err
	}
	s.relation, s.sequence = log.relation, log.sequence
	s.sql = newStatements(s.events.names(s.schema), log.sequence, log.partitioned)
	return nil
}

// Describe names the server, the database and the schema, and says whether a pooler stands before the server.
func (s *Store) Describe() string {
	through := ""
	if s.target.pooled() {
		through = " through a pooler"
	}
	return fmt.Sprintf("%s%s at %s, database %q, schema %q", s.serverName, through, s.target.address(), s.target.config.ConnConfig.Database, s.schema)
}

// Identity implements store.Store: the time at which the tables were made, and which of the server's databases they are in.
func (s *Store) Identity(ctx context.Context) (string, error) {
	var made, database int64
	err := s.reads.QueryRow(ctx, s.sql.rare(`
SELECT (extract(epoch FROM applied_at) * 1000000)::bigint, (SELECT oid::bigint FROM pg_database WHERE datname = current_database())
FROM {migrations} ORDER BY version LIMIT 1`)).Scan(&made, &database)
	if err != nil {
		return "", fail(ctx, "read the database's identity", err)
	}
	return fmt.Sprintf("%x-%x", made, database), nil
}

// Close closes all connections but those of open tails. It waits for calls that are under way.
func (s *Store) Close() error {
	s.closeAll()
	return nil
}

func (s *Store) closeAll() {
	for _, pool := range []*pgxpool.Pool{s.appends, s.commits, s.reads} {
		if pool != nil {
			pool.Close()
		}
	}
	s.renewals.close()
}
