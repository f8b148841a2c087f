package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// requestColumns are scanRequest's.
const requestColumns = `id, plugin, action, key, position, generation, partition, digest, coalesce(octet_length(data), 0) AS data_size,
       who, why, state, answer, requested_at, answered_at, (extract(epoch FROM clock_timestamp() - requested_at) * 1000000)::bigint AS age`

// pendingOfEach is how many requests of one plugin are looked at: it has them answered in their order.
const pendingOfEach = 100

// Ask implements store.State.
func (s *Store) Ask(ctx context.Context, r store.Request) (int64, error) {
	if err := r.Validate(); err != nil {
		return 0, fmt.Errorf("ask for %s of %s: %w", r.Action, r.Plugin, err)
	}
	var id int64
	err := s.commits.QueryRow(ctx, s.sql.rare(`
INSERT INTO {requests} (plugin, action, key, position, generation, digest, data, who, why, partition)
SELECT $1::text, $2::text, $3::text, $4::bigint, $5::int, $6::text, $7::bytea, $8::text, $9::text, $11::int
WHERE (SELECT count(*) FROM {requests} WHERE plugin = $1::text AND state = 'pending') < $10
RETURNING id`), r.Plugin, string(r.Action), r.Key, int64(r.Position), r.Generation, r.Digest, r.Data, r.Who, r.Why, store.MaxPending, r.Partition).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("ask for %s of %s: %w", r.Action, r.Plugin, store.ErrTooManyRequests)
	}
	if err == nil {
		s.ring(ctx)
	}
	return id, fail(ctx, "ask for "+string(r.Action), err)
}

// Request implements store.State.
func (s *Store) Request(ctx context.Context, id int64) (store.Request, error) {
	rows, err := s.reads.Query(ctx, s.sql.rare(`SELECT `+requestColumns+`, data FROM {requests} WHERE id = $1`), id)
	if err != nil {
		return store.Request{}, fail(ctx, "read a request", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (store.Request, error) {
		var data []byte
		r, err := scanRequest(row, &data)
		r.Data = data
		return r, err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return r, fmt.Errorf("request %d: %w", id, store.ErrNotFound)
	}
	return r, fail(ctx, "read a request", err)
}

// PendingRequests implements store.State.
func (s *Store) PendingRequests(ctx context.Context) ([]store.Request, error) {
	return s.requests(ctx, s.sql.rare(`
SELECT id, plugin, action, key, position, generation, partition, digest, data_size, who, why, state, answer, requested_at, answered_at, age
FROM (SELECT `+requestColumns+`, row_number() OVER (PARTITION BY plugin ORDER BY id) AS n FROM {requests} WHERE state = 'pending') r
WHERE n <= $1 ORDER BY id`), pendingOfEach)
}

// RequestLog implements store.State.
func (s *Store) RequestLog(ctx context.Context, plugin string, limit int) ([]store.Request, error) {
	return s.requests(ctx, s.sql.rare(`SELECT `+requestColumns+` FROM {requests} WHERE plugin = $1 ORDER BY id DESC LIMIT $2`), plugin, limit)
}

func (s *Store) requests(ctx context.Context, sql string, args ...any) ([]store.Request, error) {
	rows, err := s.reads.Query(ctx, sql, args...)
	if err != nil {
		return nil, fail(ctx, "list requests", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Request, error) { return scanRequest(row) })
	return list, fail(ctx, "list requests", err)
}

func scanRequest(row pgx.CollectableRow, more ...any) (store.Request, error) {
	var r store.Request
	var answered *time.Time
	var age int64
	err := row.Scan(append([]any{&r.ID, &r.Plugin, &r.Action, &r.Key, &r.Position, &r.Generation, &r.Partition, &r.Digest, &r.DataSize,
		&r.Who, &r.Why, &r.State, &r.Answer, &r.RequestedAt, &answered, &age}, more...)...)
	r.RequestedAt, r.Age = r.RequestedAt.UTC(), time.Duration(age)*time.Microsecond
	if answered != nil {
		r.AnsweredAt = answered.UTC()
	}
	return r, err
}

// AnswerRequest implements store.State.
func (s *Store) AnswerRequest(ctx context.Context, generation, epoch int64, a store.Answer) error {
	done, err := s.commits.Exec(ctx, s.sql.rare(`
UPDATE {requests} SET state = $2, answer = $3, answered_at = clock_timestamp()
WHERE id = $1 AND state = 'pending'
  AND ($4::bigint = 0 OR EXISTS (SELECT 1 FROM {generations} WHERE id = $4::bigint AND epoch = $5 AND owner IS NOT NULL FOR SHARE))`),
		a.Request, string(a.State), storable(a.Text), generation, epoch)
	if err != nil || done.RowsAffected() == 1 {
		return fail(ctx, "answer a request", err)
	}
	pending, err := s.pending(ctx, []int64{a.Request})
	switch {
	case err != nil:
		return fail(ctx, "answer a request", err)
	case pending == 0:
		return fmt.Errorf("answer request %d: %w", a.Request, store.ErrAnswered)
	}
	return fmt.Errorf("answer request %d: %w", a.Request, store.ErrLeaseLost)
}

// pending counts those of some requests that nobody has answered.
func (s *Store) pending(ctx context.Context, ids []int64) (n int, err error) {
	err = s.commits.QueryRow(ctx, s.sql.rare(`SELECT count(*) FROM {requests} WHERE id = ANY ($1::bigint[]) AND state = 'pending'`), ids).Scan(&n)
	return n, err
}

// queueOperations adds what a commit does at a person's request.
func (s *Store) queueOperations(batch *pgx.Batch, c *store.Commit) {
	if len(c.Answers) > 0 {
		ids, states, texts := answerColumns(c.Answers)
		// Where one of them is not pending any more the division by zero ends the transaction.
		batch.Queue(s.sql.rare(`
WITH answered AS (
    UPDATE {requests} r SET state = a.state, answer = a.answer, answered_at = clock_timestamp()
    FROM unnest($1::bigint[], $2::text[], $3::text[]) AS a (id, state, answer)
    WHERE r.id = a.id AND r.state = 'pending' RETURNING 1
) SELECT 1 / (count(*) = $4::int)::int FROM answered`), ids, states, texts, len(ids))
	}
	for i := range c.Replacements {
		r := &c.Replacements[i]
		batch.Queue(s.sql.rare(`
INSERT INTO {replacements} (plugin, position, data, who, why)
SELECT plugin, $2::bigint, $3::bytea, $4::text, $5::text FROM {generations} WHERE id = $1
ON CONFLICT (plugin, position) DO UPDATE SET data = excluded.data, who = excluded.who, why = excluded.why, created_at = excluded.created_at`),
			c.Generation, int64(r.Position), notNil(r.Data), r.Who, r.Why)
	}
	if p := c.Pause; p != nil {
		batch.Queue(s.sql.rare(`
UPDATE {plugins} SET paused_by = $2::text, paused_why = $3, paused_at = CASE WHEN $2::text = '' THEN NULL ELSE clock_timestamp() END
WHERE name = (SELECT plugin FROM {generations} WHERE id = $1)`), c.Generation, p.Who, p.Why)
	}
}

func answerColumns(answers []store.Answer) (ids []int64, states, texts []string) {
	for _, a := range answers {
		ids, states, texts = append(ids, a.Request), append(states, string(a.State)), append(texts, storable(a.Text))
	}
	return ids, states, texts
}

// notNil is what a column takes that holds no NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// answeredBefore finds out whether a commit was refused because of a request that it answers.
func (s *Store) answeredBefore(ctx context.Context, c *store.Commit) error {
	if len(c.Answers) == 0 {
		return nil
	}
	ids, _, _ := answerColumns(c.Answers)
	pending, err := s.pending(ctx, ids)
	if err != nil {
		return fail(ctx, "commit: look at the requests", err)
	}
	if pending < len(ids) {
		return fmt.Errorf("commit: %w", store.ErrAnswered)
	}
	return nil
}

// Replacements implements store.State.
func (s *Store) Replacements(ctx context.Context, plugin string) ([]store.Replacement, error) {
	rows, err := s.reads.Query(ctx, s.sql.rare(`
SELECT plugin, position, who, why, octet_length(data), created_at FROM {replacements} WHERE plugin = $1 ORDER BY position`), plugin)
	if err != nil {
		return nil, fail(ctx, "list replacements", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r store.Replacement, err error) {
		err = row.Scan(&r.Plugin, &r.Position, &r.Who, &r.Why, &r.Size, &r.At)
		r.At = r.At.UTC()
		return r, err
	})
	return list, fail(ctx, "list replacements", err)
}

// Replacement implements store.State.
func (s *Store) Replacement(ctx context.Context, plugin string, p event.Position) (store.Replacement, error) {
	var r store.Replacement
	err := s.reads.QueryRow(ctx, s.sql.rare(`
SELECT plugin, position, data, who, why, octet_length(data), created_at FROM {replacements} WHERE plugin = $1 AND position = $2`), plugin, int64(p)).
		Scan(&r.Plugin, &r.Position, &r.Data, &r.Who, &r.Why, &r.Size, &r.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, fmt.Errorf("replacement of event %d for %s: %w", p, plugin, store.ErrNotFound)
	}
	r.At = r.At.UTC()
	return r, fail(ctx, "read a replacement", err)
}

// Paused implements store.State.
func (s *Store) Paused(ctx context.Context, plugin string) (*store.Pause, error) {
	var who, why string
	var at *time.Time
	err := s.reads.QueryRow(ctx, s.sql.rare(`SELECT paused_by, paused_why, paused_at FROM {plugins} WHERE name = $1`), plugin).Scan(&who, &why, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return pauseOf(who, why, at), fail(ctx, "look for a pause", err)
}

// pauseOf reads the three columns; nil if nobody paused.
func pauseOf(who, why string, at *time.Time) *store.Pause {
	if who == "" {
		return nil
	}
	p := &store.Pause{Who: who, Why: why}
	if at != nil {
		p.At = at.UTC()
	}
	return p
}
