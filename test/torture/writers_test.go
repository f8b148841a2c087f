package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"eshost/host/bank"
	"eshost/host/store"
)

// fate is what a writer knows of an event it has sent.
type fate int

const (
	unknown    fate = iota // it was not answered
	stored                 // it was told so
	rolledBack             // it decided so itself, or was told so
)

// sent is all the writers' events, by id.
type sent struct {
	mu    sync.Mutex
	fates map[string]fate
}

func (s *sent) set(f fate, ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.fates[id] = f
	}
}

// draft is an event before it is stored.
type draft struct {
	Stream string          `json:"-"`
	ID     string          `json:"id"`
	Type   string          `json:"type"`
	Data   json.RawMessage `json:"data"`
}

// writer appends to streams that nobody else appends to.
type writer struct {
	name  string
	rng   *rand.Rand
	bank  *bank.Bank
	sent  *sent
	found func(format string, args ...any)
	made  int
	ahead []draft // made and not yet sent
}

// streams is how many streams of each kind a writer has.
const streams = 8

// draft makes the next event. Streams of shared events have no others: what fails is handled later than its
// place in the log, and must not touch what others read.
func (w *writer) draft() draft {
	w.made++
	d := draft{ID: fmt.Sprintf("%s-%d", w.name, w.made), Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, w.made))}
	n := w.rng.IntN(streams)
	switch p := w.rng.IntN(100); {
	case p < 25:
		a := w.bank.Next()
		d.Stream, d.Type, d.Data = w.name+"-"+a.Stream, a.Events[0].Type, a.Events[0].Data
	case p < 50:
		d.Stream, d.Type = fmt.Sprintf("%s-shared-%d", w.name, n), "Shared"
	default:
		d.Stream, d.Type = fmt.Sprintf("%s-%d", w.name, n), w.kind()
	}
	return d
}

func (w *writer) kind() string {
	switch p := w.rng.IntN(1000); {
	case p < 6:
		return "Poison"
	case p < 60:
		return "FailsOnce"
	case p < 100:
		return "FailsTwice"
	case p < 120:
		return "TrapsOnce"
	case p < 300:
		return "Ask"
	case p < 360:
		return "AskFails"
	case p < 400:
		return "Slow"
	}
	return "Noted"
}

// upTo is a random time, mostly a short one.
func (w *writer) upTo(longest time.Duration) time.Duration {
	f := w.rng.Float64()
	return time.Duration(f * f * float64(longest))
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// sure appends batches, each again and again until it is answered: the ids make that safe.
func (w *writer) sure(ctx context.Context, post func(context.Context, []draft) error) {
	for ctx.Err() == nil {
		batch := w.batch()
		var ids []string
		for _, d := range batch {
			ids = append(ids, d.ID)
		}
		w.sent.set(unknown, ids...)
		for ctx.Err() == nil {
			try, cancel := context.WithTimeout(ctx, 2*time.Second)
			err := post(try, batch)
			cancel()
			if err == nil {
				w.sent.set(stored, ids...)
				break
			}
			var refused *refusedError
			if errors.As(err, &refused) {
				w.found("%s: %v", w.name, err)
				return
			}
			pause(ctx, w.upTo(200*time.Millisecond))
		}
		pause(ctx, w.upTo(80*time.Millisecond))
	}
}

// batch takes what has been made for one stream.
func (w *writer) batch() []draft {
	for len(w.ahead) < 30 {
		w.ahead = append(w.ahead, w.draft())
	}
	var batch, rest []draft
	for _, d := range w.ahead {
		if d.Stream == w.ahead[0].Stream {
			batch = append(batch, d)
		} else {
			rest = append(rest, d)
		}
	}
	w.ahead = rest
	return batch
}

// refusedError is an answer that no append of ours should get.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return "an append was refused: " + e.text }

// overHTTP posts to any of the hosts.
func (w *writer) overHTTP(nodes []*node) func(context.Context, []draft) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context, batch []draft) error {
		base := nodes[w.rng.IntN(len(nodes))].listener()
		if base == "" {
			return errors.New("that host is not ready")
		}
		body, err := json.Marshal(batch)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/streams/"+url.PathEscape(batch[0].Stream), bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		said, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		switch {
		case res.StatusCode == http.StatusOK || res.StatusCode == http.StatusCreated:
			return err
		case res.StatusCode < 500:
			return &refusedError{fmt.Sprintf("%s %s", res.Status, said)}
		}
		return fmt.Errorf("%s %s", res.Status, said)
	}
}

// throughStore appends as an application in Go does.
func throughStore(log store.Log) func(context.Context, []draft) error {
	return func(ctx context.Context, batch []draft) error {
		a := store.StreamAppend{Stream: batch[0].Stream, Expected: store.AnyVersion}
		for _, d := range batch {
			a.Events = append(a.Events, store.NewEvent{ID: d.ID, Type: d.Type, Data: d.Data})
		}
		err := log.Append(ctx, []store.AppendRequest{{Streams: []store.StreamAppend{a}}})[0].Err
		if errors.Is(err, store.ErrVersionConflict) || errors.Is(err, store.ErrIDConflict) || errors.Is(err, store.ErrInvalid) {
			return &refusedError{err.Error()}
		}
		return err
	}
}

// overSQL appends as an application does in its own transactions, open for as long as it likes; some are
// rolled back, in whole or in part, and some are prepared first. dial connects to the server there is.
func (w *writer) overSQL(ctx context.Context, dial func(context.Context) (*pgx.Conn, error)) {
	var conn *pgx.Conn
	defer func() { w.disconnect(&conn) }()
	for ctx.Err() == nil {
		if conn == nil {
			c, err := dial(ctx)
			if err != nil {
				pause(ctx, 50*time.Millisecond)
				continue
			}
			conn = c
		}
		tx := &transaction{w: w, conn: conn, gid: fmt.Sprintf("torture-%s-%d", w.name, w.made)}
		// Once begun it is ended, or nobody would know how.
		if err := tx.run(context.WithoutCancel(ctx)); err != nil {
			w.disconnect(&conn)
			if err := w.settle(ctx, tx, dial); err != nil && ctx.Err() == nil {
				w.found("%s: %v", w.name, err)
				return
			}
		}
		pause(ctx, w.upTo(60*time.Millisecond))
	}
}

func (w *writer) disconnect(conn **pgx.Conn) {
	if *conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = (*conn).Close(ctx) // it is of no more use
	*conn = nil
}

// transaction is one of an application's.
type transaction struct {
	w        *writer
	conn     *pgx.Conn
	gid      string
	ids      []string // that will be committed
	prepared bool
}

func (tx *transaction) run(ctx context.Context) error {
	if err := tx.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	for range 1 + tx.w.rng.IntN(4) {
		if err := tx.step(ctx); err != nil {
			return err
		}
		if tx.w.rng.IntN(10) < 6 {
			pause(ctx, tx.w.upTo(250*time.Millisecond))
		}
	}
	switch p := tx.w.rng.IntN(100); {
	case p < 15:
		tx.w.sent.set(rolledBack, tx.ids...)
		return tx.exec(ctx, "ROLLBACK")
	case p < 25:
		tx.prepared = true
		if err := tx.exec(ctx, "PREPARE TRANSACTION '"+tx.gid+"'"); err != nil {
			return err
		}
		pause(ctx, tx.w.upTo(300*time.Millisecond))
		if err := tx.exec(ctx, "COMMIT PREPARED '"+tx.gid+"'"); err != nil {
			return err
		}
	default:
		if err := tx.exec(ctx, "COMMIT"); err != nil {
			return err
		}
	}
	tx.w.sent.set(stored, tx.ids...)
	return nil
}

func (tx *transaction) step(ctx context.Context) error {
	if tx.w.rng.IntN(100) >= 25 {
		return tx.append(ctx)
	}
	if err := tx.exec(ctx, "SAVEPOINT s"); err != nil {
		return err
	}
	before := len(tx.ids)
	if err := tx.append(ctx); err != nil {
		return err
	}
	pause(ctx, tx.w.upTo(100*time.Millisecond))
	if tx.w.rng.IntN(2) == 0 {
		return tx.exec(ctx, "RELEASE s")
	}
	tx.w.sent.set(rolledBack, tx.ids[before:]...)
	tx.ids = tx.ids[:before]
	return tx.exec(ctx, "ROLLBACK TO s")
}

func (tx *transaction) append(ctx context.Context) error {
	d := tx.w.draft()
	tx.w.sent.set(unknown, d.ID)
	tx.ids = append(tx.ids, d.ID)
	return tx.exec(ctx, "SELECT eshost.append_event($1, $2, $3, id => $4)", d.Stream, d.Type, string(d.Data), d.ID)
}

func (tx *transaction) exec(ctx context.Context, sql string, args ...any) error {
	_, err := tx.conn.Exec(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// settle finds out what became of a transaction whose connection was lost: the server is gone, and with it
// every transaction that was not prepared.
func (w *writer) settle(ctx context.Context, tx *transaction, dial func(context.Context) (*pgx.Conn, error)) error {
	for ctx.Err() == nil {
		stands, err := w.look(ctx, tx, dial)
		var refused *pgconn.PgError
		switch {
		case err == nil && stands == len(tx.ids):
			w.sent.set(stored, tx.ids...)
			return nil
		case err == nil && stands == 0:
			w.sent.set(rolledBack, tx.ids...)
			return nil
		case err == nil:
			return fmt.Errorf("of one transaction with %d events %d are stored", len(tx.ids), stands)
		case errors.As(err, &refused) && refused.Code[:2] == "23":
			return err
		}
		pause(ctx, 50*time.Millisecond)
	}
	return ctx.Err()
}

// look ends a transaction that was left prepared, and counts which of its events are there.
func (w *writer) look(ctx context.Context, tx *transaction, dial func(context.Context) (*pgx.Conn, error)) (stands int, err error) {
	conn, err := dial(ctx)
	if err != nil {
		return 0, err
	}
	defer w.disconnect(&conn)
	if tx.prepared {
		var there bool
		if err := conn.QueryRow(ctx, "SELECT count(*) > 0 FROM pg_prepared_xacts WHERE gid = $1", tx.gid).Scan(&there); err != nil {
			return 0, err
		}
		if there {
			if _, err := conn.Exec(ctx, "COMMIT PREPARED '"+tx.gid+"'"); err != nil {
				return 0, err
			}
		}
	}
	err = conn.QueryRow(ctx, "SELECT count(*) FROM eshost.events WHERE id = ANY ($1)", tx.ids).Scan(&stands)
	return stands, err
}
