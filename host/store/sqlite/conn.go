package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// conn is one connection and its prepared statements. One goroutine uses it at a time.
//
// It speaks to the driver without database/sql in between, which would cost a lock, a goroutine and
// several allocations a row, and whose pool knows nothing of one writer and many readers.
type conn struct {
	raw   driver.Conn
	stmts map[string]driver.Stmt
	args  []driver.NamedValue
	ran   *atomic.Uint64 // statements, of the store's connections together
}

// row is one result row. Its values are of the types INTEGER, REAL, TEXT, BLOB or NULL.
type row []driver.Value

// prepared returns a statement that is about to be run.
func (c *conn) prepared(sql string) (driver.Stmt, error) {
	c.ran.Add(1)
	if st, ok := c.stmts[sql]; ok {
		return st, nil
	}
	st, err := c.raw.Prepare(sql)
	if err == nil {
		c.stmts[sql] = st
	}
	return st, err
}

// exec runs one statement. No statement is interrupted: none waits for a lock (see Store.await), and
// what reads much does so in steps.
func (c *conn) exec(sql string, args ...driver.Value) (driver.Result, error) {
	st, err := c.prepared(sql)
	if err != nil {
		return nil, err
	}
	return st.(driver.StmtExecContext).ExecContext(context.Background(), c.named(args))
}

// query runs one statement and calls each with every row, which is valid only during the call. The
// context is looked at between rows.
func (c *conn) query(ctx context.Context, each func(row) error, sql string, args ...driver.Value) (err error) {
	st, err := c.prepared(sql)
	if err != nil {
		return err
	}
	rows, err := st.(driver.StmtQueryContext).QueryContext(context.Background(), c.named(args))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	r := make(row, len(rows.Columns()))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := rows.Next(r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

// one runs a query that gives at most one row and reports whether it did.
func (c *conn) one(scan func(row), sql string, args ...driver.Value) (bool, error) {
	found := false
	err := c.query(context.Background(), func(r row) error { found = true; scan(r); return nil }, sql, args...)
	return found, err
}

// script runs several statements that take no arguments.
func (c *conn) script(sql string) error {
	st, err := c.raw.Prepare(sql)
	if err != nil {
		return err
	}
	_, err = st.(driver.StmtExecContext).ExecContext(context.Background(), nil)
	return errors.Join(err, st.Close())
}

func (c *conn) named(args []driver.Value) []driver.NamedValue {
	c.args = c.args[:0]
	for i, v := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args
}

func (c *conn) close() error {
	var errs []error
	for _, st := range c.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, c.raw.Close())...)
}

func (r row) int(i int) int64 {
	n, _ := r[i].(int64)
	return n
}

func (r row) float(i int) float64 {
	f, _ := r[i].(float64)
	return f
}

func (r row) text(i int) string {
	switch v := r[i].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

func (r row) bytes(i int) []byte {
	switch v := r[i].(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}

// time is the zero time for NULL.
func (r row) time(i int) time.Time {
	if r[i] == nil {
		return time.Time{}
	}
	return time.UnixMicro(r.int(i)).UTC()
}

func (r row) duration(i int) time.Duration { return time.Duration(r.int(i)) * time.Microsecond }

// micros is how times are stored: NULL for the zero time.
func micros(t time.Time) driver.Value {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// pool lends a fixed number of connections, which it opens when they are first needed.
type pool struct {
	open   func(context.Context) (*conn, error)
	slots  chan *conn // a nil is a connection that is not open
	closed chan struct{}
}

var errClosed = errors.New("the store is closed")

func newPool(size int, open func(context.Context) (*conn, error)) *pool {
	p := &pool{open: open, slots: make(chan *conn, size), closed: make(chan struct{})}
	for range size {
		p.slots <- nil
	}
	return p
}

// with lends f a connection. A connection that f leaves broken is closed.
func (p *pool) with(ctx context.Context, f func(*conn) (broken bool, err error)) error {
	var c *conn
	select {
	case <-p.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	case c = <-p.slots:
	}
	broken := true // if f panics
	defer func() {
		if broken && c != nil {
			c.close() // what went wrong is in f's error
			c = nil
		}
		p.slots <- c
	}()
	if c == nil {
		var err error
		if c, err = p.open(ctx); err != nil {
			return fmt.Errorf("open a connection: %w", err)
		}
	}
	var err error
	broken, err = f(c)
	return err
}

// close waits for every connection to come back and closes it.
func (p *pool) close() error {
	close(p.closed)
	var errs []error
	for range cap(p.slots) {
		if c := <-p.slots; c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}
