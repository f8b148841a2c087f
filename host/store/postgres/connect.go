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

// session is how the planner is set for a connection's statements. JIT never pays for ours, and a
// planner that avoids something at all cost would turn it on.
type session string

const (
	// steady suits statements that find every row by an index, and run so often that planning counts:
	// the plan is kept. A plan made while a table was empty must not read all of it later.
	steady session = `SELECT set_config('jit', 'off', false), set_config('enable_seqscan', 'off', false), ` + bounded
	// fresh suits statements that read much, and whose best plan depends on what they ask for.
	fresh session = `SELECT set_config('jit', 'off', false), set_config('plan_cache_mode', 'force_custom_plan', false), ` + bounded
	// bounded ends a wait for a lock, preparing a statement included, and has the server find out in half
	// a minute that we are gone: a commit that was half sent would keep its locks for two hours.
	bounded = `set_config('lock_timeout', '10s', false), set_config('tcp_keepalives_idle', '15', false),
set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false),
set_config('tcp_user_timeout', '30000', false), set_config('default_transaction_isolation', 'read committed', false)`
)

var errStandby = fmt.Errorf("%w: the server is a hot standby, where nothing can be written and the locks of writers cannot be seen; name the primary in the store's URL", store.ErrUnavailable)

// errPooled ends a connection of a host whose URL has begun to lead to a pooler while it ran: the connection was set
// up for one session, and the next will be set up for none.
var errPooled = fmt.Errorf("%w: a pooler has come between this host and the server; the next connection is made for that", store.ErrUnavailable)

// look refuses a connection to a standby, and finds out whether a pooler answers for the server: a server introduces
// itself with the number of the process that runs our statements, a pooler with one of its own. What a new
// connection cannot be asked is for the next statement to find out.
func (t *target) look(ctx context.Context, conn *pgconn.PgConn) error {
	r := conn.ExecParams(ctx, "SELECT pg_is_in_recovery(), pg_backend_pid()", nil, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) != 1 || len(r.Rows[0]) != 2 {
		return nil
	}
	if string(r.Rows[0][0]) == "t" {
		return errStandby
	}
	if t.pooler == unknown && string(r.Rows[0][1]) != strconv.FormatUint(uint64(conn.PID()), 10) {
		t.found.Store(true)
	}
	return nil
}

// pooled reports whether consecutive statements may reach different sessions of the server.
func (t *target) pooled() bool { return t.pooler == present || t.found.Load() }

// mode decides how statements are sent. What is prepared in one session is not there in the next.
func (t *target) mode(_ context.Context, config *pgx.ConnConfig) error {
	if t.pooled() && config.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return nil
}

// connect opens one connection of our own.
func (t *target) connect(ctx context.Context, as session) (*pgx.Conn, error) {
	conn, err := t.connectOnce(ctx, as)
	if errors.Is(err, errPooled) {
		conn, err = t.connectOnce(ctx, as)
	}
	return conn, err
}

func (t *target) connectOnce(ctx context.Context, as session) (*pgx.Conn, error) {
	config := t.config.ConnConfig.Copy()
	if err := t.mode(ctx, config); err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, t.explain(ctx, err)
	}
	if err := t.prepare(ctx, conn, as); err != nil {
		return nil, errors.Join(fail(ctx, "prepare the session", err), conn.Close(ctx))
	}
	return conn, nil
}

// pool makes a pool that connects when it is first used.
func (t *target) pool(ctx context.Context, connections int, as session) (*pgxpool.Pool, error) {
	config := t.config.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = int32(connections), 0, 0
	config.BeforeConnect = t.mode
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { return t.prepare(ctx, conn, as) }
	return pgxpool.NewWithConfig(ctx, config)
}

// prepare sets up a session. Behind a pooler there is none: there each statement is planned anew anyway.
func (t *target) prepare(ctx context.Context, conn *pgx.Conn, as session) error {
	if !t.pooled() {
		_, err := conn.Exec(ctx, string(as))
		return err
	}
	if conn.Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		return errPooled
	}
	return nil
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
	if errors.Is(err, errStandby) {
		return fmt.Errorf("connect to %s: %w", t.address(), errStandby)
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
