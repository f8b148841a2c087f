package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
	"eshost/test/pgtest"
)

func TestMain(m *testing.M) {
	testscript.Main(withServer{m}, map[string]func(){"eshost": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// withServer stops the PostgreSQL server of the tests after them.
type withServer struct{ m *testing.M }

func (w withServer) Run() int { return pgtest.Main(w.m) }

// TestScripts runs testdata/script: each file is a session with the real program.
func TestScripts(t *testing.T) {
	t.Parallel()
	example, err := filepath.Abs("../../../../plugins/examples/balances")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs("testdata/module")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("EXAMPLE", example)
			program, err := exec.LookPath("eshost")
			env.Setenv("ESHOST", program) // for scripts without a PATH
			env.Setenv("MODULES", modules)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exit": exit, "seed": seed},
	})
}

// exit is: exit CODE COMMAND…. It runs a command that must end with that code.
func exit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = err.Error()[len("exit status "):]
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// seeded is one line of a seed file: what a host would have written for a plugin.
type seeded struct {
	Plugin    string
	Position  event.Position
	Host      string // owns the plugin
	HostTTL   time.Duration
	Documents []event.DocumentWrite
	Sequences []store.Sequence
	Queue     []store.QueuedEvent
	Condition *store.Condition
	Digest    string
}

// seed is: seed DATABASE FILE. It writes a plugin's state through the store, as a host does.
func seed(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	s, err := host.OpenStore(ctx, "sqlite:"+ts.MkAbs(args[0]), "test")
	ts.Check(err)
	defer s.Close()
	for lines := bufio.NewScanner(bytes.NewBufferString(ts.ReadFile(args[1]))); lines.Scan(); {
		var p seeded
		ts.Check(json.Unmarshal(lines.Bytes(), &p))
		ts.Check(writeSeed(ctx, s, p))
	}
}

func writeSeed(ctx context.Context, s store.Store, p seeded) error {
	owner := store.Host{ID: "id-of-" + p.Host, Name: p.Host, StartedAt: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	if err := s.RegisterHost(ctx, owner, time.Hour); err != nil {
		return err
	}
	g, err := s.EnsurePlugin(ctx, p.Plugin, 0, 1, "stream")
	if err != nil {
		return err
	}
	l, err := s.Acquire(ctx, g.ID, owner.ID)
	if err != nil {
		return err
	}
	if err := s.Commit(ctx, store.Commit{Generation: g.ID, Owner: owner.ID, Epoch: l.Epoch, Expected: l.Position, Position: p.Position, Digest: p.Digest,
		Documents: p.Documents, Sequences: p.Sequences, Queue: p.Queue}); err != nil {
		return err
	}
	if p.Condition != nil {
		if err := s.SetCondition(ctx, g.ID, l.Epoch, *p.Condition); err != nil {
			return err
		}
	}
	switch {
	case p.Host == "":
		return s.RemoveHost(ctx, owner.ID)
	case p.HostTTL > 0: // shorter than what was needed above
		return s.RegisterHost(ctx, owner, p.HostTTL)
	}
	return nil
}
