package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standby starts a second server that follows this one, and has this one wait for it in every commit: what
// is committed here is on the standby's disk. It is a server like any other: close it.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	f := &Server{bin: s.bin, account: s.account, password: s.password, conf: s.conf}
	var err error
	if f.dir, err = os.MkdirTemp("", "eshost-postgres-"); err != nil {
		return nil, fmt.Errorf("make the standby's folder: %w", err)
	}
	if err := os.Chown(f.dir, s.account.uid, s.account.gid); err != nil {
		return nil, errors.Join(fmt.Errorf("hand the standby its folder: %w", err), os.RemoveAll(f.dir))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "pg_basebackup"), "--pgdata", f.Data(), "--host", "127.0.0.1",
		"--port", strconv.Itoa(s.port), "--username", "postgres", "--write-recovery-conf", "--checkpoint", "fast", "--no-sync")
	cmd.Dir = f.dir
	cmd.Env = append(s.environment(), "PGPASSWORD="+s.password)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.account.credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("pg_basebackup: %w\n%s", err, out), os.RemoveAll(f.dir))
	}
	if err := f.Start(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := s.follow(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// follow waits until a standby receives everything, and makes commits wait for it from then on.
func (s *Server) follow(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return fmt.Errorf("connect to the primary: %w", err)
	}
	defer conn.Close(ctx)
	for _, sql := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make the standby a synchronous one: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'").Scan(&n)
		if err != nil {
			return fmt.Errorf("wait for the standby: %w", err)
		}
		if n > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the standby does not become a synchronous one")
		case <-tick.C:
		}
	}
}

// Promote makes a standby a primary, whose server must be gone, and returns when it takes writes.
func (s *Server) Promote(ctx context.Context) error {
	if err := execute(ctx, s.URL(), "SELECT pg_promote(true, 60)"); err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	return nil
}

// Address is where the server listens.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }
