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

// BuildGeneration implements store.State. The plugin's row is locked, so that one of two askers finds the other's.
func (s *Store) BuildGeneration(ctx context.Context, plugin string, start event.Position, module string) (g store.Generation, err error) {
	err = pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, s.sql.lockPlugin, plugin).Scan(new(*int64)); err != nil {
			return noRowsAs(err, store.ErrNotFound)
		}
		var number, building int
		var known bool
		err := tx.QueryRow(ctx, s.sql.rare(`
SELECT max(number), count(*) FILTER (WHERE state = 'building'), $2::text = '' OR EXISTS (SELECT 1 FROM {modules} WHERE digest = $2::text)
FROM {generations} WHERE plugin = $1`), plugin, module).Scan(&number, &building, &known)
		switch {
		case err != nil:
			return err
		case !known:
			return store.ErrNotFound
		case building > 0:
			return store.ErrBuilding
		}
		rows, err := tx.Query(ctx, s.sql.rare(`
INSERT INTO {generations} (plugin, number, position, state, module, held_until) VALUES ($1, $2, $3, 'building', $4, $5)
RETURNING id, plugin, number, position, epoch`), plugin, number+1, int64(start), module, int64(math.MaxInt64))
		if err == nil {
			g, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[store.Generation])
		}
		return err
	})
	return g, fail(ctx, fmt.Sprintf("add a generation to plugin %q", plugin), err)
}

func noRowsAs(err, as error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return as
	}
	return err
}

const selectGenerations = `
SELECT g.id, g.plugin, g.number, g.position, g.epoch, g.state, g.module, g.held_until, g.condition, g.reason, g.condition_since, g.digest,
       s.retrying, s.parked, (SELECT count(*) FROM {sequence_events} e WHERE e.generation = g.id),
       g.created_at, g.retired_at, g.owner, h.name, h.process, h.started_at, (extract(epoch FROM h.expires_at - clock_timestamp()) * 1000000)::bigint
FROM {generations} g
LEFT JOIN {hosts} h ON h.id = g.owner
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'retrying') AS retrying, count(*) FILTER (WHERE state = 'parked') AS parked
    FROM {sequences} WHERE generation = g.id) s
`

// Generations implements store.State.
func (s *Store) Generations(ctx context.Context, plugin string) ([]store.GenerationStatus, error) {
	return s.generations(ctx, selectGenerations+`WHERE g.plugin = $1 ORDER BY g.number DESC`, plugin)
}

// NotLive implements store.State.
func (s *Store) NotLive(ctx context.Context) ([]store.GenerationStatus, error) {
	return s.generations(ctx, selectGenerations+`WHERE g.state <> $1 ORDER BY g.id`, string(store.Live))
}

func (s *Store) generations(ctx context.Context, sql, arg string) ([]store.GenerationStatus, error) {
	rows, err := s.reads.Query(ctx, s.sql.rare(sql), arg)
	if err != nil {
		return nil, fail(ctx, "list generations", err)
	}
	list, err := pgx.CollectRows(rows, scanGeneration)
	return list, fail(ctx, "list generations", err)
}

func scanGeneration(row pgx.CollectableRow) (store.GenerationStatus, error) {
	var g store.GenerationStatus
	var owner, name, process *string
	var retired, started *time.Time
	var left *int64
	err := row.Scan(&g.ID, &g.Plugin, &g.Number, &g.Position, &g.Epoch, &g.State, &g.Module, &g.HeldUntil,
		&g.Condition.State, &g.Condition.Reason, &g.Condition.Since, &g.Digest, &g.Retrying, &g.Parked, &g.Waiting,
		&g.CreatedAt, &retired, &owner, &name, &process, &started, &left)
	if err != nil {
		return g, err
	}
	g.CreatedAt, g.Condition.Since = g.CreatedAt.UTC(), g.Condition.Since.UTC()
	if retired != nil {
		g.RetiredAt = retired.UTC()
	}
	if owner != nil {
		g.Owner = &store.Host{ID: *owner} // its registration may be gone
		if name != nil {
			g.Owner.Name, g.Owner.Process, g.Owner.StartedAt = *name, *process, started.UTC()
			g.Owner.ExpiresIn = time.Duration(*left) * time.Microsecond
			g.Owner.Live = *left > 0
		}
	}
	return g, nil
}

// SwitchGeneration implements store.State.
func (s *Store) SwitchGeneration(ctx context.Context, w store.Switch) error {
	err := pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		// In the order of their ids, as everybody who locks both must.
		var owned int
		if err := tx.QueryRow(ctx, s.sql.rare(`
SELECT count(*) FROM (SELECT 1 FROM {generations}
    WHERE plugin = $1 AND owner IS NOT NULL AND state <> 'dropping' AND (id = $2 AND epoch = $3 OR id = $4 AND epoch = $5) ORDER BY id FOR UPDATE) mine`),
			w.Plugin, w.From, w.FromEpoch, w.To, w.ToEpoch).Scan(&owned); err != nil {
			return err
		}
		if owned != 2 {
			return store.ErrLeaseLost
		}
		moved, err := tx.Exec(ctx, s.sql.rare(`UPDATE {plugins} SET live_generation = $1, module = $2, instead_of = $3 WHERE name = $4 AND live_generation = $5`),
			w.To, w.StandIn.Digest, w.StandIn.InsteadOf, w.Plugin, w.From)
		if err == nil && moved.RowsAffected() == 0 {
			err = store.ErrCheckpointMoved
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql.rare(`UPDATE {generations} SET state = 'retired', retired_at = clock_timestamp(), owner = NULL WHERE id = $1`), w.From); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql.rare(`UPDATE {generations} SET state = 'live', retired_at = NULL, held_until = $2 WHERE id = $1`), w.To, int64(w.HeldUntil)); err != nil {
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
	return fail(ctx, fmt.Sprintf("switch plugin %q to generation %d", w.Plugin, w.To), err)
}

// DropGeneration implements store.State. Whoever builds the generation loses it at once.
func (s *Store) DropGeneration(ctx context.Context, generation int64, limit int) (gone bool, err error) {
	err = pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.sql.rare(`UPDATE {generations} SET owner = NULL, epoch = epoch + 1, state = 'dropping' WHERE id = $1
AND NOT EXISTS (SELECT 1 FROM {plugins} WHERE live_generation = $1)`), generation); err != nil {
			return err
		}
		// A switch may have come before the row's lock.
		var live bool
		if err := tx.QueryRow(ctx, s.sql.rare(`SELECT EXISTS (SELECT 1 FROM {plugins} WHERE live_generation = $1)`), generation).Scan(&live); err != nil {
			return err
		}
		if live {
			return store.ErrLive
		}
		done, err := tx.Exec(ctx, s.sql.rare(`DELETE FROM {documents} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {documents} WHERE generation = $1 LIMIT $2))`), generation, limit)
		if gone = done.RowsAffected() < int64(limit); err != nil || !gone {
			return err
		}
		for _, table := range []string{"{sequence_events}", "{sequences}", "{module_spans}"} {
			if _, err := tx.Exec(ctx, s.sql.rare(`DELETE FROM `+table+` WHERE generation = $1`), generation); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, s.sql.rare(`DELETE FROM {generations} WHERE id = $1`), generation)
		return err
	})
	return gone && err == nil, fail(ctx, fmt.Sprintf("drop generation %d", generation), err)
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
