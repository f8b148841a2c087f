package test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// mayImport says for each package, or for each below a folder that ends in "/", what of this module it may
// import: packages, or folders that end in "/". The first entry that fits counts. Everything not named may
// import nothing of the module.
var mayImport = []struct {
	packages string
	of       []string
}{
	{"eshost/cmd/eshost/internal/scaffold/go", []string{"eshost/sdk/go", "eshost/sdk/go/typed"}}, // a template
	{"eshost/cmd/", []string{"eshost/cmd/eshost/internal/", "eshost/host", "eshost/host/bank", "eshost/host/bench", "eshost/host/config",
		"eshost/host/event", "eshost/host/eventjson", "eshost/host/store", "eshost/abi", "eshost/plugins/examples", "eshost/sdk", "eshost/test/pgtest"}},
	{"eshost/host/internal/", []string{"eshost/host/store", "eshost/host/event", "eshost/host/eventjson", "eshost/abi"}}, // neither each other nor a driver
	{"eshost/host/store/", []string{"eshost/host/store", "eshost/host/event"}},
	{"eshost/host/store", []string{"eshost/host/event"}},
	{"eshost/host/event", nil},
	{"eshost/host/eventjson", []string{"eshost/host/store", "eshost/host/event"}},
	{"eshost/host/bank", []string{"eshost/host/store", "eshost/host/event"}},
	{"eshost/host/config", []string{"eshost/host/store/", "eshost/host/event", "eshost/abi"}},
	{"eshost/host/bench/guests/go", []string{"eshost/sdk/go", "eshost/sdk/go/typed"}},
	{"eshost/host/bench", []string{"eshost/host", "eshost/host/bank", "eshost/host/config", "eshost/host/event", "eshost/host/store", "eshost/host/internal/", "eshost/abi"}},
	{"eshost/host", []string{"eshost/host/config", "eshost/host/internal/", "eshost/host/store", "eshost/host/store/", "eshost/host/event", "eshost/host/eventjson"}},
	{"eshost/abi/abitest/cmd/abitest", []string{"eshost/abi/abitest", "eshost/host/event"}},
	{"eshost/abi/abitest", []string{"eshost/abi", "eshost/host/event"}},
	{"eshost/abi", []string{"eshost/host/event"}},
	{"eshost/sdk/go/typed", []string{"eshost/sdk/go"}},
	{"eshost/plugins/examples/", []string{"eshost/sdk/go", "eshost/sdk/go/typed"}},
	{"eshost/test/guests/", []string{"eshost/sdk/go"}},
}

// TestSDKForGoStandsAlone holds sdk/go to the standard library: it is copied into the projects of its users, who shall not
// get what the host needs.
func TestSDKForGoStandsAlone(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{nil, {"GOOS=wasip1", "GOARCH=wasm"}} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./sdk/go")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if got := string(out); got != "eshost/sdk/go\n" {
			t.Errorf("%v: sdk/go needs more than the standard library:\n%s", env, got)
		}
	}
}

// TestPackagesDependDownwards holds the packages to the directions of ARCHITECTURE.md.
func TestPackagesDependDownwards(t *testing.T) {
	t.Parallel()
	checked := map[string]bool{}
	for _, p := range packages(t) {
		if name := path.Base(p.ImportPath); slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc"}, name) {
			t.Errorf("package %s: its name does not say what it is for", p.ImportPath)
		}
		allowed := []string(nil)
		if i := slices.IndexFunc(mayImport, func(m struct {
			packages string
			of       []string
		}) bool {
			return within(p.ImportPath, m.packages)
		}); i >= 0 {
			allowed, checked[mayImport[i].packages] = mayImport[i].of, true
		}
		for _, imported := range p.Imports {
			if within(imported, "eshost/") && !slices.ContainsFunc(allowed, func(a string) bool { return within(imported, a) }) {
				t.Errorf("%s imports %s; it may import %v", p.ImportPath, imported, allowed)
			}
		}
	}
	for _, m := range mayImport {
		if !checked[m.packages] {
			t.Errorf("there is no package %s any more", m.packages)
		}
	}
}

// within reports whether a package is the named one, or below the named folder.
func within(importPath, name string) bool {
	return importPath == name || strings.HasSuffix(name, "/") && strings.HasPrefix(importPath, name)
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

// packages lists the module's packages with what they import outside of their tests.
func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}
