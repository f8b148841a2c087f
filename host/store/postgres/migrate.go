package postgres

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

type migration struct {
	version   int
	name, sql string
}

// migrations lists what this binary knows, oldest first. Files are named 0001_what_it_does.sql.
func migrations() ([]migration, error) {
	files, err := fs.Glob(migrationFiles, "migration/*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, file := range files {
		number, name, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(file, "migration/"), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration file %s has no number: %w", file, err)
		}
		sql, err := migrationFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, name, string(sql)})
	}
	slices.SortFunc(all, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	return all, nil
}

// migrationLock is the advisory lock under which hosts migrate one after another. The number is
// arbitrary and must never change.
const migrationLock = 0x65_73_68_6f_73_74

// migrate brings the schema up to date, in one transaction: all of it or nothing.
func migrate(ctx context.Context, conn *pgx.Conn, schema string) error {
	known, err := migrations()
	if err != nil {
		return err
	}
	newest := known[len(known)-1].version
	// First without a lock and without writing: a role that may not change tables can run a host on
	// a schema that is up to date.
	applied, err := appliedVersion(ctx, conn, schema)
	switch {
	case errors.Is(err, store.ErrSchema): // or half of another host's migration: the locked look decides
	case err != nil || applied == newest:
		return err
	case applied > newest:
		return tooNew(schema, applied, newest)
	}
	// Read committed: what is read after the lock must be what the one before us wrote.
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return fail(ctx, "begin the migration", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	// Settings and locks of the transaction, not of the session, which a pooler would not keep.
	if _, err := tx.Exec(ctx, patiently, milliseconds(commitPatience)); err != nil {
		return fail(ctx, "bound the migration's waits", err)
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
		return fail(ctx, "wait for another host's migration", err)
	}
	if applied, err = appliedVersion(ctx, conn, schema); err != nil {
		return err
	}
	if applied > newest {
		return tooNew(schema, applied, newest)
	}
	if err := apply(ctx, tx, schema, known, applied); err != nil {
		return err
	}
	return fail(ctx, "commit the migration", tx.Commit(ctx))
}

func tooNew(schema string, applied, newest int) error {
	return fmt.Errorf("%w: schema %q is at version %d and this eshost knows versions up to %d; a newer eshost has migrated it: run that version, or restore a backup from before",
		store.ErrSchema, schema, applied, newest)
}

// appliedVersion is the version a schema is at; 0 if there is none. A schema that has tables but not
// ours is another application's.
func appliedVersion(ctx context.Context, conn *pgx.Conn, schema string) (int, error) {
	const inspect = `
SELECT to_regclass($1) IS NOT NULL,
       (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname IN ('version', 'name', 'applied_at') AND NOT attisdropped),
       (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $2)`
	table := pgx.Identifier{schema, "migrations"}.Sanitize()
	var exists bool
	var columns, relations int
	if err := conn.QueryRow(ctx, inspect, table, schema).Scan(&exists, &columns, &relations); err != nil {
		return 0, fail(ctx, "look for eshost's tables", err)
	}
	if !exists && relations == 0 {
		return 0, nil
	}
	if !exists || columns != 3 {
		return 0, fmt.Errorf("%w: schema %q belongs to another application: it has tables, but not eshost's table of migrations; name another schema or database", store.ErrSchema, schema)
	}
	var version int
	if err := conn.QueryRow(ctx, `SELECT coalesce(max(version), 0)::int FROM `+table).Scan(&version); err != nil {
		return 0, fail(ctx, "read the schema's version", err)
	}
	return version, nil
}

// apply runs the migrations that are missing.
func apply(ctx context.Context, tx pgx.Tx, schema string, known []migration, applied int) error {
	name := pgx.Identifier{schema}.Sanitize()
	if applied == 0 {
		if err := createSchema(ctx, tx, name); err != nil {
			return err
		}
	}
	// The files name no schema. No application's function or operator may come before PostgreSQL's.
	if _, err := tx.Exec(ctx, `SELECT set_config('search_path', $1, true)`, name+", pg_temp"); err != nil {
		return fail(ctx, "set the search path", err)
	}
	for _, m := range known {
		if m.version <= applied {
			continue
		}
		if _, err := tx.Exec(ctx, m.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fail(ctx, fmt.Sprintf("apply migration %d (%s)", m.version, m.name), err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO migrations (version, name) VALUES ($1, $2)`, m.version, m.name); err != nil {
			return fail(ctx, fmt.Sprintf("record migration %d", m.version), err)
		}
	}
	return nil
}

func createSchema(ctx context.Context, tx pgx.Tx, name string) error {
	var exists bool
	if err := tx.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, name).Scan(&exists); err != nil {
		return fail(ctx, "look for schema "+name, err)
	}
	if !exists { // IF NOT EXISTS would want the right to create one although it is there
		if _, err := tx.Exec(ctx, `CREATE SCHEMA `+name); err != nil {
			return fail(ctx, "create schema "+name+" (let the role create it: GRANT CREATE ON DATABASE; or create it for the role)", err)
		}
	}
	const table = `
CREATE TABLE IF NOT EXISTS {schema}.migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)`
	_, err := tx.Exec(ctx, strings.ReplaceAll(table, "{schema}", name))
	return fail(ctx, "create the table of migrations", err)
}
