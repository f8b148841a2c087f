package postgres

import (
	"context"
	"errors"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// newGeneration is one to be made, with all its partitions.
type newGeneration struct {
	plugin     string
	number     int
	partitions int
	orderBy    string
	start      event.Position
	state      store.GenerationState
	module     string
	heldUntil  int64
}

// addGeneration makes a generation and returns its root. The plugin's row is locked.
func (s *Store) addGeneration(ctx context.Context, tx pgx.Tx, g newGeneration) (store.Generation, error) {
	_, err := tx.Exec(ctx, s.sql.rare(`
INSERT INTO {generations} (plugin, number, partition, partitions, order_by, position, started_after, state, module, held_until)
SELECT $1::text, $2::int, n, $3::int, $4::text, $5::bigint, $5::bigint, $6::text, $7::text, $8::bigint FROM generate_series(0, $3::int - 1) AS n ORDER BY n`),
		g.plugin, g.number, g.partitions, g.orderBy, int64(g.start), string(g.state), g.module, g.heldUntil)
	if err != nil {
		return store.Generation{}, err
	}
	_, err = tx.Exec(ctx, s.sql.rare(`
UPDATE {generations} SET root = (SELECT id FROM {generations} WHERE plugin = $1 AND number = $2 AND partition = 0) WHERE plugin = $1 AND number = $2`), g.plugin, g.number)
	if err != nil {
		return store.Generation{}, err
	}
	rows, err := tx.Query(ctx, s.sql.rare(`SELECT `+generationColumns+` FROM {generations} g WHERE g.plugin = $1 AND g.number = $2 AND g.partition = 0`), g.plugin, g.number)
	if err != nil {
		return store.Generation{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[store.Generation])
}

// Partitions implements store.State.
func (s *Store) Partitions(ctx context.Context, root int64) ([]store.Generation, error) {
	rows, err := s.reads.Query(ctx, s.sql.rare(`SELECT `+generationColumns+` FROM {generations} g WHERE g.root = $1 AND g.state <> 'merged' ORDER BY g.partition`), root)
	if err != nil {
		return nil, fail(ctx, "list partitions", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[store.Generation])
	if err == nil && len(list) == 0 {
		return nil, fmt.Errorf("partitions of generation %d: %w", root, store.ErrNotFound)
	}
	return list, fail(ctx, "list partitions", err)
}

// Units implements store.State.
func (s *Store) Units(ctx context.Context) ([]store.Unit, error) {
	rows, err := s.reads.Query(ctx, s.sql.units)
	if err != nil {
		return nil, fail(ctx, "list units", err)
	}
	units, err := pgx.CollectRows(rows, pgx.RowToStructByPos[store.Unit])
	return units, fail(ctx, "list units", err)
}

// lockUnits locks and returns all partitions of two generations, of one plugin unless that is empty. They are locked in
// the order of their ids, as by everybody who locks several.
func (s *Store) lockUnits(ctx context.Context, tx pgx.Tx, plugin string, roots ...int64) ([]store.Unit, error) {
	rows, err := tx.Query(ctx, s.sql.rare(`
SELECT `+generationColumns+`, g.state, coalesce(g.owner, ''), false, '' FROM {generations} g
WHERE g.root = ANY ($1::bigint[]) AND ($2::text = '' OR g.plugin = $2::text) AND g.state <> 'merged' ORDER BY g.id FOR UPDATE`), roots, plugin)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[store.Unit])
}

// Repartition implements store.State.
func (s *Store) Repartition(ctx context.Context, r store.Repartition) error {
	step := fmt.Sprintf("split plugin %q into %d partitions", r.Plugin, r.Partitions)
	if err := r.Validate(); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	err := pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		root, err := s.lockForRepartition(ctx, tx, &r)
		if err != nil {
			return err
		}
		return s.repartition(ctx, tx, root, &r)
	})
	if err == nil {
		s.ring(ctx)
	}
	return fail(ctx, step, err)
}

// lockForRepartition returns the live generation's root once nothing can come between. It locks the partitions before the
// plugin, as a commit that pauses a plugin does.
func (s *Store) lockForRepartition(ctx context.Context, tx pgx.Tx, r *store.Repartition) (int64, error) {
	g, err := s.findPlugin(ctx, tx, r.Plugin)
	if err != nil {
		return 0, noRowsAs(err, store.ErrNotFound)
	}
	units, err := s.lockUnits(ctx, tx, r.Plugin, g.Root)
	if err == nil {
		err = r.Check(units)
	}
	if err != nil {
		return 0, err
	}
	var live int64
	if err := tx.QueryRow(ctx, s.sql.lockPlugin, r.Plugin).Scan(&live); err != nil {
		return 0, err
	}
	if live != g.Root { // a switch was faster, and has taken the leases
		return 0, store.ErrLeaseLost
	}
	var building bool
	err = tx.QueryRow(ctx, s.sql.rare(`SELECT EXISTS (SELECT 1 FROM {generations} WHERE plugin = $1 AND state = 'building')`), r.Plugin).Scan(&building)
	if err == nil && building {
		err = store.ErrBuilding
	}
	return g.Root, err
}

func (s *Store) repartition(ctx context.Context, tx pgx.Tx, root int64, r *store.Repartition) error {
	batch := &pgx.Batch{}
	for _, table := range []string{"{sequence_events}", "{sequences}"} {
		batch.Queue(s.sql.rare(`DELETE FROM `+table+` WHERE generation IN (SELECT id FROM {generations} WHERE root = $1)`), root)
	}
	// Invariant 2: whoever had a lease of the old partitions commits nothing any more.
	batch.Queue(s.sql.rare(`
UPDATE {generations} SET epoch = epoch + 1, owner = NULL, partitions = $2, order_by = $3, updated_at = clock_timestamp(),
       state = CASE WHEN partition = 0 THEN state ELSE 'merged' END
WHERE root = $1 AND state <> 'merged'`), root, r.Partitions, r.OrderBy)
	batch.Queue(s.sql.rare(`
INSERT INTO {generations} (plugin, number, root, partition, partitions, order_by, position, mark, started_after, elsewhere, state, module, held_until, digest)
SELECT g.plugin, g.number, g.id, n, g.partitions, g.order_by, g.position, g.mark, g.started_after, g.elsewhere, g.state, g.module, g.held_until, $2::text
FROM {generations} g CROSS JOIN generate_series(1, g.partitions - 1) AS n WHERE g.id = $1 ORDER BY n`), root, r.Digest)
	if r.Digest != "" { // Invariant 8
		batch.Queue(s.sql.rare(`
INSERT INTO {module_spans} (generation, from_position, digest)
SELECT id, position, $2::text FROM {generations} WHERE root = $1 AND state <> 'merged' AND partition > 0`), root, r.Digest)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, s.sql.rare(`SELECT id FROM {generations} WHERE root = $1 AND state <> 'merged' ORDER BY partition`), root)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	if len(ids) != r.Partitions {
		return errors.New("the new partitions are not as many as were made")
	}
	batch = &pgx.Batch{}
	for i, p := range r.Placements() {
		s.queueSequences(batch, &store.Commit{Generation: ids[i], Queue: p.Queue, Sequences: p.Sequences})
	}
	if batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, batch).Close()
}
