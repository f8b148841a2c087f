package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"eshost/host/config"
)

// app is one run of the command line: its streams, and what its flags say.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string

	configFile string
	storeURL   string
	json       bool
	// started says that the arguments were understood: an error from then on is no wrong use.
	started bool
	// warned says that people know what is wrong with sections of hosts.toml.
	warned bool
}

// Main runs one command and returns the exit code. When ctx ends the command stops as soon as what it
// does allows.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{in: stdin, out: stdout, err: stderr, getenv: os.Getenv}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = a.misuse(root, args, err)
	}
	if err != nil {
		report(stderr, err)
	}
	return codeOf(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "eshost",
		Short: "Run event-store subscribers as sandboxed WebAssembly modules",
		Long: `eshost runs the subscribers of an event store, the plugins, as sandboxed WebAssembly modules.
hosts.toml says which, and where the events are. Every command but run works beside a running host
and without one.

Exit codes: 0 done, 1 failed, 2 wrong use or wrong input, 3 something it needs is missing.`,
		Example: `  eshost run
  eshost append events.ndjson
  eshost read balances balances acc-ada
  eshost status`,
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true, // misuse makes them
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "path of hosts.toml (environment: ESHOST_CONFIG; default hosts.toml)")
	flags.StringVar(&a.storeURL, "store", "", "database to use instead of hosts.toml's: sqlite:PATH or postgres://…")
	if err := root.MarkPersistentFlagFilename("config", "toml"); err != nil {
		panic(err) // the flag is defined above
	}
	root.AddCommand(
		a.withoutStore(a.demoCommand()),
		a.runCommand(),
		a.reloadCommand(),
		a.appendCommand(),
		a.eventsCommand(),
		a.statusCommand(),
		a.healthCommand(),
		a.waitCommand(),
		a.readCommand(),
		a.rebuildCommand(),
		a.recoverCommand(),
		a.diffCommand(),
		a.projectCommand(),
		a.parkedCommand(),
		a.pauseCommand(),
		a.resumeCommand(),
		a.withoutStore(a.newCommand()),
		a.withoutStore(a.buildCommand()),
		a.withoutStore(a.checkCommand()),
		a.testCommand(),
		a.benchCommand(),
		a.withoutStore(a.versionCommand()),
	)
	return root
}

// command finishes a command: its flags' help, its arguments by name, and what it does.
func (a *app) command(c *cobra.Command, run func(ctx context.Context, args []string) error) *cobra.Command {
	words := strings.Fields(c.Use)[1:]
	c.Args = func(_ *cobra.Command, args []string) error {
		return checkArgs(strings.TrimPrefix(c.CommandPath(), "eshost "), words, args)
	}
	c.DisableFlagsInUseLine = true
	c.RunE = func(c *cobra.Command, args []string) error {
		a.started = true
		return run(c.Context(), args)
	}
	return c
}

// withoutStore makes a command refuse the flags it has no use for.
func (a *app) withoutStore(c *cobra.Command) *cobra.Command {
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if a.configFile != "" || a.storeURL != "" {
			return badInput(helpHint(c.Name()), "%s uses neither hosts.toml nor its database: leave out --config and --store", c.Name())
		}
		return run(c, args)
	}
	return c
}

// checkArgs holds the arguments to the usage line, where [WORD] may be left out.
func checkArgs(command string, words, args []string) error {
	if len(args) > len(words) {
		return badInput(helpHint(command), "%s does not take %q", command, args[len(words)])
	}
	for _, word := range words[len(args):] {
		if !strings.HasPrefix(word, "[") {
			return badInput(helpHint(command), "%s needs %s", command, word)
		}
	}
	return nil
}

func helpHint(command string) string { return fmt.Sprintf("run: eshost %s --help", command) }

func (a *app) jsonFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.json, "json", false, "print JSON")
}

// misuse explains an error of the argument parser.
func (a *app) misuse(root *cobra.Command, args []string, err error) error {
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	if rest, ok := strings.CutPrefix(err.Error(), "unknown command "); ok {
		quoted, _ := strconv.QuotedPrefix(rest)
		name, _ := strconv.Unquote(quoted)
		return badInput(suggestion(name, commandNames(root), "run: eshost --help"), "unknown command %q", name)
	}
	used := root
	if found, _, err := root.Find(args); err == nil {
		used = found
	}
	hint := fmt.Sprintf("run: %s --help", used.CommandPath())
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		name := "--" + unknown.GetSpecifiedName()
		return badInput(suggestion(name, flagNames(used), hint), "%s has no flag %s", used.CommandPath(), name)
	}
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		return badInput(hint, "--%s must be %s, is %q", value.GetFlag().Name, kindOfValue(value.GetFlag().Value.Type()), value.GetValue())
	}
	return badInput(hint, "%w", err)
}

// kindOfValue is what a flag of that type takes, in words.
func kindOfValue(flagType string) string {
	switch flagType {
	case "int", "int64":
		return "a whole number"
	case "duration":
		return `a duration such as "30s"`
	case "bool":
		return "true or false"
	}
	return "a " + flagType
}

func suggestion(name string, known []string, otherwise string) string {
	if near := config.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return otherwise
}

func commandNames(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

func flagNames(c *cobra.Command) []string {
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return names
}
