package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A host's clock can be set only by building the host with another package time. So the product has no such
// hook: -overlay shows the compiler files that are not in the tree.
const (
	nowBefore = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	nowAfter  = nowBefore + "\tsec += wallOffset.Load()\n"
	nowMore   = "\nvar wallOffset atomic.Int64\n\n// SetWallOffset moves the wall clock by so many seconds; the monotonic clock goes on as ever.\nfunc SetWallOffset(s int64) { wallOffset.Store(s) }\n"

	// setClock is a file of the command that keeps looking at what the harness wants the clock to be.
	setClock = `package main

import (
	"os"
	"strconv"
	"time"
)

func init() {
	look := func() {
		text, err := os.ReadFile("clock")
		if err != nil {
			return
		}
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			time.SetWallOffset(n)
		}
	}
	look()
	go func() {
		for {
			time.Sleep(20 * time.Millisecond)
			look()
		}
	}()
}
`
)

// overlay writes files that take others' places in a build, and returns the flag that says so.
func overlay(folder string, files map[string]string) (flag string, err error) {
	places := map[string]string{}
	for path, content := range files {
		place := filepath.Join(folder, fmt.Sprintf("%d-%s", len(places), filepath.Base(path)))
		if err := os.WriteFile(place, []byte(content), 0o600); err != nil {
			return "", err
		}
		if path, err = filepath.Abs(path); err != nil {
			return "", err
		}
		places[path] = place
	}
	list, err := json.Marshal(map[string]any{"Replace": places})
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "overlay.json")
	return "-overlay=" + file, os.WriteFile(file, list, 0o600)
}

// clockFiles make a host whose clock can be set.
func clockFiles() (map[string]string, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	path := filepath.Join(strings.TrimSpace(string(goroot)), "src", "time", "time.go")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if strings.Count(string(text), nowBefore) != 1 {
		return nil, fmt.Errorf("%s does not begin time.Now as it did: look at it, and mend clock_test.go", path)
	}
	patched := strings.Replace(string(text), nowBefore, nowAfter, 1) + nowMore
	patched = strings.Replace(patched, "import (\n", "import (\n\t\"sync/atomic\"\n", 1)
	return map[string]string{path: patched, filepath.Join(root, "cmd", "eshost", "clock.go"): setClock}, nil
}

// clocked is the real binary, with a clock that can be set.
func clocked(t *testing.T) string {
	t.Helper()
	return built.Path(t, "clocked", func(out string) error {
		files, err := clockFiles()
		if err != nil {
			return err
		}
		return buildOver(out, files)
	})
}

// buildOver builds the command with other files in the places of some.
func buildOver(out string, files map[string]string) error {
	folder, err := os.MkdirTemp(filepath.Dir(out), "overlay-")
	if err != nil {
		return err
	}
	flag, err := overlay(folder, files)
	if err != nil {
		return err
	}
	return goBuild(out, flag)
}

// jumpClock sets a host's clock by up to an hour forward or back, for good.
func jumpClock(_ context.Context, w *world, f fault) error {
	seconds := f.n%7200 - 3600
	w.note("the clock of h%d is %d seconds off", f.node+1, seconds)
	path := filepath.Join(w.nodes[f.node].dir, "clock")
	if err := os.WriteFile(path+".new", []byte(strconv.Itoa(seconds)), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// TestClockCanBeSet holds the patch to the Go that builds: one that does nothing would prove nothing.
func TestClockCanBeSet(t *testing.T) {
	t.Parallel()
	files, err := clockFiles()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("ESHOST_TORTURE_CLOCK") == "" {
		t.Skip("building the whole of Go's library anew takes minutes: ESHOST_TORTURE_CLOCK=1, which make torture sets, does it")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "main.go")
	delete(files, filepath.Join(root, "cmd", "eshost", "clock.go"))
	text := "package main\n\nimport (\n\t\"fmt\"\n\t\"time\"\n)\n\nfunc main() {\n\ta := time.Now()\n\ttime.SetWallOffset(-3000)\n\tb := time.Now()\n\tfmt.Print(b.Unix()-a.Unix() < -2900, b.Sub(a) >= 0)\n}\n"
	if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	flag, err := overlay(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "run", flag, program).CombinedOutput()
	if err != nil || string(out) != "true true" {
		t.Errorf("the wall clock must go back and the monotonic one must not: %v %s", err, out)
	}
}
