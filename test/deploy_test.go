package test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"eshost/host/config"
)

const deploy = root + "/deploy"

// decodeYAML reads a file strictly: a key that the type does not have is a mistake.
func decodeYAML(t *testing.T, file string, to any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(read(t, file)))
	d.KnownFields(true)
	if err := d.Decode(to); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// pinned is an image with a version, and not only a large one.
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:\d+\.\d+(\.\d+)?[a-z0-9.-]*$`)

// instructions are a Dockerfile's, with continued lines joined.
func instructions(t *testing.T, file string) [][]string {
	t.Helper()
	var all [][]string
	text := strings.ReplaceAll(string(read(t, file)), "\\\n", " ")
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			all = append(all, words)
		}
	}
	return all
}

// TestDockerfile reads the Dockerfile as a builder would, as far as that can be told without one.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(deploy, "docker", "Dockerfile")
	var copied []string
	var user, health, entry string
	stages := map[string]bool{}
	base := ""
	for _, words := range instructions(t, file) {
		args := words[1:]
		switch words[0] {
		case "FROM":
			base, user, health, entry = args[0], "", "", ""
			if base != "scratch" && !pinned.MatchString(base) {
				t.Errorf("image %s has no version", base)
			}
			if len(args) == 3 {
				stages[args[2]] = true
			}
		case "COPY":
			if from, ok := strings.CutPrefix(args[0], "--from="); ok {
				if !stages[from] {
					t.Errorf("%s copies from stage %q, which is not there", file, from)
				}
				continue
			}
			for _, source := range args[:len(args)-1] {
				if _, err := os.Stat(filepath.Join(root, source)); err != nil {
					t.Errorf("%s copies what is not there: %v", file, err)
				}
				copied = append(copied, source)
			}
		case "USER":
			user = args[0]
		case "HEALTHCHECK":
			_, health, _ = strings.Cut(strings.Join(args, " "), "CMD ")
		case "ENTRYPOINT":
			entry = strings.Join(args, " ")
		}
	}
	if base != "scratch" {
		t.Errorf("the last image is made from %s", base)
	}
	if id, _, _ := strings.Cut(user, ":"); id == "" || id == "0" || id == "root" {
		t.Errorf("it runs as user %q", user)
	}
	for what, value := range map[string]string{"HEALTHCHECK": health, "ENTRYPOINT": entry} {
		var exec []string
		if err := json.Unmarshal([]byte(value), &exec); err != nil || len(exec) == 0 || exec[0] != "/usr/local/bin/eshost" {
			t.Errorf("%s wants a shell, which is not there: %s", what, value)
		}
	}
	if strings.Contains(health, `"health"`) {
		p := &project{t: t, dir: t.TempDir()}
		p.must("health", "--help")
	} else {
		t.Errorf("the health check is %s", health)
	}
	checkSources(t, copied)
}

// checkSources builds the binary from nothing but what the image is built from, and holds it to being static.
func checkSources(t *testing.T, copied []string) {
	t.Helper()
	dir := t.TempDir()
	for _, source := range copied {
		to := filepath.Join(dir, source)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(root, source)); err == nil && info.IsDir() {
			copySources(t, filepath.Join(root, source), to)
			continue
		}
		if err := os.WriteFile(to, read(t, filepath.Join(root, source)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := regexp.MustCompile(`(?m)^RUN CGO_ENABLED=0 go build (.*) -o (\S+) (\S+)$`).FindSubmatch(read(t, filepath.Join(deploy, "docker", "Dockerfile")))
	if build == nil {
		t.Fatal("the Dockerfile does not build with CGO_ENABLED=0")
	}
	binary := filepath.Join(t.TempDir(), "eshost")
	args := append(strings.Fields(string(build[1])), "-o", binary, string(build[3]))
	if err := goBuild(dir, []string{"CGO_ENABLED=0", "GOFLAGS=-buildvcs=false"}, args...); err != nil {
		t.Fatalf("it does not build from %v: %v", copied, err)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Skipf("a static binary can be told from others on Linux only: %v", err)
	}
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 || f.Section(".interp") != nil {
		t.Errorf("the binary is not static: %v, %v", libraries, err)
	}
}

// copySources copies the files of a folder that git knows or would take.
func copySources(t *testing.T, from, to string) {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z", ".")
	cmd.Dir = from
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the files of %s: %v", from, err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			continue // deleted, not committed yet
		}
		file := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// compose is what our compose file uses of the format.
type compose struct {
	Name     string
	Services map[string]struct {
		Image string
		Build struct {
			Context, Dockerfile string
		}
		Command     []string
		Profiles    []string
		Environment map[string]string
		Volumes     []string
		Ports       []string
		Healthcheck struct {
			Test              []string
			Interval, Timeout string
			Retries           int
		}
		DependsOn       map[string]struct{ Condition string } `yaml:"depends_on"`
		ReadOnly        bool                                  `yaml:"read_only"`
		CapDrop         []string                              `yaml:"cap_drop"`
		SecurityOpt     []string                              `yaml:"security_opt"`
		StopGracePeriod string                                `yaml:"stop_grace_period"`
		Restart         string
	}
	Volumes map[string]*struct{}
}

// TestCompose follows what the compose file names, and reads its hosts.toml with the variables that it gives.
func TestCompose(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(deploy, "docker")
	var c compose
	decodeYAML(t, filepath.Join(dir, "compose.yml"), &c)
	for name, s := range c.Services {
		if s.Build.Context == "" && !pinned.MatchString(s.Image) {
			t.Errorf("service %s: image %s has no version", name, s.Image)
		}
		for other := range s.DependsOn {
			if len(c.Services[other].Healthcheck.Test) == 0 {
				t.Errorf("service %s waits for %s, which has no health check", name, other)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, err := os.Stat(filepath.Join(dir, source)); strings.HasPrefix(source, ".") && err != nil {
				t.Errorf("service %s: %v", name, err)
			} else if _, declared := c.Volumes[source]; !strings.HasPrefix(source, ".") && !declared {
				t.Errorf("service %s: there is no volume %s", name, source)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("service %s: port %s is open to other machines", name, p)
			}
		}
	}
	eshost := c.Services["eshost"]
	if _, err := os.Stat(filepath.Join(dir, eshost.Build.Context, eshost.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	variable := regexp.MustCompile(`^\$\{(\w+):\?.+\}$`)
	conf, err := config.Load(filepath.Join(dir, "eshost", "hosts.toml"), func(name string) string {
		if variable.FindStringSubmatch(eshost.Environment[name]) == nil {
			return ""
		}
		return "0123456789abcdef0123"
	})
	if err != nil {
		t.Fatal(err)
	}
	if conf.Host.Loopback() || len(conf.Host.Tokens) == 0 || !strings.HasPrefix(conf.Store.URL, "postgres://eshost:") || !strings.Contains(conf.Store.URL, "@postgres/eshost") {
		t.Errorf("its hosts.toml is for something else: %+v", conf.Host)
	}
	for _, p := range conf.Plugins {
		i := slices.IndexFunc(eshost.Volumes, func(v string) bool { return strings.Split(v, ":")[1] == path.Dir(p.Module) })
		if i < 0 {
			t.Errorf("plugin %s: nothing is mounted at %s", p.Name, p.Module)
			continue
		}
		source, _, _ := strings.Cut(eshost.Volumes[i], ":")
		if _, err := os.Stat(filepath.Join(dir, source, path.Base(p.Module))); err != nil {
			t.Errorf("plugin %s: %v", p.Name, err)
		}
	}
}

// TestSystemdUnit has systemd read the unit where it is installed, and in any case reads what matters itself.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	file := filepath.Join(deploy, "systemd", "eshost.service")
	unit := string(read(t, file))
	values := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(unit, -1) {
		values[m[1]] = m[2]
	}
	for key, want := range map[string]string{
		"ExecStart": "/usr/local/bin/eshost run", "DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes",
		"CapabilityBoundingSet": "", "MemoryDenyWriteExecute": "no", "StateDirectory": "eshost", "CacheDirectory": "eshost", "WantedBy": "multi-user.target",
	} {
		if got, ok := values[key]; !ok || got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("without systemd-analyze (apt-get install systemd) the unit is not verified any further")
		return
	}
	// It wants the programs to be there.
	copied := filepath.Join(t.TempDir(), "eshost.service")
	if err := os.WriteFile(copied, []byte(strings.ReplaceAll(unit, "/usr/local/bin/eshost", eshost(t))), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "verify", copied).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if out, err := exec.Command(tool, "security", "--offline=true", "--threshold=20", "--no-pager", copied).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
