package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eshost/host/event"
	"eshost/host/store"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// groupTries is how often a group of requests is tried together before each is tried alone.
	groupTries = 4
	// aloneTries is how often a request is tried alone. Each try but the last lost to a writer that committed.
	aloneTries = 50
	// groupPatience and alonePatience bound the wait for one lock: for the row that another
	// transaction has inserted and not committed. Alone it is longer than most transactions; in a
	// group the others would wait too.
	groupPatience = 100 * time.Millisecond
	alonePatience = 500 * time.Millisecond
)

// request is an AppendRequest that passed validation.
type request struct {
	store.AppendRequest
	index int
	ids   []string        // of all its events, made where the caller gave none
	made  map[string]bool // the ids made here
}

func newRequest(r store.AppendRequest, index int) (*request, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	q := &request{AppendRequest: r, index: index}
	for _, s := range r.Streams {
		for i := range s.Events {
			id := s.Events[i].ID
			if id == "" {
				made, err := uuid.NewV7() // rises with time, so the index of ids grows at its end
				if err != nil {
					return nil, fmt.Errorf("make an event id: %w", err)
				}
				if id = made.String(); q.made == nil {
					q.made = make(map[string]bool)
				}
				q.made[id] = true
			}
			q.ids = append(q.ids, id)
		}
	}
	return q, nil
}

// Append implements store.Log. What the requests may store is decided here, from what one statement
// found; that nobody else stored it meanwhile is for the unique constraints to say, and then all is
// looked up and decided again. A lost connection is no different: every event has its id before the
// first try, so the second finds what the first has stored.
func (s *Store) Append(ctx context.Context, reqs []store.AppendRequest) []store.AppendResult {
	results := make([]store.AppendResult, len(reqs))
	var group []*request
	for i, r := range reqs {
		q, err := newRequest(r, i)
		if err != nil {
			results[i].Err = err
			continue
		}
		group = append(group, q)
	}
	if len(group) == 0 {
		return results
	}
	err := s.appendGroup(ctx, group, results, groupTries, groupPatience)
	switch {
	case err == nil:
	case ctx.Err() == nil && !lostConnection(err) && (len(group) > 1 || contended(err) || held(err)):
		s.appendAlone(ctx, group, results)
	default:
		for _, q := range group {
			results[q.index] = store.AppendResult{Err: appendError(ctx, q, err)}
		}
	}
	return results
}

// appendAlone gives each request a transaction of its own, so that one which cannot be stored, or has
// to wait for another's transaction, does not take the others with it. A stream that someone holds is
// waited for once.
func (s *Store) appendAlone(ctx context.Context, group []*request, results []store.AppendResult) {
	holders := make(map[string]string) // by stream
	for _, q := range group {
		who := heldBy(q, holders)
		if who == "" {
			err := s.appendGroup(ctx, []*request{q}, results, aloneTries, alonePatience)
			if err == nil {
				continue
			}
			if !held(err) {
				results[q.index] = store.AppendResult{Err: appendError(ctx, q, err)}
				continue
			}
			who = s.writers(ctx)
			for _, sa := range q.Streams {
				holders[sa.Stream] = who
			}
		}
		results[q.index] = store.AppendResult{Err: fmt.Errorf("append to stream %q: %w: another transaction holds an uncommitted event with the same version or id; open are %s",
			q.Streams[0].Stream, store.ErrUnavailable, who)}
	}
}

func heldBy(q *request, holders map[string]string) string {
	for _, sa := range q.Streams {
		if who := holders[sa.Stream]; who != "" {
			return who
		}
	}
	return ""
}

// held reports whether a wait for another transaction's row was cut short.
func held(err error) bool { return code(err) == codeLockNotAvailable }

// appendError is what one caller is told.
func appendError(ctx context.Context, q *request, err error) error {
	if refusedValue(err) {
		return &store.InvalidError{Field: "event", Reason: fmt.Sprintf("of stream %q is refused by the database: %s", q.Streams[0].Stream, describe(err))}
	}
	return fail(ctx, fmt.Sprintf("append to stream %q", q.Streams[0].Stream), err)
}

// contended reports whether trying again may help at once: the transaction was rolled back because of
// another one.
func contended(err error) bool {
	switch code(err) {
	case codeUniqueViolation, codeSerializationFailure, codeDeadlock:
		return true
	}
	return false
}

// appendGroup stores the requests in one transaction. Only if it returns nil has it written results.
func (s *Store) appendGroup(ctx context.Context, group []*request, results []store.AppendResult, tries int, patience time.Duration) error {
	reconnected := false
	for try := 1; ; try++ {
		p, err := s.lookUp(ctx, s.appends, group, try > 1)
		if err != nil {
			return err
		}
		answers := make([][]outcome, len(group))
		refused := make([]error, len(group))
		for i, q := range group {
			answers[i], refused[i] = p.add(q)
		}
		err = s.insertNow(ctx, p, patience)
		if err == nil {
			for i, q := range group {
				results[q.index] = answer(q, answers[i], refused[i])
			}
			return nil
		}
		if lostConnection(err) && !reconnected && ctx.Err() == nil {
			reconnected = true
			continue
		}
		if !contended(err) || try >= tries || ctx.Err() != nil {
			return err
		}
	}
}

func answer(q *request, outcomes []outcome, refused error) store.AppendResult {
	var taken *idTaken
	if errors.As(refused, &taken) {
		refused = taken.final()
	}
	if refused != nil {
		return store.AppendResult{Err: refused}
	}
	recorded := make([]store.Recorded, len(outcomes))
	for i, o := range outcomes {
		recorded[i] = store.Recorded{
			ID: o.known.ID, Stream: o.known.Stream, Version: o.known.Version, Position: o.known.Position,
			Duplicate: o.duplicate && !q.made[o.known.ID], // an id we made can only have been stored by an earlier try
		}
	}
	return store.AppendResult{Events: recorded}
}

// lookUp reads the ends of the streams, and the events that have the requests' ids. Ids that were made
// here are new the first time.
func (s *Store) lookUp(ctx context.Context, q querier, group []*request, madeToo bool) (*planner, error) {
	seen := make(map[string]bool)
	var streams []string
	ids := []string{}
	for _, r := range group {
		for _, sa := range r.Streams {
			if !seen[sa.Stream] {
				seen[sa.Stream] = true
				streams = append(streams, sa.Stream)
			}
		}
		for _, id := range r.ids {
			if madeToo || !r.made[id] {
				ids = append(ids, id)
			}
		}
	}
	rows, err := q.Query(ctx, s.sql.lookUp, binaryResults, streams, ids)
	if err != nil {
		return nil, err
	}
	found, err := collectEvents(rows)
	if err != nil {
		return nil, err
	}
	return newPlanner(found), nil
}

// insertNow inserts the planner's rows and completes its events. The statements of a batch are one
// transaction, which ends when the last of them does.
func (s *Store) insertNow(ctx context.Context, p *planner, patience time.Duration) error {
	if len(p.rows) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	batch.Queue(durably, milliseconds(patience))
	positions := make([]event.Position, 0, len(p.rows))
	s.queueInsert(batch, p.rows, &positions)
	if err := s.appends.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	for _, known := range p.stored {
		if known.row != isStored {
			known.Position = positions[known.row]
		}
	}
	return nil
}

// durably makes this transaction wait for the disk where a server's or a role's default is not to, and
// bounds its waits for locks.
const durably = `
SELECT set_config('lock_timeout', $1, true),
       CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END`

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

const (
	insertRows  = 5000
	insertBytes = 16 << 20
)

// queueInsert adds statements that insert the rows, in order, and collect their positions.
func (s *Store) queueInsert(batch *pgx.Batch, rows []newRow, positions *[]event.Position) {
	for len(rows) > 0 {
		n, bytes := 0, 0
		for n < len(rows) && n < insertRows && bytes < insertBytes {
			bytes += len(rows[n].event.Data) + len(rows[n].event.Metadata)
			n++
		}
		part := rows[:n]
		rows = rows[n:]
		batch.Queue(s.sql.insert, insertArguments(part)...).Query(func(r pgx.Rows) error {
			defer r.Close()
			i := 0
			for ; r.Next() && i < len(part); i++ {
				var position, version int64
				if err := r.Scan(&position, &version); err != nil {
					return err
				}
				if version != part[i].version || len(*positions) > 0 && event.Position(position) <= (*positions)[len(*positions)-1] {
					return fmt.Errorf("the database stored events in another order than asked")
				}
				*positions = append(*positions, event.Position(position))
			}
			if err := r.Err(); err != nil {
				return err
			}
			if i != len(part) {
				return fmt.Errorf("the database stored %d events of %d", i, len(part))
			}
			return nil
		})
	}
}

func insertArguments(rows []newRow) []any {
	n := len(rows)
	streams, kinds, ids, types, contentTypes := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	versions := make([]int64, n)
	datas, metadatas := make([][]byte, n), make([][]byte, n)
	times := make([]*time.Time, n)
	for i := range rows {
		r := &rows[i]
		streams[i], kinds[i], versions[i], ids[i] = r.stream, r.streamType, r.version, r.id
		types[i], metadatas[i], contentTypes[i] = r.event.Type, metadataOf(r.event), contentTypeOf(r.event)
		if datas[i] = r.event.Data; datas[i] == nil {
			datas[i] = []byte{} // nil would be NULL
		}
		if t := timeToStore(r.event); !t.IsZero() {
			times[i] = &t
		}
	}
	return []any{streams, kinds, versions, ids, types, datas, metadatas, contentTypes, times}
}
