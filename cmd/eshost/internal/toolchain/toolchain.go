// Package toolchain builds a plugin's project with the tools of its language: it finds out which language that is, looks
// whether its tools are there, runs them, and says what it runs, so that anybody can do the same without it.
package toolchain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	// ErrProject is matched by errors about a folder that holds no project that can be built.
	ErrProject = errors.New("no project")
	// ErrMissing is matched by errors about a folder or a tool that is not there, or is too old.
	ErrMissing = errors.New("missing tool")
	// ErrFailed is matched when a tool ran and failed. It has said why.
	ErrFailed = errors.New("failed tool")
)

// Error is why a project was not built.
type Error struct {
	kind error // one of the above
	text string
	hint string
}

func (e *Error) Error() string { return e.text }

// Hint says what to do next.
func (e *Error) Hint() string { return e.hint }

func (e *Error) Unwrap() error { return e.kind }

func unfit(hint, format string, args ...any) error {
	return &Error{ErrProject, fmt.Sprintf(format, args...), hint}
}

func missing(hint, format string, args ...any) error {
	return &Error{ErrMissing, fmt.Sprintf(format, args...), hint}
}

// Module is what was built.
type Module struct {
	Path     string
	Language string
	Commands []string // that were run, for a shell
}

// builder builds the project of one language. It returns the path of the module from the project's folder.
type builder func(ctx context.Context, r *runner) (string, error)

// languages are recognised by files that a project of theirs has, all of them.
var languages = []struct {
	name  string
	files []string
	build builder
}{
	{"assemblyscript", []string{"package.json", "asconfig.json"}, buildAssemblyScript},
	{"rust", []string{"Cargo.toml"}, buildRust},
	{"go", []string{"go.mod"}, buildGo},
}

const wanted = "a project has package.json and asconfig.json (AssemblyScript), Cargo.toml (Rust) or go.mod (Go)"

// Build builds the project in a folder. What it runs and what that prints goes to out.
func Build(ctx context.Context, folder string, out io.Writer) (*Module, error) {
	name, build, err := recognise(folder)
	if err != nil {
		return nil, err
	}
	r := &runner{folder: folder, out: out}
	module, err := build(ctx, r)
	if err != nil {
		return nil, err
	}
	return &Module{Path: filepath.Join(folder, module), Language: name, Commands: r.commands}, nil
}

func recognise(folder string) (name string, build builder, err error) {
	const hint = "name the folder of the project"
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, missing(hint, "there is no folder %s", folder)
	case err != nil:
		return "", nil, err
	case !info.IsDir():
		return "", nil, unfit(hint, "%s is not a folder", folder)
	}
	var found []string
	for _, l := range languages {
		if hasAll(folder, l.files) {
			found = append(found, strings.Join(l.files, " and "))
			name, build = l.name, l.build
		}
	}
	switch len(found) {
	case 1:
		return name, build, nil
	case 0:
		return name, build, hardly(folder)
	default:
		return "", nil, unfit("give each language a folder of its own", "%s holds more than one project: %s", folder, strings.Join(found, "; "))
	}
}

func hasAll(folder string, files []string) bool {
	for _, file := range files {
		if !has(folder, file) {
			return false
		}
	}
	return true
}

func has(folder, file string) bool {
	info, err := os.Stat(filepath.Join(folder, file))
	return err == nil && info.Mode().IsRegular()
}

// hardly says why a folder is no project, if it nearly is one.
func hardly(folder string) error {
	switch {
	case has(folder, "asconfig.json"):
		return unfit("run there: npm init -y", "%s has an asconfig.json but no package.json", folder)
	case has(folder, "package.json"):
		return unfit(`AssemblyScript with the SDK has an asconfig.json: { "extends": "eshost/asconfig.json" }`,
			"%s has a package.json but no asconfig.json", folder)
	}
	if sources, err := filepath.Glob(filepath.Join(escape(folder), "*.go")); err == nil && len(sources) > 0 {
		return unfit("run there: go mod init NAME", "%s has Go files but no go.mod", folder)
	}
	return unfit(wanted+"; eshost new makes one", "%s holds no project that eshost can build", folder)
}

// escape quotes what a pattern of filepath.Glob takes for more than itself.
func escape(path string) string { return special.ReplaceAllString(path, `\$0`) }

var special = regexp.MustCompile(`[*?[\\]`)

var fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// moduleFile is the name of the file to build: NAME.wasm, where NAME is the last part of the name that the project has
// by its own files, or its folder's.
func moduleFile(folder, declared string) (string, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	last := func(name string) string {
		name = name[strings.LastIndexByte(name, '/')+1:]
		if !fileName.MatchString(name) {
			return ""
		}
		return name
	}
	return cmp.Or(last(declared), last(filepath.ToSlash(absolute)), "plugin") + ".wasm", nil
}
