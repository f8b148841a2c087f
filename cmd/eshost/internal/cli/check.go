package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"eshost/abi"
	"eshost/host"
	"eshost/host/config"
)

func (a *app) checkCommand() *cobra.Command {
	var memory string
	c := a.command(&cobra.Command{
		Use:   "check MODULE",
		Short: "Say whether a host would run a module, and what it needs",
		Long: `check loads a module as a host would, without running it: its digest and size, what metering adds to it,
the imports and the grants they need in a plugin's allow, exports, memory and tables. A module that a
host would refuse is refused here with the same words. A host has each plugin's limits; here --memory
stands for limits.memory.`,
		Example: `  eshost check plugins/examples/balances/rust/balances.wasm
  eshost check balances.wasm --json | jq .grants
  eshost check balances.wasm --memory 128MiB`,
		ValidArgsFunction: completeModule,
	}, func(ctx context.Context, args []string) error { return a.check(ctx, args[0], memory) })
	c.Flags().StringVar(&memory, "memory", "", `the plugin's limits.memory, such as "64MiB" (default hosts.toml's default, 32MiB)`)
	a.jsonFlag(c)
	return c
}

func completeModule(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"wasm"}, cobra.ShellCompDirectiveFilterFileExt
}

// moduleReport is what check prints as JSON. Sizes are in bytes; a maximum of 0 is the host's own.
type moduleReport struct {
	Module      string          `json:"module"`
	Digest      string          `json:"digest"`
	ABI         string          `json:"abi"`
	Size        int             `json:"size"`
	MeteredSize int             `json:"metered_size"`
	Functions   int             `json:"functions"`
	Checks      int             `json:"metering_checks"` // places in the code
	Language    string          `json:"language,omitempty"`
	Toolchain   string          `json:"toolchain,omitempty"`
	Manifest    *moduleManifest `json:"manifest"`
	Grants      []string        `json:"grants"`
	MinMemory   uint64          `json:"min_memory"`
	MaxMemory   uint64          `json:"max_memory"`
	MinTable    uint64          `json:"min_table"` // entries
	MaxTable    uint64          `json:"max_table"`
	Imports     []moduleImport  `json:"imports"`
	Exports     []string        `json:"exports"`
}

// moduleImport is a function that the module imports, and the grant it needs, if any.
type moduleImport struct {
	Function string `json:"function"`
	Grant    string `json:"grant,omitempty"`
}

type moduleManifest struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Events      []string `json:"events"`
	Collections []string `json:"collections"`
}

func (a *app) check(ctx context.Context, file, memory string) error {
	var limit int64 // the default
	if memory != "" {
		var err error
		if limit, err = config.ParseMemory(memory); err != nil {
			return badInput(helpHint("check"), "--memory %w", err)
		}
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return badInput("name the path of a .wasm file", "%s is a folder", file)
	}
	m, err := host.CheckModule(ctx, file, limit)
	if err != nil {
		return err
	}
	r := &moduleReport{
		Module:      file,
		Digest:      m.Digest,
		ABI:         abi.Module,
		Size:        m.Size,
		MeteredSize: m.MeteredSize,
		Functions:   m.Functions,
		Checks:      m.Checks,
		Language:    m.Language,
		Toolchain:   m.Toolchain,
		Grants:      list(m.Grants),
		MinMemory:   m.MinMemory,
		MaxMemory:   m.MaxMemory,
		MinTable:    m.MinTable,
		MaxTable:    m.MaxTable,
		Imports:     []moduleImport{},
		Exports:     list(m.Exports),
	}
	for _, name := range m.Imports {
		r.Imports = append(r.Imports, moduleImport{name, m.Needs[name]})
	}
	if m.Manifest != nil {
		r.Manifest = &moduleManifest{m.Manifest.Name, m.Manifest.Version, list(m.Manifest.Events), list(m.Manifest.Collections)}
	}
	if a.json {
		return writeJSON(a.out, r)
	}
	return a.printModule(r)
}

// list is never null in JSON.
func list(s []string) []string { return append([]string{}, s...) }

func (a *app) printModule(r *moduleReport) error {
	t := newTable(a.out)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	row("module", "%s", r.Module)
	row("digest", "sha256:%s", r.Digest)
	row("abi", "%s", r.ABI)
	row("size", "%d bytes", r.Size)
	row("metering", "%d checks in %s, %+.0f%% code (%d bytes)", r.Checks, plural(r.Functions, "function"),
		100*(float64(r.MeteredSize)/float64(r.Size)-1), r.MeteredSize)
	if r.Language != "" || r.Toolchain != "" {
		row("made by", "%s", strings.TrimSpace(r.Language+" "+r.Toolchain))
	}
	if m := r.Manifest; m != nil {
		row("manifest", "%s %s, events %s, collections %s", cmp.Or(m.Name, "(no name)"), m.Version, words(m.Events), words(m.Collections))
	}
	row("grants", "%s", words(r.Grants))
	row("memory", "%s", extent(r.MinMemory>>10, r.MaxMemory>>10, "KiB"))
	row("tables", "%s", extent(r.MinTable, r.MaxTable, "entries"))
	row("imports", "%s", words(imports(r.Imports)))
	row("exports", "%s", words(r.Exports))
	return t.Flush()
}

// imports names each function with its grant: "eshost_v1.emit (emit)".
func imports(all []moduleImport) []string {
	var names []string
	for _, i := range all {
		if i.Grant != "" {
			i.Function += " (" + i.Grant + ")"
		}
		names = append(names, i.Function)
	}
	return names
}

func words(s []string) string { return cmp.Or(strings.Join(s, ", "), "none") }

func extent(least, most uint64, unit string) string {
	if most == 0 {
		return fmt.Sprintf("%d %s, growing as far as the host allows", least, unit)
	}
	return fmt.Sprintf("%d %s, growing to %d %s", least, unit, most, unit)
}
