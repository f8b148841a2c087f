package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"eshost/host/store"

	"github.com/jackc/pgx/v5"
)

// renewals is the one connection through which a host's leases are kept. Nothing else uses it: where every commit waits for
// a lock, a healthy host must still say that it lives.
//
// It is no pool: a pool counts a connection whose statement has timed out until that has taken its leave of the server, up
// to 15 s later, and a pool of one would renew nothing meanwhile.
type renewals struct {
	target *target
	turn   chan struct{} // of one: whoever has put something in has the rest
	conn   *pgx.Conn     // nil before the first use, and after it was lost
	closed bool
	leave  sync.WaitGroup // connections that were lost
}

func newRenewals(t *target) *renewals { return &renewals{target: t, turn: make(chan struct{}, 1)} }

// with lends f the connection. Where that turns out to have been lost since the last time, f is called again with a new
// one, so it must do no harm to do it twice.
func (r *renewals) with(ctx context.Context, f func(conn *pgx.Conn) error) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.closed {
		return fmt.Errorf("%w: the store is closed", store.ErrUnavailable)
	}
	if r.conn != nil {
		err := f(r.conn)
		if err == nil || !r.lost() || ctx.Err() != nil {
			return err
		}
	}
	conn, err := r.target.connect(ctx, steady)
	if err != nil {
		return err
	}
	r.conn = conn
	err = f(conn)
	r.lost()
	return err
}

// lost reports whether the connection is of no more use, and forgets it then: it takes its leave of the server beside the
// next one.
func (r *renewals) lost() bool {
	if !r.conn.IsClosed() {
		return false
	}
	gone := r.conn.PgConn().CleanupDone()
	r.conn = nil
	r.leave.Go(func() { <-gone })
	return true
}

// close waits for a call that is under way, and until no connection is left.
func (r *renewals) close() {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	r.closed = true
	if r.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.conn.Close(ctx) // it is of no more use, however it ends
		r.conn = nil
	}
	r.leave.Wait()
}
