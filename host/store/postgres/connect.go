package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"eshost/host/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connect opens one connection of our own.
func (t *target) connect(ctx context.Context) (*pgx.Conn, error) {
	config := t.config.ConnConfig.Copy()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, t.explain(ctx, err)
	}
	if err := t.prepare(ctx, conn); err != nil {
		return nil, errors.Join(fail(ctx, "prepare the session", err), conn.Close(ctx))
	}
	return conn, nil
}

// pool makes a pool that connects when it is first used.
func (t *target) pool(ctx context.Context, connections int) (*pgxpool.Pool, error) {
	config := t.config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = int32(connections), 0, 0
	config.AfterConnect = t.prepare
	return pgxpool.NewWithConfig(ctx, config)
}

// prepare makes a session ours. Behind a pooler there is no session: there statements are planned
// anew each time anyway.
func (t *target) prepare(ctx context.Context, conn *pgx.Conn) error {
	if t.pooled {
		return nil
	}
	// A generic plan made while a table was empty may read all of it later; planning costs little
	// against our batches. And under any other isolation a commit that waited for another would fail
	// where it could have seen what that one did.
	_, err := conn.Exec(ctx, `SELECT set_config('plan_cache_mode', 'force_custom_plan', false), set_config('default_transaction_isolation', 'read committed', false)`)
	return err
}

// explain says why no connection came about, and who answered if it was not PostgreSQL.
func (t *target) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("connect to %s: %w", t.address(), context.Cause(ctx))
	}
	var refused *pgconn.PgError
	var dial *net.OpError
	if !errors.As(err, &refused) && !(errors.As(err, &dial) && dial.Op == "dial") {
		if said := t.foreigner(ctx); said != "" {
			return fmt.Errorf("connect to %s: %w: what answers there is not PostgreSQL (it says %q); check host and port of the store's URL",
				t.address(), store.ErrSchema, said)
		}
	}
	if refused != nil {
		return fmt.Errorf("connect to %s: %w: %s", t.address(), store.ErrUnavailable, describe(refused))
	}
	if pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("connect to %s: %w: no answer within %s", t.address(), store.ErrUnavailable, t.config.ConnConfig.ConnectTimeout)
	}
	return fmt.Errorf("connect to %s: %w: %s", t.address(), store.ErrUnavailable, describe(err))
}

// address is the server for people.
func (t *target) address() string {
	c := t.config.ConnConfig
	if strings.HasPrefix(c.Host, "/") {
		return c.Host
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

// foreigner asks for encryption as PostgreSQL clients do, which a PostgreSQL answers with one byte, S or N.
// It returns the first line of what else is said; empty if it was PostgreSQL, or nothing at all.
func (t *target) foreigner(ctx context.Context) string {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := t.config.ConnConfig
	network, address := pgconn.NetworkAddress(c.Host, c.Port)
	conn, err := c.DialFunc(ctx, network, address)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return ""
	}
	// The empty line after it makes servers of line protocols speak up.
	if _, err := conn.Write([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f\r\n\r\n")); err != nil {
		return ""
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 80)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) && line == "" || isPostgres(line) {
		return ""
	}
	return strings.TrimSpace(strings.ToValidUTF8(line, "?"))
}

// isPostgres knows a server by its S or N, after which it is confused by our empty line: it ends the
// connection, or sends an error message or a TLS alert first.
func isPostgres(answer string) bool {
	if answer == "" || answer[0] != 'S' && answer[0] != 'N' {
		return false
	}
	return len(answer) == 1 || answer[1] == 'E' || answer[1] < ' '
}
