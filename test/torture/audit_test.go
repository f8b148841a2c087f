package torture

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host/event"
)

// auditPostgres records every change of a lease, a checkpoint and a registration, with the session that made
// it, in the transaction that makes it.
const auditPostgres = `
CREATE SCHEMA torture;
CREATE TABLE torture.leases (n bigint GENERATED ALWAYS AS IDENTITY, generation bigint, at timestamptz DEFAULT clock_timestamp(),
    old_epoch bigint, epoch bigint, old_owner text, owner text, old_position bigint, position bigint, session text, tx xid DEFAULT pg_current_xact_id()::xid);
CREATE INDEX ON torture.leases ((tx::text));
CREATE TABLE torture.hosts (n bigint GENERATED ALWAYS AS IDENTITY, id text, name text, at timestamptz DEFAULT clock_timestamp(), expires timestamptz);
CREATE FUNCTION torture.lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO torture.leases (generation, old_epoch, epoch, old_owner, owner, old_position, position, session)
    VALUES (NEW.id, OLD.epoch, NEW.epoch, OLD.owner, NEW.owner, OLD.position, NEW.position, current_setting('application_name'));
    RETURN NULL;
END $$;
CREATE FUNCTION torture.host() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO torture.hosts (id, name) VALUES (OLD.id, OLD.name);
    ELSE
        INSERT INTO torture.hosts (id, name, expires) VALUES (NEW.id, NEW.name, NEW.expires_at);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER torture AFTER UPDATE ON eshost.generations FOR EACH ROW EXECUTE FUNCTION torture.lease();
CREATE TRIGGER torture AFTER INSERT OR UPDATE OR DELETE ON eshost.hosts FOR EACH ROW EXECUTE FUNCTION torture.host();`

// notTogether finds what a commit must change together with the checkpoint's row and was stored by another
// transaction: answers and documents.
const notTogether = `
SELECT 'event ' || e.position || ' answers' FROM eshost.events e
WHERE e.type = 'Echo' AND NOT EXISTS (SELECT 1 FROM torture.leases l WHERE l.tx::text = e.xmin::text)
UNION ALL
SELECT 'document ' || d.collection || '/' || d.key || ' of generation ' || d.generation || ', written by event ' || d.position FROM eshost.documents d
WHERE NOT EXISTS (SELECT 1 FROM torture.leases l WHERE l.tx::text = d.xmin::text)`

// auditSQLite does the same; there are no sessions that could be told apart.
var auditSQLite = []string{
	`CREATE TABLE torture_leases (n INTEGER PRIMARY KEY, generation, at, old_epoch, epoch, old_owner, owner, old_position, position)`,
	`CREATE TABLE torture_hosts (n INTEGER PRIMARY KEY, id, name, at, expires)`,
	`CREATE TRIGGER torture_lease AFTER UPDATE ON generations
WHEN OLD.epoch <> NEW.epoch OR OLD.owner IS NOT NEW.owner OR OLD.position <> NEW.position BEGIN
    INSERT INTO torture_leases (generation, at, old_epoch, epoch, old_owner, owner, old_position, position)
    VALUES (NEW.id, ` + sqliteNow + `, OLD.epoch, NEW.epoch, OLD.owner, NEW.owner, OLD.position, NEW.position); END`,
	`CREATE TRIGGER torture_host_new AFTER INSERT ON hosts BEGIN
    INSERT INTO torture_hosts (id, name, at, expires) VALUES (NEW.id, NEW.name, ` + sqliteNow + `, NEW.expires_at); END`,
	`CREATE TRIGGER torture_host_kept AFTER UPDATE ON hosts BEGIN
    INSERT INTO torture_hosts (id, name, at, expires) VALUES (NEW.id, NEW.name, ` + sqliteNow + `, NEW.expires_at); END`,
	`CREATE TRIGGER torture_host_gone AFTER DELETE ON hosts BEGIN
    INSERT INTO torture_hosts (id, name, at, expires) VALUES (OLD.id, OLD.name, ` + sqliteNow + `, NULL); END`,
}

const sqliteNow = `CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)` // microseconds since 1970

func (w *world) auditOn(ctx context.Context) error {
	if w.primary == nil {
		return w.onSQLite(func(db *sql.DB) error {
			for _, stmt := range auditSQLite {
				if _, err := db.ExecContext(ctx, stmt); err != nil {
					return fmt.Errorf("%s: %w", stmt, err)
				}
			}
			return nil
		})
	}
	conn, err := w.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, auditPostgres)
	return err
}

// onSQLite gives a connection of a program that is not eshost.
func (w *world) onSQLite(f func(db *sql.DB) error) error {
	db, err := sql.Open("sqlite", w.disk.path("events.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	return f(db)
}

// readAudit returns what the triggers have recorded.
func (w *world) readAudit(ctx context.Context, r *record) error {
	if w.primary == nil {
		return w.onSQLite(func(db *sql.DB) error { return readAuditSQLite(ctx, db, r) })
	}
	conn, err := w.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	r.sessions = true
	rows, err := conn.Query(ctx, `SELECT generation, at, old_epoch, epoch, coalesce(old_owner, ''), coalesce(owner, ''), old_position, position, session
FROM torture.leases ORDER BY n`)
	if err != nil {
		return err
	}
	r.leases, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (leaseStep, error) {
		var s leaseStep
		err := row.Scan(&s.generation, &s.at, &s.oldEpoch, &s.epoch, &s.oldOwner, &s.owner, &s.oldAt, &s.position, &s.session)
		s.session = strings.TrimPrefix(s.session, "eshost/")
		return s, err
	})
	if err != nil {
		return err
	}
	rows, err = conn.Query(ctx, `SELECT id, name, at, coalesce(expires, 'epoch') FROM torture.hosts ORDER BY n`)
	if err != nil {
		return err
	}
	r.hosts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (hostStep, error) {
		var h hostStep
		err := row.Scan(&h.id, &h.name, &h.at, &h.expires)
		if h.expires.Unix() == 0 {
			h.expires = time.Time{}
		}
		return h, err
	})
	if err != nil {
		return err
	}
	rows, err = conn.Query(ctx, notTogether)
	if err != nil {
		return err
	}
	r.apart, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

func readAuditSQLite(ctx context.Context, db *sql.DB, r *record) error {
	rows, err := db.QueryContext(ctx, `SELECT generation, at, old_epoch, epoch, coalesce(old_owner, ''), coalesce(owner, ''), old_position, position
FROM torture_leases ORDER BY n`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s leaseStep
		var at int64
		if err := rows.Scan(&s.generation, &at, &s.oldEpoch, &s.epoch, &s.oldOwner, &s.owner, &s.oldAt, &s.position); err != nil {
			return err
		}
		s.at = time.UnixMicro(at)
		r.leases = append(r.leases, s)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	hosts, err := db.QueryContext(ctx, `SELECT id, name, at, coalesce(expires, 0) FROM torture_hosts ORDER BY n`)
	if err != nil {
		return err
	}
	defer hosts.Close()
	for hosts.Next() {
		var h hostStep
		var at, expires int64
		if err := hosts.Scan(&h.id, &h.name, &at, &expires); err != nil {
			return err
		}
		h.at = time.UnixMicro(at)
		if expires != 0 {
			h.expires = time.UnixMicro(expires)
		}
		r.hosts = append(r.hosts, h)
	}
	return hosts.Err()
}

// positions returns which event wrote each document last, by collection and key.
func (w *world) positions(ctx context.Context, generation int64) (map[string]event.Position, error) {
	made := map[string]event.Position{}
	if w.primary == nil {
		return made, w.onSQLite(func(db *sql.DB) error {
			rows, err := db.QueryContext(ctx, "SELECT collection, key, position FROM documents WHERE generation = ?", generation)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var collection, key string
				var p int64
				if err := rows.Scan(&collection, &key, &p); err != nil {
					return err
				}
				made[collection+"/"+key] = event.Position(p)
			}
			return rows.Err()
		})
	}
	conn, err := w.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT collection, key, position FROM eshost.documents WHERE generation = $1", generation)
	if err != nil {
		return nil, err
	}
	var collection, key string
	var p event.Position
	_, err = pgx.ForEachRow(rows, []any{&collection, &key, &p}, func() error {
		made[collection+"/"+key] = p
		return nil
	})
	return made, err
}
