package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// newGeneration is one to be made, with all its partitions.
type newGeneration struct {
	plugin     string
	number     int64
	partitions int64
	orderBy    string
	start      event.Position
	state      store.GenerationState
	module     string
	heldUntil  int64
}

// addGeneration makes a generation and returns its root.
func addGeneration(c *conn, g newGeneration) (root store.Generation, err error) {
	for n := range g.partitions {
		_, err := c.exec(`INSERT INTO generations (plugin, number, partition, partitions, order_by, position, started_after, state, module, held_until,
  condition_since, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, `+now+`, `+now+`, `+now+`)`,
			g.plugin, g.number, n, g.partitions, g.orderBy, int64(g.start), string(g.state), g.module, g.heldUntil)
		if err != nil {
			return root, err
		}
	}
	_, err = c.exec(`UPDATE generations SET root = (SELECT id FROM generations WHERE plugin = ?1 AND number = ?2 AND partition = 0)
WHERE plugin = ?1 AND number = ?2`, g.plugin, g.number)
	if err != nil {
		return root, err
	}
	_, err = c.one(func(r row) { root = r.generation() },
		"SELECT "+generationColumns+" FROM generations g WHERE g.plugin = ? AND g.number = ? AND g.partition = 0", g.plugin, g.number)
	return root, err
}

// Partitions returns a generation's partitions in order.
func (s *Store) Partitions(ctx context.Context, root int64) ([]store.Generation, error) {
	var list []store.Generation
	err := s.read(ctx, func(c *conn) error {
		err := c.query(ctx, func(r row) error { list = append(list, r.generation()); return nil },
			"SELECT "+generationColumns+" FROM generations g WHERE g.root = ? AND g.state <> 'merged' ORDER BY g.partition", root)
		if err == nil && len(list) == 0 {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list partitions of generation %d: %w", root, err)
	}
	return list, nil
}

// Units returns all partitions that one host or another should own.
func (s *Store) Units(ctx context.Context) (units []store.Unit, err error) {
	err = s.read(ctx, func(c *conn) error {
		units, err = readUnits(ctx, c, "WHERE g.state IN ('live', 'building')")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	return units, nil
}

func readUnits(ctx context.Context, c *conn, where string, args ...driver.Value) ([]store.Unit, error) {
	var units []store.Unit
	err := c.query(ctx, func(r row) error {
		units = append(units, store.Unit{Generation: r.generation(), State: store.GenerationState(r.text(9)), Owner: r.text(10),
			OwnerLive: r.int(11) != 0, PausedBy: r.text(12)})
		return nil
	}, "SELECT "+generationColumns+", g.state, g.owner, h.expires_at > "+now+", p.paused_by "+
		"FROM generations g JOIN plugins p ON p.name = g.plugin LEFT JOIN hosts h ON h.id = g.owner "+
		where+" ORDER BY g.plugin, g.number, g.partition", args...)
	return units, err
}

// Repartition splits a plugin's live generation anew.
func (s *Store) Repartition(ctx context.Context, r store.Repartition) error {
	err := r.Validate()
	if err == nil {
		err = s.write(ctx, func(c *conn) error {
			root, err := mayRepartition(ctx, c, &r)
			if err == nil {
				err = repartition(ctx, c, root, &r)
			}
			if err == nil {
				err = ring(c)
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("split plugin %q into %d partitions: %w", r.Plugin, r.Partitions, err)
	}
	return nil
}

// mayRepartition returns the live generation's root.
func mayRepartition(ctx context.Context, c *conn, r *store.Repartition) (int64, error) {
	g, found, err := live(c, r.Plugin)
	if err != nil || !found {
		return 0, orElse(err, store.ErrNotFound)
	}
	units, err := readUnits(ctx, c, "WHERE g.root = ? AND g.state <> 'merged'", g.Root)
	if err == nil {
		err = r.Check(units)
	}
	if err != nil {
		return 0, err
	}
	building, err := c.one(func(row) {}, "SELECT 1 FROM generations WHERE plugin = ? AND state = 'building'", r.Plugin)
	if err == nil && building {
		err = store.ErrBuilding
	}
	return g.Root, err
}

func repartition(ctx context.Context, c *conn, root int64, r *store.Repartition) error {
	for _, table := range []string{"sequence_events", "sequences"} {
		if _, err := c.exec("DELETE FROM "+table+" WHERE generation IN (SELECT id FROM generations WHERE root = ?)", root); err != nil {
			return err
		}
	}
	// Invariant 2: whoever had a lease of the old partitions commits nothing any more.
	_, err := c.exec(`UPDATE generations SET epoch = epoch + 1, owner = NULL, partitions = ?2, order_by = ?3, updated_at = `+now+`,
  state = CASE WHEN partition = 0 THEN state ELSE 'merged' END
WHERE root = ?1 AND state <> 'merged'`, root, int64(r.Partitions), r.OrderBy)
	if err != nil {
		return err
	}
	for n := 1; n < r.Partitions; n++ {
		_, err := c.exec(`INSERT INTO generations (plugin, number, root, partition, partitions, order_by, position, mark, started_after,
  elsewhere, state, module, held_until, digest, condition_since, created_at, updated_at)
SELECT plugin, number, id, ?2, partitions, order_by, position, mark, started_after, elsewhere, state, module, held_until, ?3, `+now+`, `+now+`, `+now+`
FROM generations WHERE id = ?1`, root, int64(n), r.Digest)
		if err != nil {
			return err
		}
	}
	if r.Digest != "" { // Invariant 8
		_, err := c.exec(`INSERT INTO module_spans (generation, from_position, digest, since)
SELECT id, position, ?2, `+now+` FROM generations WHERE root = ?1 AND state <> 'merged' AND partition > 0`, root, r.Digest)
		if err != nil {
			return err
		}
	}
	return place(ctx, c, root, r)
}

// place writes the sequences to the partitions that there are now.
func place(ctx context.Context, c *conn, root int64, r *store.Repartition) error {
	var ids []int64
	err := c.query(ctx, func(r row) error { ids = append(ids, r.int(0)); return nil },
		"SELECT id FROM generations WHERE root = ? AND state <> 'merged' ORDER BY partition", root)
	if err != nil {
		return err
	}
	if len(ids) != r.Partitions {
		return errors.New("the new partitions are not as many as were made")
	}
	for i, p := range r.Placements() {
		if err := moveQueues(c, ids[i], p.Queue, nil); err != nil {
			return err
		}
		if err := writeSequences(c, ids[i], p.Sequences); err != nil {
			return err
		}
	}
	return nil
}
