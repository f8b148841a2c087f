package sandbox

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBinary gives the real binary what could hurt it most while it loads: each command ends by itself, with the exit code for
// wrong input, a sentence that says what is wrong, and a hint.
func TestBinary(t *testing.T) {
	binary := eshost(t)
	for _, c := range refusals(t) {
		if c.group != 1 && c.group != 2 && c.group != 8 && c.group != 17 && !strings.Contains(c.name, "v2") && !strings.Contains(c.name, "two") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, "sqlite:"+filepath.Join(t.TempDir(), "events.db"), module{"bad", c.wasm, c.more})
			commands := [][]string{{"check", "bad.wasm"}}
			if c.group <= 2 {
				commands = append(commands, []string{"run"})
			}
			for _, command := range commands {
				code, out := execute(t, dir, binary, command...)
				if code != 2 {
					t.Errorf("eshost %v: exit code %d, want 2\n%s", command, code, out)
				}
				for _, text := range append(c.says, "bad.wasm", "\nhint: ") {
					if !strings.Contains(out, text) {
						t.Errorf("eshost %v does not say %q:\n%s", command, text, out)
					}
				}
				if strings.Contains(out, "goroutine ") || strings.ContainsAny(out, "\x00\x1b") {
					t.Errorf("eshost %v says\n%q", command, out)
				}
			}
		})
	}
}

func execute(t *testing.T, dir, binary string, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}
