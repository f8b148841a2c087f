package sqlite

import (
	"context"
	"fmt"
	"math"

	"eshost/host/event"
	"eshost/host/store"
)

// leads reports whether a lease is that of a plugin's leader.
func leads(c *conn, by store.Leader, plugin string) (bool, error) {
	return c.one(func(row) {}, "SELECT 1 FROM generations WHERE id = ? AND root = id AND epoch = ? AND owner = ? AND plugin = ? AND state = 'live'",
		by.Generation, by.Epoch, by.Owner, plugin)
}

// BuildGeneration adds a generation to a plugin.
func (s *Store) BuildGeneration(ctx context.Context, by store.Leader, plugin string, start event.Position, module string) (store.Generation, error) {
	var g store.Generation
	err := s.write(ctx, func(c *conn) error {
		next := newGeneration{plugin: plugin, start: start, state: store.Building, module: module, heldUntil: math.MaxInt64}
		var building, known int64
		found, err := c.one(func(r row) {
			next.number, building, known, next.partitions, next.orderBy = r.int(0), r.int(1), r.int(2), r.int(3), r.text(4)
		},
			`SELECT max(g.number) + 1, sum(g.state = 'building'), ?2 = '' OR EXISTS (SELECT 1 FROM modules WHERE digest = ?2), live.partitions, live.order_by
FROM plugins p JOIN generations live ON live.id = p.live_generation JOIN generations g ON g.plugin = p.name WHERE p.name = ?1 GROUP BY p.name`, plugin, module)
		led := false
		if err == nil {
			led, err = leads(c, by, plugin)
		}
		switch {
		case err != nil:
			return err
		case !found:
			return store.ErrNotFound
		case !led:
			return store.ErrLeaseLost
		case known == 0:
			return store.ErrNotFound
		case building > 0:
			return store.ErrBuilding
		}
		if g, err = addGeneration(c, next); err != nil {
			return err
		}
		return ring(c)
	})
	if err != nil {
		return g, fmt.Errorf("add a generation to plugin %q: %w", plugin, err)
	}
	return g, nil
}

const selectGenerations = `SELECT ` + generationColumns + `, g.state, g.module, g.held_until, g.condition, g.reason, g.condition_since, g.digest, g.updated_at,
  (SELECT count(*) FROM sequences q WHERE q.generation = g.id AND q.state = 'retrying'),
  (SELECT count(*) FROM sequences q WHERE q.generation = g.id AND q.state = 'parked'),
  (SELECT count(*) FROM sequence_events e WHERE e.generation = g.id),
  g.created_at, g.retired_at, ` + now + ` - g.retired_at, g.owner, ` + hostColumns + `
FROM generations g LEFT JOIN hosts h ON h.id = g.owner `

// Generations returns a plugin's generations.
func (s *Store) Generations(ctx context.Context, plugin string) ([]store.GenerationStatus, error) {
	list, err := s.generations(ctx, selectGenerations+"WHERE g.plugin = ? AND g.state <> 'merged' ORDER BY g.number DESC, g.partition", plugin)
	if err != nil {
		return nil, fmt.Errorf("list generations of %s: %w", plugin, err)
	}
	return list, nil
}

// NotLive returns the generations that are being built or retired.
func (s *Store) NotLive(ctx context.Context) ([]store.GenerationStatus, error) {
	list, err := s.generations(ctx, selectGenerations+"WHERE g.state NOT IN (?, 'merged') ORDER BY g.root, g.partition", string(store.Live))
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
	return store.JoinGenerations(list), err
}

// generationStatus reads a row of selectGenerations.
func (r row) generationStatus() store.GenerationStatus {
	p := store.PartitionStatus{
		Generation: r.generation(),
		Condition:  store.Condition{State: store.ConditionState(r.text(12)), Reason: r.text(13), Since: r.time(14)},
		Digest:     r.text(15), UpdatedAt: r.time(16), Retrying: int(r.int(17)), Parked: int(r.int(18)), Waiting: int(r.int(19)),
		Owner: r.owner(23),
	}
	return store.GenerationStatus{
		State: store.GenerationState(r.text(9)), Module: r.text(10), HeldUntil: event.Position(r.int(11)),
		CreatedAt: r.time(20), RetiredAt: r.time(21), RetiredFor: r.duration(22), Partitions: []store.PartitionStatus{p},
	}
}

// owner reads g.owner and hostColumns from column i on; nil if there is none. Its registration may be gone.
func (r row) owner(i int) *store.Host {
	switch {
	case r[i] == nil:
		return nil
	case r[i+1] == nil:
		return &store.Host{ID: r.text(i)}
	}
	h := r.host(i + 1)
	return &h
}

// SwitchGeneration makes another generation the live one.
func (s *Store) SwitchGeneration(ctx context.Context, w store.Switch) error {
	if len(w.From) == 0 || len(w.To) == 0 {
		return fmt.Errorf("switch plugin %q: %w: it names no generations", w.Plugin, store.ErrLeaseLost)
	}
	from, to := w.From[0].Generation, w.To[0].Generation
	err := s.write(ctx, func(c *conn) error {
		units, err := readUnits(ctx, c, "WHERE g.root IN (?, ?) AND g.plugin = ? AND g.state <> 'merged'", from, to, w.Plugin)
		if err == nil {
			err = w.Check(units)
		}
		if err != nil {
			return err
		}
		res, err := c.exec("UPDATE plugins SET live_generation = ?, module = ?, instead_of = ? WHERE name = ? AND live_generation = ?",
			to, w.StandIn.Digest, w.StandIn.InsteadOf, w.Plugin, from)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return orElse(err, store.ErrCheckpointMoved)
		}
		if _, err := c.exec("UPDATE generations SET state = 'retired', retired_at = "+now+", owner = NULL WHERE root = ? AND state <> 'merged'", from); err != nil {
			return err
		}
		if _, err := c.exec("UPDATE generations SET state = 'live', retired_at = NULL, held_until = ? WHERE root = ? AND state <> 'merged'", int64(w.HeldUntil), to); err != nil {
			return err
		}
		for _, a := range w.Answers {
			if err := answer(c, a); err != nil {
				return err
			}
		}
		return ring(c)
	})
	if err != nil {
		return fmt.Errorf("switch plugin %q to generation %d: %w", w.Plugin, to, err)
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
func (s *Store) DropGeneration(ctx context.Context, d store.Drop) (gone bool, err error) {
	generation, limit := d.Generation, d.Limit
	err = s.write(ctx, func(c *conn) error {
		if err := mayDrop(c, d); err != nil {
			return err
		}
		// Whoever builds it loses it at once.
		if _, err := c.exec("UPDATE generations SET owner = NULL, epoch = epoch + 1, state = 'dropping' WHERE root = ? AND state <> 'merged'", generation); err != nil {
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
			if _, err := c.exec("DELETE FROM "+table+" WHERE generation IN (SELECT id FROM generations WHERE root = ?)", generation); err != nil {
				return err
			}
		}
		_, err = c.exec("DELETE FROM generations WHERE root = ?", generation)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("drop generation %d: %w", generation, err)
	}
	return gone, nil
}

// mayDrop fails where a generation may not be dropped.
func mayDrop(c *conn, d store.Drop) error {
	var plugin string
	var live, dropping, long bool
	found, err := c.one(func(r row) { plugin, live, dropping, long = r.text(0), r.int(1) != 0, r.int(2) != 0, r.int(3) != 0 },
		`SELECT plugin, EXISTS (SELECT 1 FROM plugins WHERE live_generation = ?1), state = 'dropping', state = 'retired' AND retired_at < `+now+` - ?2
FROM generations WHERE id = ?1`, d.Generation, d.KeptFor.Microseconds())
	led := false
	if err == nil && d.By != (store.Leader{}) {
		led, err = leads(c, d.By, plugin)
	}
	switch {
	case err != nil:
		return err
	case live:
		return store.ErrLive
	case !found, led, dropping, long && d.By == (store.Leader{}):
		return nil
	}
	return store.ErrLeaseLost
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
