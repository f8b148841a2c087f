package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/sqlite"
)

// The tests of this file run the test binary again as another process.
const childEnv = "ESHOST_SQLITE_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		if err := child(job, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child does a job on a database file. It prints the id of each event it was told is stored.
func child(job, file string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, file, sqlite.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	for i := 0; job == "append for ever" || job == "append" && i < 100; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		// Two events a request, in two streams: both or none.
		err := s.Append(ctx, []store.AppendRequest{{Streams: []store.StreamAppend{
			{Stream: "a", Expected: store.AnyVersion, Events: []store.NewEvent{{ID: id, Type: "T", Data: bytes.Repeat([]byte("x"), i%5000)}}},
			{Stream: "b", Expected: store.AnyVersion, Events: []store.NewEvent{{ID: id + "'", Type: "T"}}},
		}}})[0].Err
		if err != nil {
			return err
		}
		fmt.Println(id)
	}
	return nil
}

func childCommand(t *testing.T, job, file string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], file)
	cmd.Env = append(os.Environ(), childEnv+"="+job)
	return cmd
}

// TestProcesses: several processes make and fill one database while a tail follows it.
func TestProcesses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "es.db")
	const processes = 3
	type result struct {
		out []byte
		err error
	}
	results := make(chan result)
	for range processes {
		go func() {
			out, err := childCommand(t, "append", file).Output()
			results <- result{out, err}
		}()
	}
	s := open(t, file, sqlite.Options{})
	tail := s.Tail(0)
	defer tail.Close()

	var got []event.Event
	var mark event.Position
	follow := func() {
		state, err := tail.Poll(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		events := state.Events
		if !state.Complete {
			b, err := s.Read(t.Context(), store.ReadOptions{After: mark, UpTo: state.Watermark, Limit: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			events = b.Events
		}
		got, mark = append(got, events...), state.Watermark
	}
	var answered []string
	for running := processes; running > 0; {
		select {
		case r := <-results:
			if r.err != nil {
				var exit *exec.ExitError
				errors.As(r.err, &exit)
				t.Errorf("a process failed: %v %s", r.err, exit.Stderr)
			}
			answered = append(answered, strings.Fields(string(r.out))...)
			running--
		default:
			follow()
		}
	}
	follow()
	seen := map[string]bool{}
	versions := map[string]int64{}
	for i, e := range got {
		if seen[e.ID] || e.Version != versions[e.Stream]+1 || i > 0 && e.Position <= got[i-1].Position {
			t.Fatalf("event %d of the tail: %+v (seen %v, version before %d)", i, e, seen[e.ID], versions[e.Stream])
		}
		seen[e.ID], versions[e.Stream] = true, e.Version
	}
	for _, id := range answered {
		if !seen[id] || !seen[id+"'"] {
			t.Errorf("event %s was answered and is lost", id)
		}
	}
	if len(answered) != processes*100 || len(seen) != 2*len(answered) {
		t.Errorf("%d events were answered, the tail saw %d", len(answered), len(seen))
	}
}

// TestKilled: what was answered survives kill -9, and no request is stored in part.
func TestKilled(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "es.db")
	answered := map[string]bool{}
	for round := range 5 {
		cmd := childCommand(t, "append for ever", file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			answered[lines.Text()] = true
			if n == 20+round*7 {
				cmd.Process.Kill() // and read on what it had said before
			}
		}
		cmd.Wait()
	}
	if len(answered) < 5*20 {
		t.Fatalf("the processes stored only %d requests", len(answered))
	}
	s := open(t, file, sqlite.Options{})
	b, err := s.Read(t.Context(), store.ReadOptions{UpTo: 1 << 40, Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	versions := map[string]int64{}
	for _, e := range b.Events {
		if versions[e.Stream]++; e.Version != versions[e.Stream] {
			t.Errorf("event %s has version %d, want %d", e.ID, e.Version, versions[e.Stream])
		}
		stored[e.ID] = true
	}
	for id := range answered {
		if !stored[id] {
			t.Errorf("event %s was answered and is lost", id)
		}
	}
	for id := range stored {
		if whole := strings.TrimSuffix(id, "'"); !stored[whole] || !stored[whole+"'"] {
			t.Errorf("of a request only %s is stored", id)
		}
	}
}
