package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	info, _ := os.Lstat(link)
	if err != nil || string(content) != "new" || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("got %q, %v, link %v", content, err, info.Mode())
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	if err := replaceFile(filepath.Join(dir, "fresh"), nil); err != nil {
		t.Error(err)
	}
	if err := replaceFile(dir, nil); err == nil {
		t.Error("a folder was replaced")
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 {
		t.Errorf("left behind: %v", left)
	}
}

// TestEmittedAreAligned holds a report of differences to the ones there are: one more event is one difference.
func TestEmittedAreAligned(t *testing.T) {
	t.Parallel()
	list := func(types ...string) *expectation {
		x := new(expectation)
		for _, name := range types {
			x.emitted = append(x.emitted, trialEmitted{Stream: "s", Type: name})
		}
		return x
	}
	for _, c := range []struct {
		got, want *expectation
		diffs     []string
	}{
		{list("a", "b"), list("a", "b"), nil},
		{list("a", "b", "c"), list("a", "c"), []string{"unexpected 2"}},
		{list("b"), list("a", "b"), []string{"missing 1"}},
		{list("a", "x", "c"), list("a", "b", "c"), []string{"differs 2"}},
		{list(), list("a", "b"), []string{"missing 1", "missing 2"}},
		{list("a", "a"), list("a"), []string{"unexpected 2"}},
	} {
		var diffs []string
		for _, d := range c.got.differences(c.want) {
			diffs = append(diffs, fmt.Sprint(d.Kind, " ", d.Number))
		}
		if !slices.Equal(diffs, c.diffs) {
			t.Errorf("%v against %v: got %v, want %v", c.got.emitted, c.want.emitted, diffs, c.diffs)
		}
	}
}

// TestProbeIsBuiltFromItsSource keeps the committed module honest where the tool is at hand.
func TestProbeIsBuiltFromItsSource(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Skip("wat2wasm (package wabt) is not installed")
	}
	out := filepath.Join(t.TempDir(), "probe.wasm")
	if text, err := exec.Command(tool, "--debug-names", "testdata/module/probe.wat", "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	built, _ := os.ReadFile(out)
	committed, err := os.ReadFile("testdata/module/probe.wasm")
	if err != nil || !bytes.Equal(built, committed) {
		t.Errorf("probe.wasm is not what probe.wat makes (%v): wat2wasm --debug-names", err)
	}
}
