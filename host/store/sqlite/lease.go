package sqlite

import (
	"context"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// RegisterHost writes or renews a host's row.
func (s *Store) RegisterHost(ctx context.Context, h store.Host, ttl time.Duration) error {
	declares, err := store.EncodeDeclares(h.Declares)
	if err == nil {
		err = s.write(ctx, func(c *conn) error { return register(c, h, declares, ttl) })
	}
	if err != nil {
		return fmt.Errorf("register host %s: %w", h.ID, err)
	}
	return nil
}

func register(c *conn, h store.Host, declares string, ttl time.Duration) error {
	var same, alive bool
	_, err := c.one(func(r row) { same, alive = r.int(0) != 0, r.int(1) != 0 },
		"SELECT weight = ? AND declares = ?, expires_at > "+now+" FROM hosts WHERE id = ?", h.Weight, declares, h.ID)
	if err != nil {
		return err
	}
	_, err = c.exec(`INSERT INTO hosts (id, name, process, started_at, expires_at, weight, declares, declared_at)
VALUES (?1, ?2, ?3, ?4, `+now+` + ?5, ?6, ?7, `+now+`)
ON CONFLICT (id) DO UPDATE SET name = ?2, process = ?3, started_at = ?4, expires_at = `+now+` + ?5, weight = ?6, declares = ?7,
  declared_at = CASE WHEN weight = ?6 AND declares = ?7 THEN declared_at ELSE `+now+` END`,
		h.ID, h.Name, h.Process, h.StartedAt.UnixMicro(), ttl.Microseconds(), h.Weight, declares)
	if err == nil {
		_, err = c.exec("DELETE FROM hosts WHERE expires_at < "+now+" - ? AND id <> ?", (24 * time.Hour).Microseconds(), h.ID)
	}
	if err == nil && !(same && alive) {
		err = ring(c)
	}
	return err
}

// ring makes other hosts look at what the transaction changes, which they can see as soon as they hear the bell.
func ring(c *conn) error {
	_, err := c.exec("UPDATE bell SET rung = rung + 1")
	return err
}

// RenewHost makes a host's leases hold for longer.
func (s *Store) RenewHost(ctx context.Context, hostID string, ttl time.Duration) error {
	err := s.write(ctx, func(c *conn) error {
		res, err := c.exec("UPDATE hosts SET expires_at = "+now+" + ? WHERE id = ?", ttl.Microseconds(), hostID)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return store.ErrNotFound
	})
	if err != nil {
		return fmt.Errorf("renew host %s: %w", hostID, err)
	}
	return nil
}

// RemoveHost gives up every lease of the host.
func (s *Store) RemoveHost(ctx context.Context, hostID string) error {
	err := s.write(ctx, func(c *conn) error {
		_, err := c.exec("UPDATE generations SET owner = NULL WHERE owner = ?", hostID)
		if err == nil {
			_, err = c.exec("DELETE FROM hosts WHERE id = ?", hostID)
		}
		if err == nil {
			err = ring(c)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove host %s: %w", hostID, err)
	}
	return nil
}

const hostColumns = "h.id, h.name, h.process, h.started_at, h.expires_at - " + now

// host reads hostColumns from column i on.
func (r row) host(i int) store.Host {
	left := r.duration(i + 4)
	return store.Host{ID: r.text(i), Name: r.text(i + 1), Process: r.text(i + 2), StartedAt: r.time(i + 3), Live: left > 0, ExpiresIn: left}
}

// Hosts lists all registered hosts.
func (s *Store) Hosts(ctx context.Context) ([]store.Host, error) {
	var hosts []store.Host
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) (err error) {
			h := r.host(0)
			h.Weight, h.DeclaredAt = r.float(5), r.time(7)
			h.Declares, err = store.DecodeDeclares(r.text(6))
			hosts = append(hosts, h)
			return err
		}, "SELECT "+hostColumns+", h.weight, h.declares, h.declared_at FROM hosts h ORDER BY h.started_at, h.id")
	})
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	return hosts, nil
}

// EnsurePlugin returns the plugin's live generation and makes it if there is none.
func (s *Store) EnsurePlugin(ctx context.Context, plugin string, start event.Position, partitions int, orderBy string) (store.Generation, error) {
	var g store.Generation
	err := store.ValidatePartitions(partitions, orderBy)
	if err == nil {
		err = s.write(ctx, func(c *conn) (err error) {
			var found bool
			if g, found, err = live(c, plugin); err != nil || found {
				return err
			}
			first := newGeneration{plugin: plugin, number: 1, partitions: int64(partitions), orderBy: orderBy, start: start, state: store.Live}
			if g, err = addGeneration(c, first); err != nil {
				return err
			}
			if _, err := c.exec("INSERT INTO plugins (name, live_generation, created_at) VALUES (?, ?, "+now+")", plugin, g.ID); err != nil {
				return err
			}
			return ring(c)
		})
	}
	if err != nil {
		return store.Generation{}, fmt.Errorf("make plugin %q: %w", plugin, err)
	}
	return g, nil
}

// FindPlugin returns the plugin's live generation.
func (s *Store) FindPlugin(ctx context.Context, plugin string) (store.Generation, error) {
	var g store.Generation
	err := s.read(ctx, func(c *conn) (err error) {
		var found bool
		if g, found, err = live(c, plugin); err == nil && !found {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return store.Generation{}, fmt.Errorf("find plugin %q: %w", plugin, err)
	}
	return g, nil
}

const (
	generationColumns = columnsBefore + "g.position" + columnsAfter
	// rootColumns are those of a root with the lowest position of its partitions.
	rootColumns = columnsBefore + "(SELECT min(position) FROM generations WHERE root = g.id AND state <> 'merged')" + columnsAfter

	columnsBefore = "g.id, g.plugin, g.number, "
	columnsAfter  = ", g.epoch, g.root, g.partition, g.partitions, g.order_by"
)

// generation reads generationColumns.
func (r row) generation() store.Generation {
	return store.Generation{ID: r.int(0), Plugin: r.text(1), Number: int(r.int(2)), Position: event.Position(r.int(3)), Epoch: r.int(4),
		Root: r.int(5), Partition: int(r.int(6)), Partitions: int(r.int(7)), OrderBy: r.text(8)}
}

func live(c *conn, plugin string) (g store.Generation, found bool, err error) {
	found, err = c.one(func(r row) { g = r.generation() },
		"SELECT "+rootColumns+
			" FROM plugins p JOIN generations g ON g.id = p.live_generation WHERE p.name = ?", plugin)
	return g, found, err
}

// Acquire makes the host the generation's owner under a new epoch.
func (s *Store) Acquire(ctx context.Context, generation int64, hostID string) (store.Lease, error) {
	var l store.Lease
	err := s.write(ctx, func(c *conn) error {
		var owner *store.Host // that is another and lives
		found, err := c.one(func(r row) {
			if h := r.host(1); r[0] != nil && h.ID != hostID && h.Live {
				owner = &h
			}
		}, "SELECT h.id, "+hostColumns+" FROM generations g LEFT JOIN hosts h ON h.id = g.owner WHERE g.id = ? AND g.state <> 'merged'", generation)
		switch {
		case err != nil:
			return err
		case !found:
			return store.ErrNotFound
		case owner != nil:
			return &store.LeaseHeldError{Owner: *owner, ExpiresIn: owner.ExpiresIn}
		}
		if err := bornOut(ctx, c, generation); err != nil {
			return err
		}
		_, err = c.one(func(r row) {
			l = store.Lease{Epoch: r.int(0), Position: event.Position(r.int(1)), Partitions: int(r.int(2)), OrderBy: r.text(3)}
		}, "UPDATE generations AS g SET owner = ?, epoch = epoch + 1, mark = "+markAt("g.position")+" WHERE id = ? RETURNING epoch, position, partitions, order_by", hostID, generation)
		return err
	})
	if err != nil {
		return store.Lease{}, fmt.Errorf("acquire the lease of generation %d: %w", generation, err)
	}
	return l, nil
}

// Release ends the lease if its epoch is still the current one.
func (s *Store) Release(ctx context.Context, generation, epoch int64) error {
	err := s.write(ctx, func(c *conn) error {
		res, err := c.exec("UPDATE generations SET owner = NULL WHERE id = ? AND epoch = ? AND owner IS NOT NULL", generation, epoch)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return ring(c)
	})
	if err != nil {
		return fmt.Errorf("release the lease of generation %d: %w", generation, err)
	}
	return nil
}
