package postgres

import (
	"context"
	"errors"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// markAt is the mark of a checkpoint: events at or below one are final, so it stays what it is. The checkpoint itself comes
// first: whoever moves one and knows nothing of marks, as an older host does, leaves a mark of no meaning behind.
func markAt(position string) string {
	return position + `::bigint || ' ' || coalesce((SELECT e.{position} || ' ' || e.{id} FROM {events} e WHERE e.{position} <= ` + position + ` ORDER BY e.{position} DESC LIMIT 1), '')`
}

// marked is true where the mark is the checkpoint's.
const marked = `g.mark LIKE g.position || ' %'`

// Diverged implements store.State.
func (s *Store) Diverged(ctx context.Context) ([]store.Diverged, error) {
	rows, err := s.reads.Query(ctx, s.sql.diverged+`g.state = 'live' ORDER BY g.plugin, g.partition`)
	if err != nil {
		return nil, fail(ctx, "compare the checkpoints with the log", err)
	}
	list, err := pgx.CollectRows(rows, scanDiverged)
	return list, fail(ctx, "compare the checkpoints with the log", err)
}

func scanDiverged(row pgx.CollectableRow) (store.Diverged, error) {
	var d store.Diverged
	var had, has string
	err := row.Scan(&d.Plugin, &d.Generation, &d.Partition, &d.Checkpoint, &had, &has)
	if err == nil {
		d.Had, err = store.ParseMark(had)
	}
	if err == nil {
		d.Has, err = store.ParseMark(has)
	}
	return d, err
}

// Recover implements store.State.
func (s *Store) Recover(ctx context.Context, r store.Recovery) (done store.Recovered, err error) {
	if err := r.Validate(); err != nil {
		return done, fmt.Errorf("recover plugin %q: %w", r.Plugin, err)
	}
	err = pgx.BeginTxFunc(ctx, s.commits, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, patiently, milliseconds(commitPatience)); err != nil {
			return err
		}
		done, err = s.recover(ctx, tx, r)
		return err
	})
	if err == nil {
		s.ring(ctx)
	}
	return done, fail(ctx, fmt.Sprintf("recover plugin %q", r.Plugin), err)
}

func (s *Store) recover(ctx context.Context, tx pgx.Tx, r store.Recovery) (done store.Recovered, err error) {
	var live int64
	var head event.Position
	// In the order of their ids and before the plugin, as everybody who locks several must. A commit under way ends before,
	// or finds its epoch gone.
	if _, err := tx.Exec(ctx, s.sql.rare(`SELECT 1 FROM {generations} WHERE plugin = $1 ORDER BY id FOR UPDATE`), r.Plugin); err != nil {
		return done, err
	}
	if err := tx.QueryRow(ctx, s.sql.lockPlugin, r.Plugin).Scan(&live); err != nil {
		return done, noRowsAs(err, store.ErrNotFound)
	}
	err = tx.QueryRow(ctx, s.sql.newest).Scan(&head, new(string))
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return done, err
	}
	if r.After > head {
		return done, &store.InvalidError{Field: "position", Reason: fmt.Sprintf("is %d, and the last event is at %d", r.After, head)}
	}
	counted := func(count *int, sql string, args ...any) {
		if err == nil {
			var tag tag
			tag, err = tx.Exec(ctx, s.sql.rare(sql), args...)
			*count = int(tag.RowsAffected())
		}
	}
	const family = `generation = ANY (ARRAY(SELECT id FROM {generations} WHERE root = $1))`
	err = nil
	if !r.Keep {
		counted(&done.Documents, `DELETE FROM {documents} WHERE generation = $1`, live)
	}
	counted(new(int), `DELETE FROM {sequence_events} WHERE `+family, live)
	counted(&done.Sequences, `DELETE FROM {sequences} WHERE `+family, live)
	counted(new(int), `DELETE FROM {module_spans} WHERE `+family+` AND from_position >= $2`, live, int64(r.After))
	counted(&done.Replacements, `DELETE FROM {replacements} WHERE plugin = $1 AND position > $2`, r.Plugin, int64(r.After))
	counted(new(int), `UPDATE {generations} SET state = 'dropping', owner = NULL, epoch = epoch + 1
WHERE plugin = $1 AND root <> $2 AND state IN ('building', 'retired')`, r.Plugin, live)
	counted(new(int), `UPDATE {generations} SET owner = NULL, epoch = epoch + 1, position = least(position, $2), held_until = least(held_until, $2), started_after = least(started_after, $2),
    mark = NULL, condition = 'running', reason = '', condition_since = clock_timestamp(), updated_at = clock_timestamp()
WHERE root = $1 AND state = 'live'`, live, int64(r.After))
	if err == nil {
		err = tx.QueryRow(ctx, s.sql.rare(`SELECT min(position) FROM {generations} WHERE root = $1 AND state = 'live'`), live).Scan(&done.Position)
	}
	return done, err
}
