package toolchain

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

const (
	installNode = "install Node.js 20 or later, which brings npm, from https://nodejs.org"
	leastNode   = 20 // AssemblyScript's compiler wants it
)

var nodeVersion = regexp.MustCompile(`^v(\d+)\.`)

func buildAssemblyScript(ctx context.Context, r *runner) (string, error) {
	if err := checkNode(ctx, r); err != nil {
		return "", err
	}
	manifest, err := os.ReadFile(filepath.Join(r.folder, "package.json"))
	if err != nil {
		return "", err
	}
	var declared struct{ Name string }
	if err := json.Unmarshal(manifest, &declared); err != nil {
		return "", unfit("mend the file", "%s: %s", filepath.Join(r.folder, "package.json"), err)
	}
	file, err := moduleFile(r.folder, declared.Name)
	if err != nil {
		return "", err
	}
	entry := "index.ts"
	if !has(r.folder, entry) {
		entry = "assembly/index.ts" // where asinit puts it
	}
	if !has(r.folder, entry) {
		return "", unfit("the plugin begins in index.ts", "%s has no index.ts", r.folder)
	}
	if err := installPackages(ctx, r); err != nil {
		return "", err
	}
	return file, r.run(ctx, nil, "npx", "--no", "--", "asc", entry, "--outFile", file)
}

func checkNode(ctx context.Context, r *runner) error {
	for _, tool := range []string{"node", "npm", "npx"} {
		if err := find(tool, installNode); err != nil {
			return err
		}
	}
	version, err := r.ask(ctx, nil, "node", "--version")
	if err != nil {
		return err
	}
	if m := nodeVersion.FindStringSubmatch(version); m != nil {
		if major, err := strconv.Atoi(m[1]); err == nil && major < leastNode {
			return missing(installNode, "Node.js %s is too old for AssemblyScript's compiler", version)
		}
	}
	return nil
}

// installPackages has npm fetch what package.json names, unless that was done.
func installPackages(ctx context.Context, r *runner) error {
	absolute, err := filepath.Abs(r.folder)
	if err != nil {
		return err
	}
	// In a workspace the packages may lie further up.
	for folder := absolute; ; folder = filepath.Dir(folder) {
		if isFolder(filepath.Join(folder, "node_modules", "assemblyscript")) {
			return nil
		}
		if folder == filepath.Dir(folder) {
			break
		}
	}
	how := "install"
	if has(r.folder, "package-lock.json") {
		how = "ci"
	}
	if err := r.run(ctx, nil, "npm", how, "--no-audit", "--no-fund"); err != nil {
		return fmt.Errorf("fetch the packages that package.json names: %w", err)
	}
	return nil
}
