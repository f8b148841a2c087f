package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// oldestServer is the first version whose maintained releases keep a transaction's virtual id when it
// is prepared, and that is still maintained itself.
const oldestServer = 140000

// checkServer refuses what cannot hold a log, and returns the server's name for people.
func checkServer(ctx context.Context, conn *pgx.Conn) (string, error) {
	const inspect = `
SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_setting('server_encoding'), pg_is_in_recovery()`
	var version, encoding string
	var number int
	var standby bool
	if err := conn.QueryRow(ctx, inspect).Scan(&version, &number, &encoding, &standby); err != nil {
		if code(err) != "" && !notOurSession(err) {
			return "", fmt.Errorf("%w: the server speaks PostgreSQL's protocol but is none: %s", store.ErrSchema, describe(err))
		}
		return "", fail(ctx, "ask for the server's version", err)
	}
	switch {
	case number < oldestServer:
		return "", fmt.Errorf("%w: the server is PostgreSQL %s; eshost needs %d or newer", store.ErrSchema, version, oldestServer/10000)
	case encoding != "UTF8":
		return "", fmt.Errorf("%w: the database's encoding is %s; eshost needs UTF8: CREATE DATABASE … ENCODING 'UTF8'", store.ErrSchema, encoding)
	case standby:
		return "", errStandby
	}
	version, _, _ = strings.Cut(version, " ") // without the packager's words
	return "PostgreSQL " + version, nil
}

// stateColumns is what eshost's own tables must have. Their types are the migrations' business.
var stateColumns = map[string]string{
	"hosts":           "id name process started_at expires_at weight declares declared_at",
	"plugins":         "name live_generation module instead_of paused_by paused_why paused_at",
	"generations":     "id plugin number position epoch owner condition reason condition_since digest updated_at state module held_until created_at retired_at partition partitions root order_by started_after elsewhere mark",
	"documents":       "generation position collection key data",
	"sequences":       "generation key state position attempts next_attempt kind error stack digest since",
	"sequence_events": "generation key position",
	"module_spans":    "generation from_position digest since",
	"requests":        "id plugin action key position generation partition digest data who why state answer requested_at answered_at",
	"replacements":    "plugin position data who why created_at",
	"modules":         "digest wasm created_at",
	"reloads":         "id plugin digest position refused host at",
	"bell":            "last_value is_called", // a sequence
}

// eventLog is what checkTables finds out about the events table.
type eventLog struct {
	relation, sequence string // quoted names
	partitioned        bool
}

// checkTables makes sure that every table is as the statements expect it, and that the events table
// keeps the conditions under which the watermark is proven (see the package's documentation).
func checkTables(ctx context.Context, conn *pgx.Conn, schema string, events Mapping) (eventLog, error) {
	for table, columns := range stateColumns {
		var want []column
		for _, name := range strings.Fields(columns) {
			want = append(want, column{name: name})
		}
		if err := checkColumns(ctx, conn, pgx.Identifier{schema, table}, want); err != nil {
			return eventLog{}, err
		}
	}
	table := pgx.Identifier{events.Schema, events.Table}
	if err := checkColumns(ctx, conn, table, events.columns()); err != nil {
		return eventLog{}, err
	}
	log := eventLog{relation: table.Sanitize()}
	var err error
	if log.sequence, err = checkSequence(ctx, conn, log.relation, events.Position); err != nil {
		return eventLog{}, err
	}
	const partitioned = `SELECT relkind = 'p' OR EXISTS (SELECT FROM pg_inherits WHERE inhparent = oid) FROM pg_class WHERE oid = $1::text::regclass`
	if err := conn.QueryRow(ctx, partitioned, log.relation).Scan(&log.partitioned); err != nil {
		return eventLog{}, fail(ctx, "look at the events table", err)
	}
	return log, probeLocks(ctx, conn, log.relation, events.Stream)
}

func checkColumns(ctx context.Context, conn *pgx.Conn, table pgx.Identifier, want []column) error {
	const list = `
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`
	rows, err := conn.Query(ctx, list, table.Sanitize())
	if err != nil {
		return fail(ctx, "look at table "+table.Sanitize(), err)
	}
	have := make(map[string]string)
	var name, kind string
	if _, err := pgx.ForEachRow(rows, []any{&name, &kind}, func() error { have[name] = kind; return nil }); err != nil {
		return fail(ctx, "look at table "+table.Sanitize(), err)
	}
	if len(have) == 0 {
		return fmt.Errorf("%w: table %s is missing", store.ErrSchema, table.Sanitize())
	}
	for _, c := range want {
		switch kind, ok := have[c.name]; {
		case !ok:
			return fmt.Errorf("%w: table %s has no column %q", store.ErrSchema, table.Sanitize(), c.name)
		case c.kind != "" && kind != c.kind:
			return fmt.Errorf("%w: column %q of table %s is of type %s, and must be %s", store.ErrSchema, c.name, table.Sanitize(), kind, c.kind)
		}
	}
	return nil
}

// checkSequence returns the quoted name of the sequence that positions are drawn from. Whatever makes
// positions be drawn before the lock is held, or again, would lose events.
func checkSequence(ctx context.Context, conn *pgx.Conn, table, column string) (string, error) {
	const inspect = `
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), s.seqcache, s.seqincrement, s.seqcycle
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE s.seqrelid = pg_get_serial_sequence($1, $2)::regclass`
	var name string
	var cache, increment int64
	var cycle bool
	err := conn.QueryRow(ctx, inspect, table, column).Scan(&name, &cache, &increment, &cycle)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", fmt.Errorf("%w: column %q of %s draws from no sequence of its own; it must be an identity or serial column", store.ErrSchema, column, table)
	case err != nil:
		return "", fail(ctx, "look at the sequence of positions", err)
	case cache != 1:
		return "", fmt.Errorf("%w: sequence %s has CACHE %d, so a position may be used long after it was drawn and its event be missed; ALTER SEQUENCE %s CACHE 1", store.ErrSchema, name, cache, name)
	case increment != 1:
		return "", fmt.Errorf("%w: sequence %s has INCREMENT %d; ALTER SEQUENCE %s INCREMENT 1", store.ErrSchema, name, increment, name)
	case cycle:
		return "", fmt.Errorf("%w: sequence %s begins again at its end; ALTER SEQUENCE %s NO CYCLE", store.ErrSchema, name, name)
	}
	return name, nil
}

// probeLocks makes sure that this server lets us write, and shows who does, by inserting no rows. A server
// that merely speaks the protocol has an empty pg_locks, and the watermark would be wrong without a sign.
func probeLocks(ctx context.Context, conn *pgx.Conn, table, column string) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fail(ctx, "begin a probe of the locks", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '5s'`); err != nil {
		return fail(ctx, "bound the probe of the locks", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO `+table+` (`+pgx.Identifier{column}.Sanitize()+`) SELECT '' WHERE false`); err != nil {
		return fail(ctx, "write to the events table", err)
	}
	const look = `
SELECT count(*) FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND relation = $1::text::regclass
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid = pg_backend_pid()`
	var seen int
	if err := tx.QueryRow(ctx, look, table).Scan(&seen); err != nil {
		return fail(ctx, "look at the locks", err)
	}
	if seen == 0 {
		return fmt.Errorf("%w: the server does not show the locks of writers in pg_locks, so it cannot be known which events are final; eshost needs PostgreSQL itself", store.ErrSchema)
	}
	return nil
}
