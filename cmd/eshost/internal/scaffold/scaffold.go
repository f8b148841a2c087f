// Package scaffold makes new projects: a plugin that builds, with its tests and its SDK. What lies in shared and in the
// language's folder goes into the project; a file NAME.tmpl is a template of NAME.
package scaffold

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"eshost/sdk"
)

//go:embed all:shared all:assemblyscript all:rust all:go
var templates embed.FS

// sdkFolder is where a project has its copy of the SDK.
const sdkFolder = "eshost-sdk"

// Project is a project to be made.
type Project struct {
	Language string // of Languages
	Name     string // of the plugin, its module and its folder: see CheckName
}

// ErrExists is matched by the error of Make when something of that name is there.
var ErrExists = errors.New("is there already")

// Make makes the project's folder below parent. Either the whole project is there afterwards or nothing is. A folder
// that is there must be empty. It returns the project's files, slash-separated, in the order in which they were written.
func (p Project) Make(parent string) (files []string, err error) {
	folder := filepath.Join(parent, p.Name)
	if err := vacant(folder); err != nil {
		return nil, err
	}
	// Beside the folder it shall be, so that a rename takes it there. The folder inside has the usual permissions.
	beside, err := os.MkdirTemp(parent, "."+p.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the project: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(beside)) }()
	w := &writer{project: p, folder: filepath.Join(beside, p.Name)}
	if err := w.writeAll(); err != nil {
		return nil, fmt.Errorf("write the project: %w", err)
	}
	// An empty folder gives way. One that has been filled meanwhile cannot be removed.
	if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("make room for the project: %w", err)
	}
	if err := os.Rename(w.folder, folder); err != nil {
		return nil, fmt.Errorf("put the project in its place: %w", err)
	}
	return w.files, nil
}

// vacant reports whether a project may be put there.
func vacant(folder string) error {
	info, err := os.Lstat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s %w", folder, ErrExists)
	}
	entries, err := os.ReadDir(folder)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("the folder %s %w, and is not empty", folder, ErrExists)
	}
	return err
}

// HostsTOML is the section of a hosts.toml that declares the plugin. module is the path of its module from there.
func (p Project) HostsTOML(module string) string {
	return fmt.Sprintf("[plugins.%s]\nmodule = %q\nevents = [\"Greeted\"]\nallow = [\"state\", \"log\"]\n", p.Name, module)
}

// writer writes a project's files.
type writer struct {
	project Project
	folder  string
	files   []string
}

func (w *writer) writeAll() error {
	for _, from := range []string{"shared", w.project.Language} {
		sub, err := fs.Sub(templates, from)
		if err != nil {
			return err
		}
		err = fs.WalkDir(sub, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := fs.ReadFile(sub, name)
			if err != nil {
				return err
			}
			return w.instantiate(name, content)
		})
		if err != nil {
			return err
		}
	}
	return w.copySDK()
}

func (w *writer) instantiate(name string, content []byte) error {
	if plain, ok := strings.CutSuffix(name, ".tmpl"); ok {
		filled, err := w.project.fill(string(content))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		name, content = plain, filled
	}
	return w.write(name, content)
}

func (p Project) fill(text string) ([]byte, error) {
	t, err := template.New("").Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, p)
	return out.Bytes(), err
}

func (w *writer) write(name string, content []byte) error {
	path := filepath.Join(w.folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	w.files = append(w.files, name)
	return os.WriteFile(path, content, 0o666)
}

// outside matches a link from an SDK's README to another place of this repository.
var outside = regexp.MustCompile(`\[([^][]*)\]\(\.\./[^)]*\)`)

// copySDK writes the SDK as one that stands alone.
func (w *writer) copySDK() error {
	err := sdk.Copy(w.project.Language, func(name string, content []byte) error {
		switch name {
		case "README.md":
			content = outside.ReplaceAll(content, []byte("$1"))
		case "package.json":
			var err error
			if content, err = withoutDevelopment(content); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return w.write(sdkFolder+"/"+name, content)
	})
	if err == nil && w.project.Language == "go" {
		err = w.write(sdkFolder+"/go.mod", []byte("module eshost/sdk/go\n\ngo 1.24\n"))
	}
	return err
}

// withoutDevelopment leaves out of a package.json what only those who work on the package need.
func withoutDevelopment(manifest []byte) ([]byte, error) {
	var members map[string]any
	if err := json.Unmarshal(manifest, &members); err != nil {
		return nil, err
	}
	delete(members, "scripts")
	delete(members, "devDependencies")
	text, err := json.MarshalIndent(members, "", "  ")
	return append(text, '\n'), err
}
