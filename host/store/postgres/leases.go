package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// RegisterHost implements store.State.
func (s *Store) RegisterHost(ctx context.Context, h store.Host, ttl time.Duration) error {
	declares, err := store.EncodeDeclares(h.Declares)
	if err != nil {
		return fmt.Errorf("register host: %w", err)
	}
	var news bool
	err = s.renewals.with(ctx, func(conn *pgx.Conn) error {
		batch := &pgx.Batch{}
		batch.Queue(s.sql.registerHost, h.ID, h.Name, h.Process, h.StartedAt, ttl.Microseconds(), h.Weight, declares).QueryRow(func(row pgx.Row) error {
			return row.Scan(&news)
		})
		batch.Queue(s.sql.sweepHosts, h.ID)
		err := conn.SendBatch(ctx, batch).Close()
		if err == nil && news {
			s.ringOn(ctx, conn)
		}
		return err
	})
	return fail(ctx, "register host", err)
}

// RenewHost implements store.State.
func (s *Store) RenewHost(ctx context.Context, hostID string, ttl time.Duration) error {
	var done tag
	err := s.renewals.with(ctx, func(conn *pgx.Conn) (err error) {
		done, err = conn.Exec(ctx, s.sql.renewHost, hostID, ttl.Microseconds())
		return err
	})
	if err == nil && done.RowsAffected() == 0 {
		return fmt.Errorf("renew host %s: %w", hostID, store.ErrNotFound)
	}
	return fail(ctx, "renew host", err)
}

// RemoveHost implements store.State.
func (s *Store) RemoveHost(ctx context.Context, hostID string) error {
	batch := &pgx.Batch{}
	batch.Queue(s.sql.releaseAll, hostID)
	batch.Queue(s.sql.removeHost, hostID)
	err := s.commits.SendBatch(ctx, batch).Close()
	if err == nil {
		s.ring(ctx)
	}
	return fail(ctx, "remove host", err)
}

// ring makes other hosts look at what has just been committed. It is no part of that transaction, in which it could be
// heard before the change is seen. If it fails they look a little later.
func (s *Store) ring(ctx context.Context) { s.ringOn(ctx, s.commits) }

func (s *Store) ringOn(ctx context.Context, on interface {
	Exec(ctx context.Context, sql string, args ...any) (tag, error)
}) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ringPatience)
	defer cancel()
	_, _ = on.Exec(ctx, s.sql.ring)
}

// ringPatience is enough for a database that has answered a moment ago.
const ringPatience = 2 * time.Second

// Hosts implements store.State.
func (s *Store) Hosts(ctx context.Context) ([]store.Host, error) {
	rows, err := s.reads.Query(ctx, s.sql.hosts)
	if err != nil {
		return nil, fail(ctx, "list hosts", err)
	}
	hosts, err := pgx.CollectRows(rows, scanDeclaring)
	return hosts, fail(ctx, "list hosts", err)
}

// scanDeclaring reads a host with what it declares.
func scanDeclaring(row pgx.CollectableRow) (store.Host, error) {
	var weight float64
	var declares string
	var at time.Time
	h, err := scanHost(row, &weight, &declares, &at)
	if err != nil {
		return h, err
	}
	h.Weight, h.DeclaredAt = weight, at.UTC()
	h.Declares, err = store.DecodeDeclares(declares)
	return h, err
}

func scanHost(row pgx.CollectableRow, more ...any) (store.Host, error) {
	var h store.Host
	var left int64
	err := row.Scan(append([]any{&h.ID, &h.Name, &h.Process, &h.StartedAt, &left}, more...)...)
	h.StartedAt = h.StartedAt.UTC()
	h.ExpiresIn = time.Duration(left) * time.Microsecond
	h.Live = left > 0
	return h, err
}

// FindPlugin implements store.State.
func (s *Store) FindPlugin(ctx context.Context, plugin string) (store.Generation, error) {
	g, err := s.findPlugin(ctx, s.commits, plugin)
	if errors.Is(err, pgx.ErrNoRows) {
		return g, fmt.Errorf("plugin %q: %w", plugin, store.ErrNotFound)
	}
	return g, fail(ctx, "find plugin", err)
}

func (s *Store) findPlugin(ctx context.Context, q querier, plugin string) (store.Generation, error) {
	rows, err := q.Query(ctx, s.sql.findPlugin, plugin)
	if err != nil {
		return store.Generation{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[store.Generation])
}

// EnsurePlugin implements store.State.
func (s *Store) EnsurePlugin(ctx context.Context, plugin string, start event.Position, partitions int, orderBy string) (store.Generation, error) {
	if err := store.ValidatePartitions(partitions, orderBy); err != nil {
		return store.Generation{}, fmt.Errorf("make plugin %q: %w", plugin, err)
	}
	g, err := s.findPlugin(ctx, s.commits, plugin)
	if errors.Is(err, pgx.ErrNoRows) {
		first := newGeneration{plugin: plugin, number: 1, partitions: partitions, orderBy: orderBy, start: start, state: store.Live}
		err = pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			g, err = s.addPlugin(ctx, tx, first)
			return err
		})
		if err == nil {
			s.ring(ctx)
		}
	}
	return g, fail(ctx, fmt.Sprintf("make plugin %q", plugin), err)
}

// addPlugin makes the plugin unless another host was faster; the row's lock decides.
func (s *Store) addPlugin(ctx context.Context, tx pgx.Tx, first newGeneration) (store.Generation, error) {
	if _, err := tx.Exec(ctx, s.sql.addPlugin, first.plugin); err != nil {
		return store.Generation{}, err
	}
	var live *int64
	if err := tx.QueryRow(ctx, s.sql.lockPlugin, first.plugin).Scan(&live); err != nil {
		return store.Generation{}, err
	}
	if live != nil {
		return s.findPlugin(ctx, tx, first.plugin)
	}
	g, err := s.addGeneration(ctx, tx, first)
	if err == nil {
		_, err = tx.Exec(ctx, s.sql.setLive, first.plugin, g.ID)
	}
	return g, err
}

// Acquire implements store.State. It waits for a commit that is under way.
func (s *Store) Acquire(ctx context.Context, generation int64, hostID string) (store.Lease, error) {
	var found bool
	var astray []store.Diverged
	var lease *store.Lease
	var owner *store.Host
	batch := &pgx.Batch{}
	batch.Queue(patiently, milliseconds(commitPatience))
	batch.Queue(s.sql.lockGeneration, generation).Exec(func(tag tag) error {
		found = tag.RowsAffected() == 1
		return nil
	})
	batch.Queue(s.sql.diverged+`g.id = $1`, generation).Query(func(rows pgx.Rows) (err error) {
		astray, err = pgx.CollectRows(rows, scanDiverged)
		return err
	})
	batch.Queue(s.sql.acquire, generation, hostID).Query(func(rows pgx.Rows) error {
		l, err := pgx.CollectOneRow(rows, pgx.RowToAddrOfStructByPos[store.Lease])
		if err == nil {
			lease = l
		}
		return ignoreNoRows(err)
	})
	batch.Queue(s.sql.owner, generation).Query(func(rows pgx.Rows) error {
		h, err := pgx.CollectOneRow(rows, func(row pgx.CollectableRow) (store.Host, error) { return scanHost(row) })
		if err == nil {
			owner = &h
		}
		return ignoreNoRows(err)
	})
	err := s.commits.SendBatch(ctx, batch).Close()
	switch {
	case err != nil:
		return store.Lease{}, fail(ctx, "acquire the lease", err)
	case lease != nil:
		return *lease, nil
	case !found:
		return store.Lease{}, fmt.Errorf("generation %d: %w", generation, store.ErrNotFound)
	case len(astray) > 0:
		return store.Lease{}, fmt.Errorf("acquire the lease: %w", &astray[0])
	case owner == nil:
		return s.Acquire(ctx, generation, hostID) // its owner has gone this moment
	}
	return store.Lease{}, &store.LeaseHeldError{Owner: *owner, ExpiresIn: owner.ExpiresIn}
}

func ignoreNoRows(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// Release implements store.State.
func (s *Store) Release(ctx context.Context, generation, epoch int64) error {
	done, err := s.commits.Exec(ctx, s.sql.release, generation, epoch)
	if err == nil && done.RowsAffected() > 0 {
		s.ring(ctx)
	}
	return fail(ctx, "release the lease", err)
}
