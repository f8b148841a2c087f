package sqlite

import (
	"context"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// BuildGeneration adds a generation to a plugin.
func (s *Store) BuildGeneration(ctx context.Context, plugin string, start event.Position, module string) (store.Generation, error) {
	var g store.Generation
	err := s.write(ctx, func(c *conn) error {
		var number, building, known int64
		found, err := c.one(func(r row) { number, building, known = r.int(0), r.int(1), r.int(2) },
			`SELECT max(g.number), sum(g.state = 'building'), ?2 = '' OR EXISTS (SELECT 1 FROM modules WHERE digest = ?2)
FROM plugins p JOIN generations g ON g.plugin = p.name WHERE p.name = ?1 GROUP BY p.name`, plugin, module)
		switch {
		case err != nil:
			return err
		case !found || known == 0:
			return store.ErrNotFound
		case building > 0:
			return store.ErrBuilding
		}
		_, err = c.one(func(r row) { g = r.generation() }, `INSERT INTO generations AS g
  (plugin, number, position, state, module, held_until, condition_since, created_at, updated_at)
VALUES (?, ?, ?, 'building', ?, 9223372036854775807, `+now+`, `+now+`, `+now+`) RETURNING id, plugin, number, position, epoch`,
			plugin, number+1, int64(start), module)
		return err
	})
	if err != nil {
		return g, fmt.Errorf("add a generation to plugin %q: %w", plugin, err)
	}
	return g, nil
}

const selectGenerations = `SELECT ` + generationColumns + `, g.state, g.module, g.held_until, g.condition, g.reason, g.condition_since, g.digest,
  (SELECT count(*) FROM sequences q WHERE q.generation = g.id AND q.state = 'retrying'),
  (SELECT count(*) FROM sequences q WHERE q.generation = g.id AND q.state = 'parked'),
  (SELECT count(*) FROM sequence_events e WHERE e.generation = g.id),
  g.created_at, g.retired_at, g.owner, ` + hostColumns + `
FROM generations g LEFT JOIN hosts h ON h.id = g.owner `

// Generations returns a plugin's generations.
func (s *Store) Generations(ctx context.Context, plugin string) ([]store.GenerationStatus, error) {
	list, err := s.generations(ctx, selectGenerations+"WHERE g.plugin = ? ORDER BY g.number DESC", plugin)
	if err != nil {
		return nil, fmt.Errorf("list generations of %s: %w", plugin, err)
	}
	return list, nil
}

// NotLive returns the generations that are being built or retired.
func (s *Store) NotLive(ctx context.Context) ([]store.GenerationStatus, error) {
	list, err := s.generations(ctx, selectGenerations+"WHERE g.state <> ? ORDER BY g.id", string(store.Live))
	if err != nil {
		return nil, fmt.Errorf("list generations: %w", err)
	}
	return list, nil
}

func (s *Store) generations(ctx context.Context, sql, arg string) ([]store.GenerationStatus, error) {
	var list []store.GenerationStatus
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error { list = append(list, r.generationStatus()); return nil }, sql, arg)
	})
	return list, err
}

// generationStatus reads a row of selectGenerations.
func (r row) generationStatus() store.GenerationStatus {
	g := store.GenerationStatus{
		Generation: r.generation(),
		State:      store.GenerationState(r.text(5)), Module: r.text(6), HeldUntil: event.Position(r.int(7)),
		Condition: store.Condition{State: store.ConditionState(r.text(8)), Reason: r.text(9), Since: r.time(10)},
		Digest:    r.text(11), Retrying: int(r.int(12)), Parked: int(r.int(13)), Waiting: int(r.int(14)),
		CreatedAt: r.time(15), RetiredAt: r.time(16),
	}
	if r[17] != nil {
		g.Owner = &store.Host{ID: r.text(17)} // its registration may be gone
		if r[18] != nil {
			h := r.host(18)
			g.Owner = &h
		}
	}
	return g
}

// SwitchGeneration makes another generation the live one.
func (s *Store) SwitchGeneration(ctx context.Context, w store.Switch) error {
	err := s.write(ctx, func(c *conn) error {
		var owned int64
		if _, err := c.one(func(r row) { owned = r.int(0) }, `SELECT count(*) FROM generations
WHERE plugin = ? AND owner IS NOT NULL AND state <> 'dropping' AND (id = ? AND epoch = ? OR id = ? AND epoch = ?)`, w.Plugin, w.From, w.FromEpoch, w.To, w.ToEpoch); err != nil {
			return err
		}
		if owned != 2 {
			return store.ErrLeaseLost
		}
		res, err := c.exec("UPDATE plugins SET live_generation = ?, module = ?, instead_of = ? WHERE name = ? AND live_generation = ?",
			w.To, w.StandIn.Digest, w.StandIn.InsteadOf, w.Plugin, w.From)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return orElse(err, store.ErrCheckpointMoved)
		}
		if _, err := c.exec("UPDATE generations SET state = 'retired', retired_at = "+now+", owner = NULL WHERE id = ?", w.From); err != nil {
			return err
		}
		if _, err := c.exec("UPDATE generations SET state = 'live', retired_at = NULL, held_until = ? WHERE id = ?", int64(w.HeldUntil), w.To); err != nil {
			return err
		}
		for _, a := range w.Answers {
			if err := answer(c, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("switch plugin %q to generation %d: %w", w.Plugin, w.To, err)
	}
	return nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// DropGeneration deletes a generation piece by piece: nobody else can write meanwhile.
func (s *Store) DropGeneration(ctx context.Context, generation int64, limit int) (gone bool, err error) {
	err = s.write(ctx, func(c *conn) error {
		live, err := c.one(func(row) {}, "SELECT 1 FROM plugins WHERE live_generation = ?", generation)
		if err != nil || live {
			return orElse(err, store.ErrLive)
		}
		// Whoever builds it loses it at once.
		if _, err := c.exec("UPDATE generations SET owner = NULL, epoch = epoch + 1, state = 'dropping' WHERE id = ?", generation); err != nil {
			return err
		}
		res, err := c.exec(`DELETE FROM documents WHERE generation = ?1 AND (collection, key) IN (
SELECT collection, key FROM documents WHERE generation = ?1 LIMIT ?2)`, generation, int64(limit))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if gone = n < int64(limit); err != nil || !gone {
			return err
		}
		for _, table := range []string{"sequence_events", "sequences", "module_spans"} {
			if _, err := c.exec("DELETE FROM "+table+" WHERE generation = ?", generation); err != nil {
				return err
			}
		}
		_, err = c.exec("DELETE FROM generations WHERE id = ?", generation)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("drop generation %d: %w", generation, err)
	}
	return gone, nil
}

// PutModule keeps a module's bytes.
func (s *Store) PutModule(ctx context.Context, digest string, wasm []byte) error {
	err := s.write(ctx, func(c *conn) error {
		_, err := c.exec("INSERT INTO modules (digest, wasm, created_at) VALUES (?, ?, "+now+") ON CONFLICT DO NOTHING", digest, wasm)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep module %s: %w", digest, err)
	}
	return nil
}

// Module returns the bytes of a stored module.
func (s *Store) Module(ctx context.Context, digest string) (wasm []byte, err error) {
	err = s.read(ctx, func(c *conn) error {
		found, err := c.one(func(r row) { wasm = r.bytes(0) }, "SELECT wasm FROM modules WHERE digest = ?", digest)
		if err == nil && !found {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", digest, err)
	}
	return wasm, nil
}

// FindStandIn returns what stands in for a plugin's declared module.
func (s *Store) FindStandIn(ctx context.Context, plugin string) (in store.StandIn, err error) {
	err = s.read(ctx, func(c *conn) error {
		found, err := c.one(func(r row) { in = store.StandIn{Digest: r.text(0), InsteadOf: r.text(1)} }, "SELECT module, instead_of FROM plugins WHERE name = ?", plugin)
		if err == nil && !found {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return in, fmt.Errorf("module of plugin %q: %w", plugin, err)
	}
	return in, nil
}
