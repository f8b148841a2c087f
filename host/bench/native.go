package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// native is the baseline: what a team would write by hand in Go for this one projection, as fast as
// we know how. It has no retries, no parking, no lanes, no watermark: it reads a quiet log.
type native struct {
	read, write *pgx.Conn
	accounts    map[string]*account
}

type account struct {
	balance, count int64
	dirty          bool
}

type row struct {
	position int64
	stream   string
	kind     byte // first byte of the type
	amount   int64
}

const nativeBatch = 5000

func newNative(ctx context.Context, url string) (*native, error) {
	n := &native{accounts: make(map[string]*account)}
	var err error
	if n.read, err = pgx.Connect(ctx, url); err != nil {
		return nil, err
	}
	if n.write, err = pgx.Connect(ctx, url); err != nil {
		return nil, err
	}
	_, err = n.write.Exec(ctx, `
		CREATE SCHEMA IF NOT EXISTS bench;
		DROP TABLE IF EXISTS bench.balances, bench.checkpoint;
		CREATE TABLE bench.balances (account text COLLATE "C" PRIMARY KEY, balance bigint NOT NULL, count bigint NOT NULL);
		CREATE TABLE bench.checkpoint (id int PRIMARY KEY, position bigint NOT NULL);
		INSERT INTO bench.checkpoint VALUES (1, 0)`)
	return n, err
}

func (n *native) close(ctx context.Context) {
	if n.read != nil {
		_ = n.read.Close(ctx)
	}
	if n.write != nil {
		_ = n.write.Close(ctx)
	}
}

// run catches up to a position: batch k+1 is read and handled while batch k commits.
func (n *native) run(ctx context.Context, upTo int64) error {
	batches, readErr := make(chan []row, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { defer close(batches); readErr <- n.readAll(ctx, upTo, batches) }()
	var committing chan error
	for rows := range batches {
		names, balances, counts := n.handle(rows)
		if committing != nil {
			if err := <-committing; err != nil {
				return err
			}
		}
		committing = make(chan error, 1)
		position := rows[len(rows)-1].position
		go func() { committing <- n.commit(ctx, position, names, balances, counts) }()
	}
	if err := <-readErr; err != nil {
		return err
	}
	if committing != nil {
		return <-committing
	}
	return nil
}

func (n *native) readAll(ctx context.Context, upTo int64, out chan<- []row) error {
	var after int64
	for after < upTo {
		rows, err := n.readBatch(ctx, after, upTo)
		if err != nil {
			return fmt.Errorf("read after %d: %w", after, err)
		}
		if len(rows) == 0 {
			return fmt.Errorf("no events after %d of %d", after, upTo)
		}
		after = rows[len(rows)-1].position
		select {
		case out <- rows:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (n *native) readBatch(ctx context.Context, after, upTo int64) ([]row, error) {
	// The driver's binary format, decoded without allocating but for the stream.
	res, err := n.read.Query(ctx, `SELECT position, stream, type, data FROM eshost.events
		WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3`, after, upTo, nativeBatch)
	if err != nil {
		return nil, err
	}
	defer res.Close()
	rows := make([]row, 0, nativeBatch)
	for res.Next() {
		raw := res.RawValues()
		r := row{position: int64(binary.BigEndian.Uint64(raw[0])), stream: string(raw[1]), kind: raw[2][0]}
		if r.kind != 'A' {
			r.amount = amountOf(raw[3])
		}
		rows = append(rows, r)
	}
	return rows, res.Err()
}

// amountOf finds the amount without parsing the rest: faster than any JSON library, and good enough
// for a baseline that knows its data.
func amountOf(data []byte) int64 {
	const key = `"amount":`
	i := bytes.Index(data, []byte(key))
	if i < 0 {
		return 0
	}
	var n int64
	for _, c := range data[i+len(key):] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

func (n *native) handle(rows []row) (names []string, balances, counts []int64) {
	touched := make([]string, 0, len(rows))
	for _, r := range rows {
		a := n.accounts[r.stream]
		if a == nil {
			a = &account{}
			n.accounts[r.stream] = a
		}
		switch r.kind {
		case 'D':
			a.balance += r.amount
		case 'W':
			a.balance -= r.amount
		}
		a.count++
		if !a.dirty {
			a.dirty = true
			touched = append(touched, r.stream)
		}
	}
	balances, counts = make([]int64, len(touched)), make([]int64, len(touched))
	for i, name := range touched {
		a := n.accounts[name]
		balances[i], counts[i], a.dirty = a.balance, a.count, false
	}
	return touched, balances, counts
}

func (n *native) commit(ctx context.Context, position int64, names []string, balances, counts []int64) error {
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO bench.balances SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
		ON CONFLICT (account) DO UPDATE SET balance = excluded.balance, count = excluded.count`, names, balances, counts)
	b.Queue(`UPDATE bench.checkpoint SET position = $1 WHERE id = 1`, position)
	// A batch without BEGIN is one implicit transaction.
	return n.write.SendBatch(ctx, b).Close()
}

// check proves that the baseline did its work.
func (n *native) check(ctx context.Context, events int) error {
	var count int
	if err := n.write.QueryRow(ctx, `SELECT coalesce(sum(count), 0)::bigint FROM bench.balances`).Scan(&count); err != nil {
		return err
	}
	if count != events {
		return fmt.Errorf("the native loop applied %d events of %d", count, events)
	}
	return nil
}

func (o *Options) vacuum(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, o.StoreURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, `VACUUM ANALYZE eshost.events`)
	if err == nil {
		_, _ = conn.Exec(ctx, `CHECKPOINT`) // only a superuser may; it merely steadies the figures
	}
	return err
}
