package toolchain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	rustTarget  = "wasm32-unknown-unknown"
	addTarget   = "rustup target add " + rustTarget
	installRust = "install Rust from https://rustup.rs, then run: " + addTarget
	// Debian's Rust has no such target, but its source, from which cargo can build it.
	debianRust = "or on Debian: apt-get install rustc-web cargo-web rust-web-src lld"
)

func buildRust(ctx context.Context, r *runner) (string, error) {
	for _, tool := range []string{"cargo", "rustc"} {
		if err := find(tool, installRust); err != nil {
			return "", err
		}
	}
	crate, err := readCrate(ctx, r)
	if err != nil {
		return "", err
	}
	env, flags, err := rustStandardLibrary(ctx, r, crate)
	if err != nil {
		return "", err
	}
	file, err := moduleFile(r.folder, crate.name)
	if err != nil {
		return "", err
	}
	if err := r.run(ctx, env, "cargo", append([]string{"build", "--release", "--target", rustTarget}, flags...)...); err != nil {
		return "", err
	}
	built := filepath.Join(crate.target, rustTarget, "release", strings.ReplaceAll(crate.library, "-", "_")+".wasm")
	r.say(commandLine(r.folder, nil, "cp", []string{r.relative(built), file}))
	return file, copyModule(built, filepath.Join(r.folder, file))
}

// rustStandardLibrary says what cargo needs to be told to have a standard library for WebAssembly: nothing, mostly.
func rustStandardLibrary(ctx context.Context, r *runner, c *crate) (env, flags []string, err error) {
	installed, err := r.ask(ctx, nil, "rustc", "--print", "target-libdir", "--target", rustTarget)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, err
		}
		return nil, nil, missing(installRust, "%s", err)
	}
	if isFolder(installed) {
		return nil, nil, nil
	}
	if _, err := exec.LookPath("rustup"); err == nil {
		return nil, nil, missing("run: "+addTarget, "Rust's target %s is not installed", rustTarget)
	}
	return rustFromSource(ctx, r, c)
}

// rustFromSource has cargo build the standard library, where a package manager has put its source. This needs a switch
// that is meant for compilers in the making, since no other Rust has it.
func rustFromSource(ctx context.Context, r *runner, c *crate) (env, flags []string, err error) {
	sysroot, err := r.ask(ctx, nil, "rustc", "--print", "sysroot")
	if err != nil {
		return nil, nil, err
	}
	library := filepath.Join(sysroot, "lib", "rustlib", "src", "rust", "library")
	if !isFolder(library) {
		return nil, nil, missing(installRust+"\n"+debianRust, "this Rust has no target %s, and is not from rustup, which could add it", rustTarget)
	}
	if err := find("wasm-ld", "install lld, on Debian: apt-get install lld"); err != nil {
		return nil, nil, err
	}
	env = []string{"RUSTC_BOOTSTRAP=1", "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld"}
	flags = []string{"-Zbuild-std=std,panic_abort"}
	if vendor := filepath.Join(library, "vendor"); isFolder(vendor) && !c.registry {
		// What the standard library needs lies beside it: no network is needed.
		flags = append(flags, "--config", `source.crates-io.replace-with="vendored"`, "--config", fmt.Sprintf("source.vendored.directory=%q", vendor))
	}
	return env, flags, nil
}

// crate is the package of a project.
type crate struct {
	name    string
	library string // its cdylib
	target  string // folder of what cargo makes
	// registry says that it has dependencies from a registry.
	registry bool
}

func readCrate(ctx context.Context, r *runner) (*crate, error) {
	text, err := r.ask(ctx, nil, "cargo", "metadata", "--no-deps", "--format-version", "1")
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &Error{ErrFailed, err.Error(), ""}
	}
	var metadata struct {
		TargetDirectory string `json:"target_directory"`
		Packages        []struct {
			Name         string
			ManifestPath string `json:"manifest_path"`
			Dependencies []struct{ Source *string }
			Targets      []struct {
				Name       string
				CrateTypes []string `json:"crate_types"`
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &metadata); err != nil {
		return nil, fmt.Errorf("read what cargo metadata says: %w", err)
	}
	for _, p := range metadata.Packages {
		if !sameFile(p.ManifestPath, filepath.Join(r.folder, "Cargo.toml")) {
			continue
		}
		for _, t := range p.Targets {
			if slices.Contains(t.CrateTypes, "cdylib") {
				registry := slices.ContainsFunc(p.Dependencies, func(d struct{ Source *string }) bool { return d.Source != nil })
				return &crate{name: p.Name, library: t.Name, target: metadata.TargetDirectory, registry: registry}, nil
			}
		}
		return nil, unfit(`add to its Cargo.toml: [lib] crate-type = ["cdylib", "rlib"]`, "the crate %s is no cdylib, which is what becomes a module", p.Name)
	}
	return nil, unfit("name the folder of one of its members", "%s is a workspace without a package of its own", filepath.Join(r.folder, "Cargo.toml"))
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// copyModule puts a module in its place as a whole.
func copyModule(from, to string) error {
	wasm, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("take what cargo built: %w", err)
	}
	beside := to + ".new"
	if err := os.WriteFile(beside, wasm, 0o666); err != nil {
		return fmt.Errorf("write the module: %w", err)
	}
	if err := os.Rename(beside, to); err != nil {
		return fmt.Errorf("write the module: %w", errors.Join(err, os.Remove(beside)))
	}
	return nil
}
