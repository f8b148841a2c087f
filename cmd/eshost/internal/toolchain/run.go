package toolchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// stopTime is how long a tool may take to stop when it is interrupted.
const stopTime = 5 * time.Second

// runner runs tools in a project's folder.
type runner struct {
	folder   string
	out      io.Writer
	commands []string
}

// run runs a tool that changes something: it prints the command, and what the command prints.
func (r *runner) run(ctx context.Context, env []string, tool string, args ...string) error {
	r.say(commandLine(r.folder, env, tool, args))
	cmd := r.command(ctx, env, tool, args)
	cmd.Stdout, cmd.Stderr = r.out, r.out
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &Error{ErrFailed, fmt.Sprintf("%s: %s", called(tool, args), exit), ""}
	}
	return err
}

// called is a command's short name, such as go build.
func called(tool string, args []string) string {
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			return tool + " " + arg
		}
	}
	return tool
}

// say tells a command that is about to be carried out.
func (r *runner) say(line string) {
	r.commands = append(r.commands, line)
	fmt.Fprintln(r.out, "running:", line)
}

// relative is a path from the project's folder, if it leads into it.
func (r *runner) relative(path string) string {
	folder, err := filepath.Abs(r.folder)
	if err != nil {
		return path
	}
	if within, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(within) {
		return within
	}
	return path
}

// ask runs a tool that only answers. An answer that is an error comes with what the tool said.
func (r *runner) ask(ctx context.Context, env []string, tool string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := r.command(ctx, env, tool, args)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", tool, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

func (r *runner) command(ctx context.Context, env []string, tool string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = r.folder
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopTime
	return cmd
}

// find fails where a tool cannot be run.
func find(tool, hint string) error {
	if _, err := exec.LookPath(tool); err != nil {
		return missing(hint, "%s was not found", tool)
	}
	return nil
}

// commandLine is what to type to do the same.
func commandLine(folder string, env []string, tool string, args []string) string {
	var words []string
	if folder != "." {
		words = append(words, "cd", Quote(folder), "&&")
	}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		words = append(words, name+"="+Quote(value))
	}
	words = append(words, tool)
	for _, arg := range args {
		words = append(words, Quote(arg))
	}
	return strings.Join(words, " ")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+-]+$`)

// Quote writes a word so that a shell reads it as that word.
func Quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
