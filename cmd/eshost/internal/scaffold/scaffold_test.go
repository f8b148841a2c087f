package scaffold

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingIsLeftOfAFailure fails in the middle: there is no such language, which shows after the shared files.
func TestNothingIsLeftOfAFailure(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	if files, err := (Project{Language: "cobol", Name: "greeter"}).Make(parent); err == nil {
		t.Errorf("made %q", files)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestProjectsAreComplete holds a project to what is said of it: its files are there, and of the SDK's own tests none is.
func TestProjectsAreComplete(t *testing.T) {
	t.Parallel()
	for _, language := range Languages() {
		parent := t.TempDir()
		files, err := Project{Language: language, Name: "greeter"}.Make(parent)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(filepath.Join(parent, "greeter", file))
			if err != nil {
				t.Error(err)
			}
			if strings.HasSuffix(file, ".tmpl") || strings.Contains(string(content), "{{.") {
				t.Errorf("%s: %s was not filled in", language, file)
			}
			if sdk, ok := strings.CutPrefix(file, sdkFolder+"/"); ok && (isTestFile(sdk) || strings.Contains(string(content), "](../")) {
				t.Errorf("%s: %s has no use outside of this repository", language, file)
			}
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) != 1 {
			t.Errorf("beside the project: %v, %v", left, err)
		}
	}
}

func isTestFile(name string) bool {
	return strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".test.js") || strings.HasPrefix(name, "test/") ||
		strings.HasPrefix(name, "tests/") || strings.HasSuffix(name, "golden.rs")
}
