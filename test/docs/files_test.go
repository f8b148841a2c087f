package docs

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fence = regexp.MustCompile("(?ms)^```.*?^```")
)

// TestLinks follows every link of a document to another file of the repository.
func TestLinks(t *testing.T) {
	t.Parallel()
	links := 0
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, found := range link.FindAllStringSubmatch(fence.ReplaceAllString(read(t, name), ""), -1) {
			to, _, _ := strings.Cut(found[1], "#")
			if to == "" || strings.Contains(to, "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(root, path.Dir(name), to)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, found[1])
			}
		}
	}
	if links == 0 {
		t.Error("no document has a link")
	}
}

// unwanted is what no file of the repository may hold: what is true on one machine only.
var unwanted = []struct{ what, pattern string }{
	{"a path of one machine", `(^|[\s"'=(:\x60])/(work|root)/`},
	{"a path of somebody's home", `/home/(?:[^y]|y[^o])[a-z]*/`},
	{"the address a package was downloaded from", `"resolved": "https?:`},
	{"the host of a registry", `registry\.npmjs|proxy\.golang|sum\.golang|static\.crates|index\.crates|deb\.debian|security\.debian|snapshot\.debian|pypi\.org`},
	{"the name of a writing tool", `(?i)\b(claude|anthropic|openai|chatgpt|copilot)\b`},
}

// TestFilesFitAnyMachine looks for what should not have been committed.
func TestFilesFitAnyMachine(t *testing.T) {
	t.Parallel()
	for _, u := range unwanted {
		pattern := regexp.MustCompile(u.pattern)
		for _, name := range files(t) {
			if name == "test/docs/files_test.go" {
				continue
			}
			if content := read(t, name); isText([]byte(content)) {
				for i, line := range strings.Split(content, "\n") {
					if pattern.MatchString(line) {
						t.Errorf("%s:%d: %s: %s", name, i+1, u.what, line)
					}
				}
			}
		}
	}
}

// committed are the modules that are kept with their sources; all others are built.
var committed = regexp.MustCompile(`^(plugins/examples/[a-z]+/(assemblyscript|rust)/[a-z]+\.wasm|.*/testdata/.*\.wasm)$`)

// TestNothingBuiltIsCommitted keeps the repository to sources and small modules.
func TestNothingBuiltIsCommitted(t *testing.T) {
	t.Parallel()
	const most = 512 << 10
	for _, name := range files(t) {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > most {
			t.Errorf("%s has %d bytes: too large to be a source", name, info.Size())
		}
		if strings.HasSuffix(name, ".wasm") && !committed.MatchString(name) {
			t.Errorf("%s is built, not written", name)
		}
	}
}
