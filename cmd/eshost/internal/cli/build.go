package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"eshost/cmd/eshost/internal/toolchain"
	"eshost/host"
)

func (a *app) buildCommand() *cobra.Command {
	c := a.command(&cobra.Command{
		Use:   "build [FOLDER]",
		Short: "Compile a plugin's project with its language's own tools",
		Long: `build compiles the project in FOLDER, or in the current folder: AssemblyScript where there are package.json
and asconfig.json, Rust where there is Cargo.toml, Go where there is go.mod. It says which commands it runs,
so that a build without it is no secret, and shows what they print. They are the language's own tools: asc
by npx, after npm has fetched the packages if that was not done; cargo; go.

The module is put in FOLDER as NAME.wasm, where NAME is the project's own name, and is checked as eshost check
does: what is printed is a module that a host takes.`,
		Example: `  eshost build
  eshost build greeter
  eshost build greeter --json | jq -r .commands[]`,
		ValidArgsFunction: completeFolder,
	}, func(ctx context.Context, args []string) error {
		folder := "."
		if len(args) > 0 {
			folder = args[0]
		}
		return a.build(ctx, folder)
	})
	a.jsonFlag(c)
	return c
}

func completeFolder(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// buildReport is what build prints as JSON. The size is in bytes.
type buildReport struct {
	Module   string   `json:"module"`
	Size     int      `json:"size"`
	Digest   string   `json:"digest"`
	Language string   `json:"language"`
	Commands []string `json:"commands"`
}

func (a *app) build(ctx context.Context, folder string) error {
	built, err := toolchain.Build(ctx, folder, a.err)
	switch {
	case errors.Is(err, toolchain.ErrProject):
		return badInput("", "%w", err)
	case errors.Is(err, toolchain.ErrMissing):
		return missing("", "%w", err)
	case errors.Is(err, toolchain.ErrFailed):
		return failed("what it printed above says why", "%w", err)
	case err != nil:
		return fmt.Errorf("build %s: %w", folder, err)
	}
	checked, err := host.CheckModule(ctx, built.Path, 0)
	if err != nil {
		return err
	}
	r := &buildReport{Module: built.Path, Size: checked.Size, Digest: checked.Digest, Language: built.Language, Commands: built.Commands}
	if a.json {
		return writeJSON(a.out, r)
	}
	t := newTable(a.out)
	fmt.Fprintf(t, "module\t%s\nsize\t%d bytes\ndigest\tsha256:%s\n", printable(r.Module), r.Size, r.Digest)
	return t.Flush()
}
