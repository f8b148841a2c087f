// Package sdk carries the sources of the SDKs inside the binary, so that a new project needs neither a checkout of this
// repository nor a published package.
package sdk

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed go/*.go go/typed go/README.md
//go:embed rust/src rust/Cargo.toml rust/rustfmt.toml rust/README.md
//go:embed assemblyscript/assembly assemblyscript/*.ts assemblyscript/*.js assemblyscript/package.json
//go:embed assemblyscript/asconfig.json assemblyscript/README.md
var files embed.FS

// Copy hands out the files of an SDK (assemblyscript, rust or go) that a plugin is written, built and tested with, by
// their slash-separated paths in the SDK's folder. The SDK's own tests are not among them.
func Copy(language string, write func(path string, content []byte) error) error {
	sub, err := fs.Sub(files, language)
	if err != nil {
		return fmt.Errorf("find the SDK for %s: %w", language, err)
	}
	return fs.WalkDir(sub, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || isTest(name) {
			return err
		}
		content, err := fs.ReadFile(sub, name)
		if err != nil {
			return err
		}
		return write(name, content)
	})
}

// isTest knows the tests of the SDKs that lie among their sources; they need the rest of the repository.
func isTest(name string) bool {
	return strings.HasSuffix(name, "_test.go") || path.Base(name) == "golden.rs"
}
