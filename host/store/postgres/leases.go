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

// RegisterHost implements store.State. It also forgets hosts that have been dead for a day.
func (s *Store) RegisterHost(ctx context.Context, h store.Host, ttl time.Duration) error {
	batch := &pgx.Batch{}
	batch.Queue(s.sql.registerHost, h.ID, h.Name, h.Process, h.StartedAt, ttl.Microseconds())
	batch.Queue(s.sql.sweepHosts, h.ID)
	return fail(ctx, "register host", s.commits.SendBatch(ctx, batch).Close())
}

// RemoveHost implements store.State.
func (s *Store) RemoveHost(ctx context.Context, hostID string) error {
	batch := &pgx.Batch{}
	batch.Queue(s.sql.releaseAll, hostID)
	batch.Queue(s.sql.removeHost, hostID)
	return fail(ctx, "remove host", s.commits.SendBatch(ctx, batch).Close())
}

// Hosts implements store.State.
func (s *Store) Hosts(ctx context.Context) ([]store.Host, error) {
	rows, err := s.reads.Query(ctx, s.sql.hosts)
	if err != nil {
		return nil, fail(ctx, "list hosts", err)
	}
	hosts, err := pgx.CollectRows(rows, scanHost)
	return hosts, fail(ctx, "list hosts", err)
}

func scanHost(row pgx.CollectableRow) (store.Host, error) {
	var h store.Host
	var left int64
	err := row.Scan(&h.ID, &h.Name, &h.Process, &h.StartedAt, &left)
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
func (s *Store) EnsurePlugin(ctx context.Context, plugin string, start event.Position) (store.Generation, error) {
	g, err := s.findPlugin(ctx, s.commits, plugin)
	if errors.Is(err, pgx.ErrNoRows) {
		err = pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			g, err = s.addPlugin(ctx, tx, plugin, start)
			return err
		})
	}
	return g, fail(ctx, fmt.Sprintf("make plugin %q", plugin), err)
}

// addPlugin makes the plugin unless another host was faster; the row's lock decides.
func (s *Store) addPlugin(ctx context.Context, tx pgx.Tx, plugin string, start event.Position) (store.Generation, error) {
	if _, err := tx.Exec(ctx, s.sql.addPlugin, plugin); err != nil {
		return store.Generation{}, err
	}
	var live *int64
	if err := tx.QueryRow(ctx, s.sql.lockPlugin, plugin).Scan(&live); err != nil {
		return store.Generation{}, err
	}
	if live == nil {
		var id int64
		if err := tx.QueryRow(ctx, s.sql.addGeneration, plugin, int64(start)).Scan(&id); err != nil {
			return store.Generation{}, err
		}
		if _, err := tx.Exec(ctx, s.sql.setLive, plugin, id); err != nil {
			return store.Generation{}, err
		}
	}
	return s.findPlugin(ctx, tx, plugin)
}

// Acquire implements store.State. It waits for a commit that is under way.
func (s *Store) Acquire(ctx context.Context, generation int64, hostID string) (store.Lease, error) {
	var found bool
	var lease *store.Lease
	var owner *store.Host
	batch := &pgx.Batch{}
	batch.Queue(patiently, milliseconds(commitPatience))
	batch.Queue(s.sql.lockGeneration, generation).Exec(func(tag tag) error {
		found = tag.RowsAffected() == 1
		return nil
	})
	batch.Queue(s.sql.acquire, generation, hostID).Query(func(rows pgx.Rows) error {
		l, err := pgx.CollectOneRow(rows, pgx.RowToAddrOfStructByPos[store.Lease])
		if err == nil {
			lease = l
		}
		return ignoreNoRows(err)
	})
	batch.Queue(s.sql.owner, generation).Query(func(rows pgx.Rows) error {
		h, err := pgx.CollectOneRow(rows, scanHost)
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
	_, err := s.commits.Exec(ctx, s.sql.release, generation, epoch)
	return fail(ctx, "release the lease", err)
}
