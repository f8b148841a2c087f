package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"eshost/cmd/eshost/internal/scaffold"
	"eshost/cmd/eshost/internal/toolchain"
)

func (a *app) newCommand() *cobra.Command {
	var language string
	c := a.command(&cobra.Command{
		Use:   "new NAME",
		Short: "Make a project for a plugin in AssemblyScript, Rust or Go",
		Long: `new makes the folder NAME with a small plugin in it that builds: a handler, its tests, sample events, and
a copy of the language's SDK, so that the project needs nothing of this machine but the language's tools.
It prints the lines that declare the plugin in a hosts.toml, and what to do next.

NAME becomes the name of the folder, the plugin and the module: 1 to 63 characters of a-z, 0-9, _ and -,
of which the first is a letter. A folder of that name must be empty.`,
		Example: `  eshost new --lang go greeter
  eshost new --lang assemblyscript greeter
  eshost new --lang rust greeter --json | jq -r '.next[]'`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(_ context.Context, args []string) error { return a.newProject(language, args[0]) })
	c.Flags().StringVar(&language, "lang", "", "the language: "+strings.Join(scaffold.Languages(), ", ")+" (required)")
	a.jsonFlag(c)
	if err := c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions(scaffold.Languages(), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is defined above
	}
	return c
}

// projectReport is what new prints as JSON.
type projectReport struct {
	Project   string   `json:"project"` // the folder
	Language  string   `json:"language"`
	Files     []string `json:"files"` // in the folder
	HostsTOML string   `json:"hosts_toml"`
	Next      []string `json:"next"` // commands
}

func (a *app) newProject(language, name string) error {
	known := scaffold.Languages()
	choice := fmt.Sprintf("such as --lang %s; there are %s", known[0], words(known))
	if language == "" {
		return badInput(choice, "new needs --lang")
	}
	spoken, ok := scaffold.ParseLanguage(language)
	if !ok {
		return badInput(suggestion(language, known, "such as --lang "+known[0]), "there is no SDK for %q, only for %s", language, words(known))
	}
	if err := scaffold.CheckName(name); err != nil {
		hint := "such as: eshost new --lang " + spoken + " greeter"
		if similar := scaffold.SimilarName(name); similar != "" {
			hint = fmt.Sprintf("did you mean %s?", similar)
		}
		return badInput(hint, "%w", err)
	}
	p := scaffold.Project{Language: spoken, Name: name}
	files, err := p.Make(".")
	switch {
	case errors.Is(err, scaffold.ErrExists):
		return badInput("choose another name, or remove it", "%w", err)
	case err != nil:
		return err
	}
	module := name + "/" + name + ".wasm"
	return a.printProject(&projectReport{
		Project:   name,
		Language:  spoken,
		Files:     files,
		HostsTOML: p.HostsTOML(module),
		Next: []string{
			program() + " build " + name,
			fmt.Sprintf("%s test %s --events %s/events.ndjson --expect %[3]s/expected.ndjson", program(), module, name),
		},
	})
}

// program is how this program was called, for a shell.
func program() string { return toolchain.Quote(os.Args[0]) }

func (a *app) printProject(r *projectReport) error {
	if a.json {
		return writeJSON(a.out, r)
	}
	_, err := fmt.Fprintf(a.out, `made %[1]s, a plugin in %[2]s; %[1]s/README.md says what is where

For a hosts.toml in this folder:

%[3]s
Next:

  %[4]s
`, r.Project, scaffold.DisplayName(r.Language), r.HostsTOML, strings.Join(r.Next, "\n  "))
	return err
}
