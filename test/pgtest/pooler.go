package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoPooler is returned when this machine has no PgBouncer to start.
var ErrNoPooler = errors.New("PgBouncer is not installed: install it (Debian, Ubuntu: apt-get install pgbouncer; macOS: brew install pgbouncer)")

// Pooler is a PgBouncer that this process owns.
type Pooler struct {
	dir     string
	account account
	address string
	pipe    *os.File // its end is the pooler's
	done    chan struct{}
}

// poolerWatchdog runs the pooler ("$@") until the pipe from the process that owns it ends, and removes its folder.
const poolerWatchdog = `
exec 3<&0
"$@" </dev/null 3<&- &
read -r _ <&3
kill -s TERM $!
wait $!
rm -rf "$DIR"
`

// StartPooler starts a PgBouncer in transaction mode before a server, whose databases it has under their own names.
// The settings are further lines of pgbouncer.ini. Who connects to it is taken for the URL's user.
func StartPooler(ctx context.Context, serverURL string, settings map[string]string) (*Pooler, error) {
	binary, err := findPooler()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(serverURL)
	if err != nil {
		return nil, errors.New("the server's URL is none")
	}
	const attempts = 5 // someone may take the free port before the pooler does
	for i := 1; ; i++ {
		p, err := startPooler(ctx, binary, u, settings)
		if err == nil || i == attempts || !strings.Contains(err.Error(), "in use") {
			return p, err
		}
	}
}

func startPooler(ctx context.Context, binary string, server *url.URL, settings map[string]string) (_ *Pooler, err error) {
	p := &Pooler{done: make(chan struct{})}
	if p.account, err = findAccount(); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if p.dir, err = os.MkdirTemp("", "eshost-pgbouncer-"); err != nil {
		return nil, fmt.Errorf("make the pooler's folder: %w", err)
	}
	file := filepath.Join(p.dir, "pgbouncer.ini")
	err = errors.Join(
		os.WriteFile(file, []byte(poolerConfiguration(server, port, settings)), 0o600),
		os.Chown(file, p.account.uid, p.account.gid), os.Chown(p.dir, p.account.uid, p.account.gid))
	if err == nil {
		err = p.launch(binary, file)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	if err := p.ready(ctx, server); err != nil {
		return nil, errors.Join(fmt.Errorf("start pgbouncer: %w\n%s", err, p.Log()), p.Close())
	}
	return p, nil
}

func poolerConfiguration(server *url.URL, port int, more map[string]string) string {
	password, _ := server.User.Password()
	settings := map[string]string{
		"listen_addr": "127.0.0.1", "listen_port": strconv.Itoa(port), "unix_socket_dir": "",
		"pool_mode": "transaction", "auth_type": "any", "max_client_conn": "500", "default_pool_size": "20",
	}
	maps.Copy(settings, more)
	var ini strings.Builder
	fmt.Fprintf(&ini, "[databases]\n* = host=%s port=%s user=%s password=%s\n[pgbouncer]\n",
		server.Hostname(), server.Port(), server.User.Username(), password)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&ini, "%s = %s\n", name, settings[name])
	}
	return ini.String()
}

func (p *Pooler) launch(binary, file string) error {
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the pooler's log: %w", err)
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the watchdog's pipe: %w", err)
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", poolerWatchdog, "watchdog", binary, file)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "DIR=" + p.dir}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.account.credential}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start pgbouncer: %w", err), write.Close())
	}
	p.pipe = write
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how a pooler that is no longer wanted ends does not matter
	}()
	return nil
}

func (p *Pooler) ready(ctx context.Context, server *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, p.before(server))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", err)
		case <-tick.C:
			if strings.Contains(p.Log(), "in use") {
				return errors.New("the port is in use")
			}
		}
	}
}

// URL leads to a database of the server, which is given by the URL without the pooler.
func (p *Pooler) URL(database string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", errors.New("the database's URL is none")
	}
	return p.before(u), nil
}

func (p *Pooler) before(server *url.URL) string {
	u := *server
	u.Host = p.address
	return u.String()
}

// Close ends the pooler and removes its folder.
func (p *Pooler) Close() error {
	err := p.pipe.Close()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		err = errors.Join(err, errors.New("pgbouncer does not stop"))
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

func (p *Pooler) log() string { return filepath.Join(p.dir, "log") }

// Log is what the pooler has logged, or the end of it.
func (p *Pooler) Log() string { return tailOf(p.log(), 64<<10) }

func findPooler() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	const debian = "/usr/sbin/pgbouncer" // not in everybody's PATH
	if path, err := exec.LookPath(debian); err == nil {
		return path, nil
	}
	return "", ErrNoPooler
}

// Pooled makes a fresh, empty database on the shared server, and starts a PgBouncer of the test's own before it. It
// returns the URL through the pooler, and the one that leads straight to the server.
func Pooled(t T, settings map[string]string) (pooled, direct string) {
	t.Helper()
	direct = Database(t)
	p, err := StartPooler(context.Background(), direct, settings)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	if pooled, err = p.URL(direct); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return pooled, direct
}
