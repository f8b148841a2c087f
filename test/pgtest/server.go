package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say how a server runs.
type Options struct {
	// Fsync makes commits wait for the disk, as they do in production.
	// Defaults to false.
	Fsync bool
	// Settings are further lines of postgresql.conf, such as {"shared_buffers": "512MB"}.
	// Defaults to none.
	Settings map[string]string
}

// Server is a PostgreSQL server that this process owns.
type Server struct {
	bin      string
	dir      string // holds data/, password and log
	account  account
	port     int
	password string
	conf     []string // name=value

	mu      sync.Mutex
	process *process // its last run; the watchdog outlives the server
	running bool
}

// Start makes a new server in a temporary folder and waits until it answers. Close removes it.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, password: rand.Text(), conf: configuration(o)}
	if s.account, err = findAccount(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "eshost-postgres-"); err != nil {
		return nil, fmt.Errorf("make the server's folder: %w", err)
	}
	if err := s.init(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func configuration(o Options) []string {
	settings := map[string]string{
		"listen_addresses":          "127.0.0.1",
		"unix_socket_directories":   "",
		"max_connections":           "200",
		"max_prepared_transactions": "64",
		"logging_collector":         "off",
		"log_min_messages":          "warning",
	}
	if !o.Fsync {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, o.Settings)
	var conf []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		conf = append(conf, name+"="+settings[name])
	}
	return conf
}

// init creates the database cluster. Passwords are checked with md5, which takes no time: tests connect
// thousands of times, and scram would be most of what they do.
func (s *Server) init(ctx context.Context) error {
	passwordFile := filepath.Join(s.dir, "password")
	if err := os.WriteFile(passwordFile, []byte(s.password), 0o600); err != nil {
		return fmt.Errorf("write the server's password: %w", err)
	}
	for _, path := range []string{s.dir, passwordFile} {
		if err := os.Chown(path, s.account.uid, s.account.gid); err != nil {
			return fmt.Errorf("hand the server its folder: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"),
		"--pgdata", s.Data(), "--username", "postgres", "--pwfile", passwordFile,
		"--auth", "md5", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	cmd.Dir = s.dir
	cmd.Env = s.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.account.credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// Data is the folder of the server's data, where a test may put a file while the server is stopped.
func (s *Server) Data() string { return filepath.Join(s.dir, "data") }

func (s *Server) log() string { return filepath.Join(s.dir, "log") }

// environment keeps PG… variables of the caller from reaching the server's programs.
func (s *Server) environment() []string {
	return []string{"PATH=" + s.bin + ":" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=" + s.dir}
}

// Command is one of the programs that come with the server, such as pg_dump.
func (s *Server) Command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Env = s.environment()
	return cmd
}

// URL is the server's maintenance database, as its superuser.
func (s *Server) URL() string { return s.url("postgres") }

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", s.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Start starts a stopped server, on the port it had before. A running one is left alone.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return nil
	}
	const attempts = 5 // someone may take the free port before the server does
	for i := 1; ; i++ {
		if s.port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			s.port = port
		}
		if err := s.launchAnew(); err != nil {
			return err
		}
		err := s.ready(ctx)
		if err == nil {
			s.running = true
			return nil
		}
		err = errors.Join(err, s.process.signal("QUIT"))
		if strings.Contains(s.Log(), "Address already in use") && i < attempts {
			s.port = 0
			continue
		}
		return fmt.Errorf("start postgres: %w\n%s", err, s.logTail())
	}
}

// launchAnew replaces the last run, which has ended, by a new one.
func (s *Server) launchAnew() error {
	p, err := s.launch()
	if err != nil {
		return err
	}
	if s.process != nil {
		err = s.process.leave()
	}
	s.process = p
	return err
}

// ready waits until the server answers or is gone.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.process.done:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", err)
		case <-tick.C:
		}
	}
}

// Stop shuts the server down and keeps its data. Open connections are broken off.
func (s *Server) Stop() error { return s.stop("INT") }

// Crash ends the server without a shutdown: it recovers from its log at the next Start.
func (s *Server) Crash() error { return s.stop("QUIT") }

func (s *Server) stop(signal string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return nil
	}
	s.running = false
	return s.process.signal(signal)
}

// Close stops the server and removes its folder.
func (s *Server) Close() error {
	err := s.Crash()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		err = errors.Join(err, s.process.leave())
		s.process = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Log is what the server has logged since its last start.
func (s *Server) Log() string {
	log, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// logTail is the end of the server's log, for error messages.
func (s *Server) logTail() string { return strings.TrimSpace(tailOf(s.log(), 2<<10)) }

// tailOf is the end of a file, or why it cannot be read.
func tailOf(path string, most int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
