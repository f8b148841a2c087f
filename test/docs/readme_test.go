package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host"
	"eshost/host/config"
	"eshost/test/pgtest"
)

// TestReadmeCommands runs each README from top to bottom as one person would in one terminal, on a fresh copy of
// the repository, and compares what is printed with what is shown.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"README.md",
		"docs/operations.md",
		"plugins/examples/orders/README.md",
		"plugins/examples/signups/README.md",
		"plugins/examples/fulfilment/README.md",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runReadme(t, name)
		})
	}
}

func runReadme(t *testing.T, name string) {
	t.Helper()
	folder := clone(t)
	script, commands := transcript(t, name, folder)
	printed := runScript(t, name, folder, script)

	for i, c := range commands {
		_, rest, began := strings.Cut(printed, mark(i, "begins")+"\n")
		output, rest, ended := strings.Cut(rest, mark(i, "ends with "))
		if !began || !ended {
			t.Fatalf("%s:%d: $ %s\ndid not end; everything printed:\n%s", name, c.line, c.text, printed)
		}
		if status, _, _ := strings.Cut(rest, "\n"); status != "0" {
			t.Errorf("%s:%d: $ %s\nended with %s:\n%s", name, c.line, c.text, status, output)
			continue
		}
		got := strings.Split(strings.TrimSuffix(output, "\n"), "\n")
		if output == "" {
			got = nil
		}
		if !matches(normal(got, folder), normal(c.shown, "")) {
			t.Errorf("%s:%d: $ %s\nprinted\n%s\nshown is\n%s", name, c.line, c.text, output, strings.Join(c.shown, "\n"))
		}
	}
}

// clone copies the repository's files. The host listens on any free port and has the name that the README shows.
func clone(t *testing.T) string {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files(t) {
		from, to := filepath.Join(root, name), filepath.Join(folder, name)
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		content := read(t, name)
		if name == config.FileName {
			for _, change := range [][2]string{{`# listen = "127.0.0.1:7070"`, `listen = "127.0.0.1:0"`}, {`# name = "app1"`, `name = "app1"`}} {
				if strings.Count(content, change[0]) != 1 {
					t.Fatalf("%s does not have %s once", name, change[0])
				}
				content = strings.Replace(content, change[0], change[1], 1)
			}
		}
		if err := os.WriteFile(to, []byte(content), info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func mark(i int, what string) string { return fmt.Sprintf("@@ command %d %s", i, what) }

// transcript turns a README's commands and files into a script that marks where each command begins and ends.
func transcript(t *testing.T, name, folder string) (script string, commands []command) {
	t.Helper()
	var s strings.Builder
	s.WriteString("exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n")
	for _, b := range blocks(t, name) {
		action, object, _ := strings.Cut(b.note, ": ")
		file := filepath.Join(folder, object)
		switch {
		case action == "file":
			fmt.Fprintf(&s, "cat >'%s' <<'END OF FILE'\n%sEND OF FILE\n", file, b.text)
		case action == "append":
			fmt.Fprintf(&s, "cat >>'%s' <<'END OF FILE'\n%sEND OF FILE\n", file, b.text)
		case action == "not run":
		case b.note != "":
			t.Fatalf("%s:%d: what is %q?", name, b.line, b.note)
		case b.language == "console":
			for _, c := range b.commands() {
				fmt.Fprintf(&s, "echo '%s'\n%s\necho '%s'$?\n", mark(len(commands), "begins"), inScript(c.text), mark(len(commands), "ends with "))
				commands = append(commands, c)
			}
		case slices.Contains([]string{"sh", "bash", "shell", ""}, b.language):
			t.Fatalf("%s:%d: a command that nobody runs: make it a console block", name, b.line)
		}
	}
	if len(commands) == 0 {
		t.Fatalf("%s shows no commands", name)
	}
	return s.String(), commands
}

// inScript makes a command in the background write to a file, which is printed as soon as the command is up.
func inScript(text string) string {
	foreground, ok := strings.CutSuffix(text, " &")
	if !ok {
		return text
	}
	// Emptied before, not by the background's own redirection: that may come after the first look at what an
	// earlier one printed.
	return fmt.Sprintf(": >.printed\n%s >>.printed 2>&1 &\nuntil grep -q ready .printed || ! kill -0 $!; do sleep 0.05; done; cat .printed", foreground)
}

func runScript(t *testing.T, name, folder, script string) string {
	t.Helper()
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatalf("ask go for its cache: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOCACHE="+strings.TrimSpace(string(cache)), "XDG_CACHE_HOME="+t.TempDir(), "LC_ALL=C.UTF-8",
		"ESHOST_CONFIG=", "MAKEFLAGS=", "MAKELEVEL=", "npm_config_loglevel=error", "npm_config_prefer_offline=true", "npm_config_update_notifier=false")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that nothing it started outlives it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run %s: %v\n%s", name, err, out)
	}
	return string(out)
}

// varies is what differs from run to run, and stands for which word.
var varies = []struct {
	pattern *regexp.Regexp
	word    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "DIGEST"},
	{regexp.MustCompile(`\b\d+ (bytes|events/s)`), "N $1"},
	{regexp.MustCompile(`\b(\d+m)?\d+(\.\d+)? ?m?s\b`), "DURATION"},
	{regexp.MustCompile(` +`), " "},
}

// normal leaves out what differs from run to run.
func normal(lines []string, folder string) []string {
	var all []string
	for _, line := range lines {
		if folder != "" {
			line = strings.ReplaceAll(line, folder, "/home/you/eshost")
		}
		for _, v := range varies {
			line = v.pattern.ReplaceAllString(line, v.word)
		}
		all = append(all, strings.TrimSpace(line))
	}
	return all
}

// matches reports whether lines are as shown, where "…" alone stands for any number of lines.
func matches(got, shown []string) bool {
	if len(shown) == 0 {
		return len(got) == 0
	}
	if shown[0] == "…" {
		for skipped := range len(got) + 1 {
			if matches(got[skipped:], shown[1:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 0 && got[0] == shown[0] && matches(got[1:], shown[1:])
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		got, shown string
		want       bool
	}{
		{"a\nb", "a\nb", true},
		{"a\nb", "a", false},
		{"a", "a\nb", false},
		{"a\nx\ny\nb", "a\n…\nb", true},
		{"a\nb", "a\n…\nb", true},
		{"a\nx", "a\n…\nb", false},
		{"took 3.1s", "took 812ms", true},
		{"3 events", "4 events", false},
		{"a   b", "a b", true},
	} {
		if got := matches(normal(strings.Split(c.got, "\n"), ""), normal(strings.Split(c.shown, "\n"), "")); got != c.want {
			t.Errorf("%q as %q: %v", c.got, c.shown, got)
		}
	}
}

// TestReadmeConfiguration loads every piece of hosts.toml that the README shows, and the repository's own.
func TestReadmeConfiguration(t *testing.T) {
	t.Parallel()
	getenv := func(name string) string { return map[string]string{"DB_PASSWORD": "secret"}[name] }
	if _, err := config.Load(filepath.Join(root, config.FileName), getenv); err != nil {
		t.Error(err)
	}
	for _, b := range blocks(t, "README.md") {
		if b.language != "toml" {
			continue
		}
		file := filepath.Join(t.TempDir(), config.FileName)
		if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(file, getenv); err != nil {
			t.Errorf("README.md:%d: %v", b.line, err)
		}
	}
}

// TestReadmeSQL runs the README's SQL on PostgreSQL, as an application and a curious person would.
func TestReadmeSQL(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := pgtest.Database(t)
	s, err := host.OpenStore(ctx, url, "docs") // makes the tables
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, b := range blocks(t, "README.md") {
		if b.language != "sql" {
			continue
		}
		if _, err := conn.PgConn().Exec(ctx, b.text).ReadAll(); err != nil {
			t.Errorf("README.md:%d: %v\n%s", b.line, err, b.text)
		}
	}
	rows, err := conn.Query(ctx, `SELECT coalesce(data->>'amount', '-') FROM eshost.event_log WHERE stream = 'account-7' ORDER BY version`)
	if err != nil {
		t.Fatal(err)
	}
	amounts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(amounts, []string{"-", "1250", "300"}) {
		t.Errorf("the README's INSERTs left the amounts %q", amounts)
	}
}
