package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// leads reports whether a lease is that of a plugin's leader, which nobody takes before the transaction ends.
func (s *Store) leads(ctx context.Context, tx pgx.Tx, by store.Leader, plugin string) (bool, error) {
	found, err := tx.Exec(ctx, s.sql.rare(`
SELECT 1 FROM {generations} WHERE id = $1 AND root = id AND epoch = $2 AND owner = $3 AND plugin = $4 AND state = 'live' FOR SHARE`),
		by.Generation, by.Epoch, by.Owner, plugin)
	return found.RowsAffected() == 1, err
}

// BuildGeneration implements store.State. The plugin's row is locked, so that one of two askers finds the other's.
func (s *Store) BuildGeneration(ctx context.Context, by store.Leader, plugin string, start event.Position, module string) (g store.Generation, err error) {
	err = pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		led, err := s.leads(ctx, tx, by, plugin)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, s.sql.lockPlugin, plugin).Scan(new(*int64)); err != nil {
			return noRowsAs(err, store.ErrNotFound)
		}
		if !led {
			return store.ErrLeaseLost
		}
		next := newGeneration{plugin: plugin, start: start, state: store.Building, module: module, heldUntil: math.MaxInt64}
		var building int
		var known bool
		err = tx.QueryRow(ctx, s.sql.rare(`
SELECT max(g.number) + 1, count(*) FILTER (WHERE g.state = 'building'), $2::text = '' OR EXISTS (SELECT 1 FROM {modules} WHERE digest = $2::text),
       max(live.partitions), max(live.order_by)
FROM {plugins} p JOIN {generations} live ON live.id = p.live_generation JOIN {generations} g ON g.plugin = p.name WHERE p.name = $1`), plugin, module).
			Scan(&next.number, &building, &known, &next.partitions, &next.orderBy)
		switch {
		case err != nil:
			return err
		case !known:
			return store.ErrNotFound
		case building > 0:
			return store.ErrBuilding
		}
		g, err = s.addGeneration(ctx, tx, next)
		return err
	})
	if err == nil {
		s.ring(ctx)
	}
	return g, fail(ctx, fmt.Sprintf("add a generation to plugin %q", plugin), err)
}

func noRowsAs(err, as error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return as
	}
	return err
}

const selectGenerations = `
SELECT ` + generationColumns + `, g.state, g.module, g.held_until, g.condition, g.reason, g.condition_since, g.digest, g.updated_at,
       s.retrying, s.parked, (SELECT count(*) FROM {sequence_events} e WHERE e.generation = g.id),
       g.created_at, g.retired_at, (extract(epoch FROM clock_timestamp() - g.retired_at) * 1000000)::bigint, g.owner, h.name, h.process, h.started_at, (extract(epoch FROM h.expires_at - clock_timestamp()) * 1000000)::bigint
FROM {generations} g
LEFT JOIN {hosts} h ON h.id = g.owner
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'retrying') AS retrying, count(*) FILTER (WHERE state = 'parked') AS parked
    FROM {sequences} WHERE generation = g.id) s
`

// Generations implements store.State.
func (s *Store) Generations(ctx context.Context, plugin string) ([]store.GenerationStatus, error) {
	return s.generations(ctx, selectGenerations+`WHERE g.plugin = $1 AND g.state <> 'merged' ORDER BY g.number DESC, g.partition`, plugin)
}

// NotLive implements store.State.
func (s *Store) NotLive(ctx context.Context) ([]store.GenerationStatus, error) {
	return s.generations(ctx, selectGenerations+`WHERE g.state NOT IN ($1, 'merged') ORDER BY g.root, g.partition`, string(store.Live))
}

func (s *Store) generations(ctx context.Context, sql, arg string) ([]store.GenerationStatus, error) {
	rows, err := s.reads.Query(ctx, s.sql.rare(sql), arg)
	if err != nil {
		return nil, fail(ctx, "list generations", err)
	}
	list, err := pgx.CollectRows(rows, scanGeneration)
	return store.JoinGenerations(list), fail(ctx, "list generations", err)
}

func scanGeneration(row pgx.CollectableRow) (store.GenerationStatus, error) {
	var g store.GenerationStatus
	var p store.PartitionStatus
	var owner, name, process *string
	var retired, started *time.Time
	var left, retiredFor *int64
	err := row.Scan(&p.ID, &p.Plugin, &p.Number, &p.Position, &p.Epoch, &p.Root, &p.Partition, &p.Partitions, &p.OrderBy, &g.State, &g.Module, &g.HeldUntil,
		&p.Condition.State, &p.Condition.Reason, &p.Condition.Since, &p.Digest, &p.UpdatedAt, &p.Retrying, &p.Parked, &p.Waiting,
		&g.CreatedAt, &retired, &retiredFor, &owner, &name, &process, &started, &left)
	if err != nil {
		return g, err
	}
	g.CreatedAt, p.Condition.Since, p.UpdatedAt = g.CreatedAt.UTC(), p.Condition.Since.UTC(), p.UpdatedAt.UTC()
	if retired != nil {
		g.RetiredAt, g.RetiredFor = retired.UTC(), time.Duration(*retiredFor)*time.Microsecond
	}
	p.Owner = ownerOf(owner, name, process, started, left)
	g.Partitions = []store.PartitionStatus{p}
	return g, nil
}

// SwitchGeneration implements store.State.
func (s *Store) SwitchGeneration(ctx context.Context, w store.Switch) error {
	if len(w.From) == 0 || len(w.To) == 0 {
		return fmt.Errorf("switch plugin %q: %w: it names no generations", w.Plugin, store.ErrLeaseLost)
	}
	from, to := w.From[0].Generation, w.To[0].Generation
	err := pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		units, err := s.lockUnits(ctx, tx, w.Plugin, from, to)
		if err == nil {
			err = w.Check(units)
		}
		if err != nil {
			return err
		}
		moved, err := tx.Exec(ctx, s.sql.rare(`UPDATE {plugins} SET live_generation = $1, module = $2, instead_of = $3 WHERE name = $4 AND live_generation = $5`),
			to, w.StandIn.Digest, w.StandIn.InsteadOf, w.Plugin, from)
		if err == nil && moved.RowsAffected() == 0 {
			err = store.ErrCheckpointMoved
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql.rare(`
UPDATE {generations} SET state = 'retired', retired_at = clock_timestamp(), owner = NULL WHERE root = $1 AND state <> 'merged'`), from); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql.rare(`
UPDATE {generations} SET state = 'live', retired_at = NULL, held_until = $2 WHERE root = $1 AND state <> 'merged'`), to, int64(w.HeldUntil)); err != nil {
			return err
		}
		for _, a := range w.Answers {
			done, err := tx.Exec(ctx, s.sql.rare(`UPDATE {requests} SET state = $2, answer = $3, answered_at = clock_timestamp() WHERE id = $1 AND state = 'pending'`),
				a.Request, string(a.State), storable(a.Text))
			if err == nil && done.RowsAffected() == 0 {
				err = store.ErrAnswered
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.ring(ctx)
	}
	return fail(ctx, fmt.Sprintf("switch plugin %q to generation %d", w.Plugin, to), err)
}

// DropGeneration implements store.State. Whoever builds the generation loses it at once.
func (s *Store) DropGeneration(ctx context.Context, d store.Drop) (gone bool, err error) {
	generation, limit := d.Generation, d.Limit
	err = pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if err := s.mayDrop(ctx, tx, d); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql.rare(`
UPDATE {generations} SET owner = NULL, epoch = epoch + 1, state = 'dropping' WHERE root = $1 AND state <> 'merged'`), generation); err != nil {
			return err
		}
		done, err := tx.Exec(ctx, s.sql.rare(`DELETE FROM {documents} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {documents} WHERE generation = $1 LIMIT $2))`), generation, limit)
		if gone = done.RowsAffected() < int64(limit); err != nil || !gone {
			return err
		}
		for _, table := range []string{"{sequence_events}", "{sequences}", "{module_spans}"} {
			if _, err := tx.Exec(ctx, s.sql.rare(`DELETE FROM `+table+` WHERE generation IN (SELECT id FROM {generations} WHERE root = $1)`), generation); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, s.sql.rare(`DELETE FROM {generations} WHERE root = $1`), generation)
		return err
	})
	return gone && err == nil, fail(ctx, fmt.Sprintf("drop generation %d", generation), err)
}

// mayDrop locks a generation and fails where it may not be dropped. The leader's lease comes first: what a commit locks
// first, too.
func (s *Store) mayDrop(ctx context.Context, tx pgx.Tx, d store.Drop) error {
	var plugin string
	err := tx.QueryRow(ctx, s.sql.rare(`SELECT plugin FROM {generations} WHERE id = $1`), d.Generation).Scan(&plugin)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // it is gone
	}
	led := false
	if err == nil && d.By != (store.Leader{}) {
		led, err = s.leads(ctx, tx, d.By, plugin)
	}
	if err == nil {
		_, err = s.lockUnits(ctx, tx, "", d.Generation, d.Generation)
	}
	if err != nil {
		return err
	}
	var live, dropping, long bool
	err = tx.QueryRow(ctx, s.sql.rare(`
SELECT EXISTS (SELECT 1 FROM {plugins} WHERE live_generation = $1), state = 'dropping',
       state = 'retired' AND retired_at < clock_timestamp() - $2 * interval '1 microsecond'
FROM {generations} WHERE id = $1`), d.Generation, d.KeptFor.Microseconds()).Scan(&live, &dropping, &long)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil // since the look
	case err != nil:
		return err
	case live:
		return store.ErrLive
	case led, dropping, long && d.By == (store.Leader{}):
		return nil
	}
	return store.ErrLeaseLost
}

// PutModule implements store.State.
func (s *Store) PutModule(ctx context.Context, digest string, wasm []byte) error {
	_, err := s.commits.Exec(ctx, s.sql.rare(`INSERT INTO {modules} (digest, wasm) VALUES ($1, $2) ON CONFLICT DO NOTHING`), digest, wasm)
	return fail(ctx, "keep a module", err)
}

// Module implements store.State.
func (s *Store) Module(ctx context.Context, digest string) (wasm []byte, err error) {
	err = s.reads.QueryRow(ctx, s.sql.rare(`SELECT wasm FROM {modules} WHERE digest = $1`), digest).Scan(&wasm)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("module %s: %w", digest, store.ErrNotFound)
	}
	return wasm, fail(ctx, "read a module", err)
}

// FindStandIn implements store.State.
func (s *Store) FindStandIn(ctx context.Context, plugin string) (in store.StandIn, err error) {
	err = s.reads.QueryRow(ctx, s.sql.rare(`SELECT module, instead_of FROM {plugins} WHERE name = $1`), plugin).Scan(&in.Digest, &in.InsteadOf)
	if errors.Is(err, pgx.ErrNoRows) {
		return in, fmt.Errorf("module of plugin %q: %w", plugin, store.ErrNotFound)
	}
	return in, fail(ctx, "find a plugin's module", err)
}
