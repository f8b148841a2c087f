package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// markAt is the mark of a checkpoint: events at or below one are final, so it stays what it is. The checkpoint itself comes
// first: whoever moves one and knows nothing of marks, as an older host does, leaves a mark of no meaning behind.
func markAt(position string) string {
	return position + ` || ' ' || coalesce((SELECT e.position || ' ' || e.id FROM events e WHERE e.position <= ` + position + ` ORDER BY e.position DESC LIMIT 1), '')`
}

// selectDiverged lists checkpoints that the log does not bear out.
var selectDiverged = `SELECT g.plugin, g.number, g.partition, g.position, g.mark, ` + markAt("g.position") + ` FROM generations g
WHERE g.mark LIKE g.position || ' %' AND g.mark <> ` + markAt("g.position") + ` AND `

// Diverged lists the live checkpoints that the log does not bear out.
func (s *Store) Diverged(ctx context.Context) ([]store.Diverged, error) {
	var list []store.Diverged
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			d, err := r.diverged()
			list = append(list, d)
			return err
		}, selectDiverged+"g.state = 'live' ORDER BY g.plugin, g.partition")
	})
	if err != nil {
		return nil, fmt.Errorf("compare the checkpoints with the log: %w", err)
	}
	return list, nil
}

func (r row) diverged() (d store.Diverged, err error) {
	d = store.Diverged{Plugin: r.text(0), Generation: int(r.int(1)), Partition: int(r.int(2)), Checkpoint: event.Position(r.int(3))}
	if d.Had, err = store.ParseMark(r.text(4)); err == nil {
		d.Has, err = store.ParseMark(r.text(5))
	}
	return d, err
}

// bornOut fails with a *store.Diverged if the log has another event at a generation's checkpoint than was committed.
func bornOut(ctx context.Context, c *conn, generation int64) error {
	return c.query(ctx, func(r row) error {
		d, err := r.diverged()
		if err == nil {
			err = &d
		}
		return err
	}, selectDiverged+"g.id = ?", generation)
}

// Recover has a plugin begin again on the log as it is now.
func (s *Store) Recover(ctx context.Context, r store.Recovery) (done store.Recovered, err error) {
	if err = r.Validate(); err == nil {
		err = s.write(ctx, func(c *conn) error {
			if done, err = recoverPlugin(c, r); err != nil {
				return err
			}
			return ring(c)
		})
	}
	if err != nil {
		return store.Recovered{}, fmt.Errorf("recover plugin %q: %w", r.Plugin, err)
	}
	return done, nil
}

func recoverPlugin(c *conn, r store.Recovery) (done store.Recovered, err error) {
	g, found, err := live(c, r.Plugin)
	if err != nil {
		return done, err
	}
	if !found {
		return done, store.ErrNotFound
	}
	var head event.Position
	if _, err = c.one(func(r row) { head = event.Position(r.int(0)) }, "SELECT coalesce(max(position), 0) FROM events"); err != nil {
		return done, err
	}
	if r.After > head {
		return done, &store.InvalidError{Field: "position", Reason: fmt.Sprintf("is %d, and the last event is at %d", r.After, head)}
	}
	counted := func(count *int, sql string, args ...driver.Value) {
		if err != nil {
			return
		}
		res, failed := c.exec(sql, args...)
		if err = failed; err == nil {
			var n int64
			n, err = res.RowsAffected()
			*count = int(n)
		}
	}
	const family = `generation IN (SELECT id FROM generations WHERE root = ?)`
	if !r.Keep {
		counted(&done.Documents, `DELETE FROM documents WHERE generation = ?`, g.ID)
	}
	counted(new(int), `DELETE FROM sequence_events WHERE `+family, g.ID)
	counted(&done.Sequences, `DELETE FROM sequences WHERE `+family, g.ID)
	counted(new(int), `DELETE FROM module_spans WHERE `+family+` AND from_position >= ?`, g.ID, int64(r.After))
	counted(&done.Replacements, `DELETE FROM replacements WHERE plugin = ? AND position > ?`, r.Plugin, int64(r.After))
	counted(new(int), `UPDATE generations SET state = 'dropping', owner = NULL, epoch = epoch + 1
WHERE plugin = ? AND root <> ? AND state IN ('building', 'retired')`, r.Plugin, g.ID)
	counted(new(int), `UPDATE generations SET owner = NULL, epoch = epoch + 1, position = min(position, ?2), held_until = min(held_until, ?2), started_after = min(started_after, ?2),
  mark = NULL, condition = 'running', reason = '', condition_since = `+now+`, updated_at = `+now+` WHERE root = ?1 AND state = 'live'`,
		g.ID, int64(r.After))
	if err == nil {
		_, err = c.one(func(r row) { done.Position = event.Position(r.int(0)) }, `SELECT min(position) FROM generations WHERE root = ? AND state = 'live'`, g.ID)
	}
	return done, err
}
