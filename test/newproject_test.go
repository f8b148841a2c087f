package test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"eshost/host/config"
)

// newProjects are the languages, with what an owner of a project does in it, and how a compiler refuses a source.
var newProjects = []struct {
	language string
	test     string
	format   string // prints what is not formatted
	source   string
	refused  string
}{
	{"assemblyscript", "npm test", "", "index.ts", "ERROR TS"},
	{"rust", "cargo test", "cargo fmt --check", "src/lib.rs", "error: unexpected closing delimiter"},
	{"go", "go test ./...", "gofmt -l . && go vet ./...", "main.go", "main.go:"},
}

// TestNewProjects follows a newcomer in each language: from eshost new by the commands that it prints, and the project's
// own tests, to documents that a host keeps. The folder's name has a space.
func TestNewProjects(t *testing.T) {
	t.Parallel()
	for _, p := range newProjects {
		t.Run(p.language, func(t *testing.T) {
			t.Parallel()
			here := shell{t, filepath.Join(t.TempDir(), "some where"), filepath.Dir(eshost(t))}
			if err := os.Mkdir(here.folder, 0o777); err != nil {
				t.Fatal(err)
			}
			var made struct {
				Next      []string
				HostsTOML string `json:"hosts_toml"`
			}
			here.json(&made, "eshost new --json --lang "+p.language+" greeter")
			if len(made.Next) != 2 {
				t.Fatalf("the next two commands are %q", made.Next)
			}
			for _, next := range made.Next {
				here.run(next)
			}
			inside := shell{t, filepath.Join(here.folder, "greeter"), here.path}
			inside.run(p.test)
			if p.format != "" {
				if out := inside.run(p.format); out != "" {
					t.Errorf("%s: %s", p.format, out)
				}
			}
			inside.run("eshost test greeter.wasm --events events.ndjson --expect expected.ndjson --chaos")
			checkBuild(t, inside, p.language)
			serve(t, here, made.HostsTOML)
			if _, err := config.Load(filepath.Join(inside.folder, "hosts.toml"), os.Getenv); err != nil {
				t.Errorf("the project's hosts.toml: %v", err)
			}
			refuse(t, inside, p.source, p.refused)
		})
	}
}

// checkBuild holds what build prints to the module that is there.
func checkBuild(t *testing.T, project shell, language string) {
	var built struct {
		Module, Digest, Language string
		Size                     int
		Commands                 []string
	}
	project.json(&built, "eshost build --json")
	wasm, err := os.ReadFile(filepath.Join(project.folder, built.Module))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(wasm)
	if built.Module != "greeter.wasm" || built.Size != len(wasm) || built.Digest != hex.EncodeToString(digest[:]) || built.Language != language {
		t.Errorf("build says %+v of a module of %d bytes with the digest %x", built, len(wasm), digest)
	}
	// Nothing but the commands is needed.
	if err := os.Remove(filepath.Join(project.folder, built.Module)); err != nil {
		t.Fatal(err)
	}
	for _, command := range built.Commands {
		project.run(command)
	}
	project.run("eshost check greeter.wasm")
}

// serve runs a host with the printed section and hands it the sample events.
func serve(t *testing.T, here shell, section string) {
	const head = "[host]\nlisten = \"off\"\ncache_dir = \"cache\"\n\n"
	if err := os.WriteFile(filepath.Join(here.folder, "hosts.toml"), []byte(head+section), 0o666); err != nil {
		t.Fatal(err)
	}
	here.run("eshost append greeter/events.ndjson")
	host := here.command("exec eshost run")
	var said bytes.Buffer
	host.Stderr = &said
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	here.run("eshost wait greeter --position head --timeout 5m")
	got := here.run("eshost read greeter greetings")
	if want := `{"key":"ada","data":{"name":"Countess Ada","count":2}}` + "\n" + `{"key":"grace","data":{"name":"Grace","count":1}}` + "\n"; got != want {
		t.Errorf("the documents are\n%swant\n%s", got, want)
	}
	if err := errors.Join(host.Process.Signal(os.Interrupt), host.Wait()); err != nil {
		t.Errorf("eshost run: %v\n%s", err, said.String())
	}
}

// colours are what some compilers write even where no terminal is: asc does so wherever CI is set.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// refuse breaks a source: the compiler's own words must be shown, and the build fail.
func refuse(t *testing.T, project shell, source, refused string) {
	f, err := os.OpenFile(filepath.Join(project.folder, source), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("\n}\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := project.command("eshost build")
	out, err := cmd.CombinedOutput()
	text := colours.ReplaceAllString(string(out), "")
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(text, refused) || !strings.Contains(text, filepath.Base(source)) ||
		!strings.Contains(text, "hint: what it printed above says why") {
		t.Errorf("a broken %s: %v\n%s", source, err, text)
	}
}

// shell runs commands in a folder, as they are printed for people.
type shell struct {
	t      *testing.T
	folder string
	path   string // where eshost is
}

func (s shell) command(line string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", line)
	cmd.Dir = s.folder
	cmd.Env = append(os.Environ(), "PATH="+s.path+string(os.PathListSeparator)+os.Getenv("PATH"))
	return cmd
}

// run returns what a command prints. It must succeed; a missing tool is in its error.
func (s shell) run(line string) string {
	s.t.Helper()
	cmd := s.command(line)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s: %v\n%s%s", line, err, stdout.String(), cmp.Or(stderr.String(), "(nothing)"))
	}
	return stdout.String()
}

func (s shell) json(into any, line string) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.run(line)), into); err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
}
