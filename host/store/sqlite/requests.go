package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"eshost/host/event"
	"eshost/host/store"
)

// requestColumns are row.request's.
const requestColumns = `id, plugin, action, key, position, generation, partition, digest, coalesce(length(data), 0) AS data_size,
  who, why, state, answer, requested_at, answered_at, ` + now + ` - requested_at AS age`

// pendingOfEach is how many requests of one plugin are looked at: it has them answered in their order.
const pendingOfEach = 100

func (r row) request() store.Request {
	return store.Request{ID: r.int(0), Plugin: r.text(1), Action: store.Action(r.text(2)), Key: r.text(3), Position: event.Position(r.int(4)),
		Generation: int(r.int(5)), Partition: int(r.int(6)), Digest: r.text(7), DataSize: int(r.int(8)), Who: r.text(9), Why: r.text(10),
		State: store.RequestState(r.text(11)), Answer: r.text(12), RequestedAt: r.time(13), AnsweredAt: r.time(14), Age: r.duration(15)}
}

// Ask keeps a request until the plugin's owner answers it.
func (s *Store) Ask(ctx context.Context, r store.Request) (id int64, err error) {
	if err = r.Validate(); err == nil {
		err = s.write(ctx, func(c *conn) error {
			var pending int64
			_, err := c.one(func(r row) { pending = r.int(0) }, "SELECT count(*) FROM requests WHERE plugin = ? AND state = 'pending'", r.Plugin)
			if err != nil {
				return err
			}
			if pending >= store.MaxPending {
				return store.ErrTooManyRequests
			}
			var data driver.Value // NULL where there is none
			if r.Data != nil {
				data = r.Data
			}
			res, err := c.exec(`INSERT INTO requests (plugin, action, key, position, generation, partition, digest, data, who, why, requested_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, `+now+`)`, r.Plugin, string(r.Action), r.Key, int64(r.Position), int64(r.Generation), int64(r.Partition), r.Digest, data, r.Who, r.Why)
			if err == nil {
				id, err = res.LastInsertId()
			}
			if err == nil {
				err = ring(c)
			}
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("ask for %s of %s: %w", r.Action, r.Plugin, err)
	}
	return id, nil
}

// Request returns one request with its data.
func (s *Store) Request(ctx context.Context, id int64) (q store.Request, err error) {
	err = s.read(ctx, func(c *conn) error {
		found, err := c.one(func(r row) { q = r.request(); q.Data = r.bytes(16) }, "SELECT "+requestColumns+", data FROM requests WHERE id = ?", id)
		if err == nil && !found {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return q, fmt.Errorf("request %d: %w", id, err)
	}
	return q, nil
}

// PendingRequests returns what nobody has answered yet.
func (s *Store) PendingRequests(ctx context.Context) ([]store.Request, error) {
	return s.requests(ctx, `SELECT id, plugin, action, key, position, generation, partition, digest, data_size, who, why, state, answer, requested_at, answered_at, age
FROM (SELECT `+requestColumns+`, row_number() OVER (PARTITION BY plugin ORDER BY id) AS n FROM requests WHERE state = 'pending')
WHERE n <= ? ORDER BY id`, int64(pendingOfEach))
}

// RequestLog returns the newest of a plugin's requests.
func (s *Store) RequestLog(ctx context.Context, plugin string, limit int) ([]store.Request, error) {
	return s.requests(ctx, "SELECT "+requestColumns+" FROM requests WHERE plugin = ? ORDER BY id DESC LIMIT ?", plugin, int64(limit))
}

func (s *Store) requests(ctx context.Context, sql string, args ...driver.Value) ([]store.Request, error) {
	var list []store.Request
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error { list = append(list, r.request()); return nil }, sql, args...)
	})
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return list, nil
}

// AnswerRequest settles a request that no commit carries out.
func (s *Store) AnswerRequest(ctx context.Context, generation, epoch int64, a store.Answer) error {
	err := s.write(ctx, func(c *conn) error {
		if generation != 0 {
			owned, err := c.one(func(row) {}, "SELECT 1 FROM generations WHERE id = ? AND epoch = ? AND owner IS NOT NULL", generation, epoch)
			if err != nil {
				return err
			}
			if !owned {
				return store.ErrLeaseLost
			}
		}
		return answer(c, a)
	})
	if err != nil {
		return fmt.Errorf("answer request %d: %w", a.Request, err)
	}
	return nil
}

func answer(c *conn, a store.Answer) error {
	res, err := c.exec("UPDATE requests SET state = ?, answer = ?, answered_at = "+now+" WHERE id = ? AND state = 'pending'", string(a.State), a.Text, a.Request)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return store.ErrAnswered
}

// operate does what a commit does at a person's request.
func operate(c *conn, cm store.Commit) error {
	for _, a := range cm.Answers {
		if err := answer(c, a); err != nil {
			return fmt.Errorf("request %d: %w", a.Request, err)
		}
	}
	for _, r := range cm.Replacements {
		_, err := c.exec(`INSERT OR REPLACE INTO replacements (plugin, position, data, who, why, created_at)
SELECT plugin, ?, ?, ?, ?, `+now+` FROM generations WHERE id = ?`, int64(r.Position), append([]byte{}, r.Data...), r.Who, r.Why, cm.Generation)
		if err != nil {
			return err
		}
	}
	if p := cm.Pause; p != nil {
		_, err := c.exec(`UPDATE plugins SET paused_by = ?1, paused_why = ?2, paused_at = CASE WHEN ?1 = '' THEN NULL ELSE `+now+` END
WHERE name = (SELECT plugin FROM generations WHERE id = ?3)`, p.Who, p.Why, cm.Generation)
		if err != nil {
			return err
		}
		return ring(c)
	}
	return nil
}

// Replacements lists what was put in the place of events' data for a plugin.
func (s *Store) Replacements(ctx context.Context, plugin string) ([]store.Replacement, error) {
	var list []store.Replacement
	err := s.read(ctx, func(c *conn) error {
		return c.query(ctx, func(r row) error {
			list = append(list, store.Replacement{Plugin: plugin, Position: event.Position(r.int(0)), Who: r.text(1), Why: r.text(2), Size: int(r.int(3)), At: r.time(4)})
			return nil
		}, "SELECT position, who, why, length(data), created_at FROM replacements WHERE plugin = ? ORDER BY position", plugin)
	})
	if err != nil {
		return nil, fmt.Errorf("list replacements of %s: %w", plugin, err)
	}
	return list, nil
}

// Replacement returns one with its data.
func (s *Store) Replacement(ctx context.Context, plugin string, p event.Position) (out store.Replacement, err error) {
	err = s.read(ctx, func(c *conn) error {
		found, err := c.one(func(r row) {
			out = store.Replacement{Plugin: plugin, Position: p, Data: r.bytes(0), Who: r.text(1), Why: r.text(2), Size: len(r.bytes(0)), At: r.time(3)}
		}, "SELECT data, who, why, created_at FROM replacements WHERE plugin = ? AND position = ?", plugin, int64(p))
		if err == nil && !found {
			err = store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return out, fmt.Errorf("replacement of event %d for %s: %w", p, plugin, err)
	}
	return out, nil
}

// Paused returns who paused a plugin.
func (s *Store) Paused(ctx context.Context, plugin string) (p *store.Pause, err error) {
	err = s.read(ctx, func(c *conn) error {
		_, err := c.one(func(r row) { p = r.pause(0) }, "SELECT paused_by, paused_why, paused_at FROM plugins WHERE name = ?", plugin)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for a pause of %s: %w", plugin, err)
	}
	return p, nil
}

// pause reads the three columns from column i on; nil if nobody paused.
func (r row) pause(i int) *store.Pause {
	if r.text(i) == "" {
		return nil
	}
	return &store.Pause{Who: r.text(i), Why: r.text(i + 1), At: r.time(i + 2)}
}
