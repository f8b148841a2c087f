package sqlite

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"strings"

	"eshost/host/store"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

// applicationID marks a file as ours in its header: "esht".
const applicationID = 0x65736874

type migration struct {
	version int64
	name    string
	sql     string
}

// migrations returns the embedded migrations, numbered 1, 2, … by their file names.
func migrations() ([]migration, error) {
	entries, err := migrationFiles.ReadDir("migration")
	if err != nil {
		return nil, err
	}
	var out []migration
	for i, e := range entries {
		number, name, _ := strings.Cut(strings.TrimSuffix(e.Name(), ".sql"), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil || version != int64(i+1) {
			return nil, fmt.Errorf("migration %s is not number %d", e.Name(), i+1)
		}
		sql, err := migrationFiles.ReadFile("migration/" + e.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, migration{version, name, string(sql)})
	}
	return out, nil
}

// migrate brings the schema up to date. Nothing of a file that is not ours is touched, not even its
// journal mode. Processes that open a file at the same time take turns by its write lock.
func (s *Store) migrate(ctx context.Context, c *conn) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	var current int
	look := func() (err error) { current, err = s.schemaVersion(c, len(all)); return err }
	err = s.await(ctx, func() error { _, err := s.transact(ctx, c, "BEGIN", look); return err })
	if err != nil {
		return err
	}
	if s.opts.NoMigrate {
		return s.upToDate(current, len(all))
	}
	if err := s.await(ctx, func() error { return useWAL(c) }); err != nil {
		return err
	}
	if current == len(all) {
		return nil
	}
	_, err = s.transact(ctx, c, "BEGIN IMMEDIATE", func() error {
		if err := look(); err != nil { // another process may have been faster
			return err
		}
		for _, m := range all[current:] {
			if err := c.script(m.sql); err != nil {
				return fmt.Errorf("migrate to %d (%s): %w", m.version, m.name, err)
			}
			_, err := c.exec("INSERT INTO migrations (version, name, applied_at) VALUES (?, ?, "+now+")", m.version, m.name)
			if err != nil {
				return fmt.Errorf("record migration %d: %w", m.version, err)
			}
		}
		return c.script(fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	})
	return err
}

func (s *Store) upToDate(current, newest int) error {
	switch {
	case current == 0:
		return fmt.Errorf("%w: %s is empty", store.ErrNoSchema, s.file)
	case current < newest:
		return fmt.Errorf("%w: %s is at version %d and this eshost needs version %d", store.ErrOldSchema, s.file, current, newest)
	}
	return nil
}

// schemaVersion is 0 for an empty database. It fails for one that is not ours or is too new.
func (s *Store) schemaVersion(c *conn, known int) (int, error) {
	var application, objects, version int64
	_, err := c.one(func(r row) { application = r.int(0) }, "PRAGMA application_id")
	if err == nil {
		_, err = c.one(func(r row) { objects = r.int(0) }, "SELECT count(*) FROM sqlite_schema")
	}
	if err != nil || application == 0 && objects == 0 {
		return 0, err
	}
	if application != applicationID {
		return 0, fmt.Errorf("%w: %s is another application's database: name another file", store.ErrSchema, s.file)
	}
	if _, err := c.one(func(r row) { version = r.int(0) }, "SELECT max(version) FROM migrations"); err != nil {
		return 0, err
	}
	if version > int64(known) {
		return 0, fmt.Errorf("%w: a newer eshost brought %s to schema %d, this one knows up to %d: install the newer one", store.ErrSchema, s.file, version, known)
	}
	return int(version), nil
}

// useWAL lets readers and the writer work at the same time. The mode stays with the file.
func useWAL(c *conn) error {
	var mode string
	if _, err := c.one(func(r row) { mode = r.text(0) }, "PRAGMA journal_mode = WAL"); err != nil {
		return fmt.Errorf("switch to write-ahead logging: %w", err)
	}
	if mode != "wal" {
		return fmt.Errorf("the file's journal mode stays %q, write-ahead logging is needed: a network file system cannot do it", mode)
	}
	return nil
}
