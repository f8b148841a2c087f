package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options say how to use a database. The zero value is a good start.
type Options struct {
	// Name is the host's name; the server shows our connections as eshost/Name.
	// Defaults to none, and then they are shown as eshost.
	Name string
	// Schema holds eshost's own tables. It is made if it is not there.
	// Defaults to eshost.
	Schema string
	// NoMigrate makes Open leave the schema as it is, and fail with store.ErrNoSchema or
	// store.ErrOldSchema where that is not enough. Defaults to false.
	NoMigrate bool
	// Events names the events table and its columns.
	// Defaults to the table that the migrations make.
	Events Mapping
	// ConnectTimeout bounds each attempt to connect. A connect_timeout in the URL goes before it.
	// Defaults to 5s.
	ConnectTimeout time.Duration
	// AppendConnections, CommitConnections and ReadConnections bound three pools, so that appends,
	// commits, and reads cannot starve one another. The host's registration has one connection
	// of its own, and so has each open Tail.
	// Default to 4, 6 and 6.
	AppendConnections, CommitConnections, ReadConnections int
}

func (o Options) withDefaults() Options {
	o.Schema = cmp.Or(o.Schema, "eshost")
	o.Events = o.Events.withDefaults(o.Schema)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 5*time.Second)
	o.AppendConnections = cmp.Or(o.AppendConnections, 4)
	o.CommitConnections = cmp.Or(o.CommitConnections, 6)
	o.ReadConnections = cmp.Or(o.ReadConnections, 6)
	return o
}

// poolerParameter is the URL's pgbouncer=true or false: whether a pooler stands between us and the server that hands
// each transaction to another of its sessions, so that nothing may be kept in one. Without it we find out.
const poolerParameter = "pgbouncer"

// pooler is what the URL says about one.
type pooler int

const (
	unknown pooler = iota
	present
	absent // or it keeps one session of the server for each of ours
)

// target is a parsed URL.
type target struct {
	config *pgxpool.Config // a template; copy before use
	pooler pooler
	found  atomic.Bool // a pooler, where the URL does not say
	sent   *sent
}

// CheckURL reports what is wrong with a URL before anybody connects. The error does not quote it.
func CheckURL(url string) error {
	_, err := parseURL(url, Options{}.withDefaults())
	return err
}

// parseURL never quotes the URL in an error: it may hold a password wherever a mistake has put it.
func parseURL(raw string, o Options) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("the store's URL is not postgres://user:password@host:port/database; special characters in a password must be percent-encoded")
	}
	query := u.Query()
	said := unknown
	if v := query.Get(poolerParameter); v != "" {
		there, err := strconv.ParseBool(v)
		if err != nil {
			return nil, fmt.Errorf("the store's URL has %s=%q, which must be true or false", poolerParameter, v)
		}
		if said = absent; there {
			said = present
		}
		// The rest stays as it is written: pgx has rules of its own for escapes.
		u.RawQuery = strings.Join(slices.DeleteFunc(strings.Split(u.RawQuery, "&"), func(parameter string) bool {
			return strings.HasPrefix(parameter, poolerParameter+"=")
		}), "&")
	}
	config, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("the store's URL is not usable: %s", withoutSecrets(withoutURL(err.Error()), u))
	}
	if _, named := query["connect_timeout"]; !named {
		config.ConnConfig.ConnectTimeout = o.ConnectTimeout
	}
	if config.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return nil, errors.New("the store's URL has default_query_exec_mode=simple_protocol, which cannot carry binary data; take it out: a pooler is found out")
	}
	counter := &sent{}
	t := &target{config: config, pooler: said, sent: counter}
	if config.ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement {
		t.pooler = present // who asks for another mode has a reason
	}
	// Every connection looks, not only the first: a URL or a name may stand for several servers, and a
	// standby lacks the newest events and documents without saying so.
	config.ConnConfig.ValidateConnect = t.look
	config.ConnConfig.RuntimeParams["application_name"] = applicationName(o.Name)
	config.ConnConfig.DialFunc = dialer(config.ConnConfig.ConnectTimeout)
	config.ConnConfig.Tracer = counter
	return t, nil
}

func applicationName(host string) string {
	name := "eshost"
	if host != "" {
		name += "/" + host
	}
	const limit = 63 // the server cuts longer ones
	return strings.ToValidUTF8(name[:min(len(name), limit)], "")
}

// withoutURL keeps the cause of: cannot parse `URL`: cause.
func withoutURL(text string) string {
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		return text[i+len("`: "):]
	}
	return text
}

// withoutSecrets removes from a text whatever the URL says is secret.
func withoutSecrets(text string, u *url.URL) string {
	var secrets []string
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password, url.QueryEscape(password), url.PathEscape(password))
	}
	for name, values := range u.Query() {
		if strings.Contains(strings.ToLower(name), "password") {
			secrets = append(secrets, values...)
		}
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "xxxxx")
		}
	}
	return text
}
