package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var testEnv = map[string]string{"DB_PASSWORD": "hunter2", "ADDRESS": "192.0.2.7:80", "CURRENCY": "EUR", "TOKEN": "hunter2-hunter2-hunter2"}

func testGetenv(name string) string { return testEnv[name] }

func parse(t *testing.T, text string) *Config {
	t.Helper()
	cfg, err := Parse("/etc/eshost/hosts.toml", []byte(text), testGetenv)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestBadFiles reads testdata/*.bad.toml. Each ends with the messages it must give, "# want: LINE: KEY: …".
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.bad.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.toml"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, m := range regexp.MustCompile(`(?m)^# want: (.*)$`).FindAllStringSubmatch(string(data), -1) {
				want = append(want, file+":"+m[1])
			}
			_, err = Load(file, testGetenv)
			var bad *Error
			if !errors.As(err, &bad) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", err, strings.Join(want, "\n"))
			}
			for name, secret := range testEnv {
				if strings.Contains(err.Error(), secret) && name != "CURRENCY" {
					t.Errorf("the value of %s is shown", name)
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg := parse(t, "[plugins.balances]\nmodule = \"balances.wasm\"\n")
	if cfg.Host.Listen != "127.0.0.1:7070" || cfg.Host.ShutdownTimeout != 10*time.Second || cfg.Host.LogFormat != LogText ||
		cfg.Host.LogLevel != slog.LevelInfo || cfg.Host.Name == "" || cfg.Host.Weight != 1 || cfg.Host.LeaseTTL != 10*time.Second {
		t.Errorf("host: %+v", cfg.Host)
	}
	if want := (Store{URL: "sqlite:/etc/eshost/eshost.db", PollMax: 100 * time.Millisecond}); cfg.Store != want {
		t.Errorf("store: %+v", cfg.Store)
	}
	if want := (Redis{Prefix: "eshost", Timeout: time.Second}); cfg.Redis != want {
		t.Errorf("redis: %+v", cfg.Redis)
	}
	want := Plugin{
		Name: "balances", Module: "/etc/eshost/balances.wasm", OrderBy: OrderByStream, Allow: []string{"state", "log"},
		Lanes: min(runtime.GOMAXPROCS(0), 64), Batch: DefaultBatch,
		Retry: Retry{Attempts: 5, First: 100 * time.Millisecond, Longest: 30 * time.Second, MaxParked: 10_000}, Partitions: 1, Target: TargetStore, Weight: 1,
		Limits: Limits{Memory: 32 << 20, Time: 250 * time.Millisecond, Cache: 32 << 20, EmitDepth: 16},
		Config: map[string]string{}, OnChange: OnChangeContinue, KeepOld: 168 * time.Hour,
	}
	if got := *cfg.Plugin("balances"); !reflect.DeepEqual(got, want) {
		t.Errorf("plugin: %+v", got)
	}
	if cfg.Plugin("other") != nil {
		t.Error("a plugin nobody declared")
	}
}

func TestEveryKey(t *testing.T) {
	t.Parallel()
	cfg := parse(t, `
[host]
name = "app1"
listen = "off"
weight = 2
lease_ttl = "3s"
shutdown_timeout = "1m"
cache_dir = "cache"
log = "json"
log_level = "debug"
tls_cert = "cert.pem"
tls_key = "/etc/ssl/key.pem"
[[host.tokens]]
name = "ops"
token = "${TOKEN}"
scopes = ["admin", "read", "admin"]
[[host.tokens]]
name = "app"
token = "0123456789abcdefghij"
[store]
url = "postgres://app:${DB_PASSWORD}@db/app"
poll_max = "20ms"
[redis]
url = "rediss://app:${DB_PASSWORD}@cache:6380/3"
prefix = "shop:eshost"
timeout = "250ms"
changes = true
[plugins.zebra]
on_change = "rebuild"
keep_old = "1h"
sha256 = "sha256:ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"
module = "/srv/zebra.wasm"
events = ["Deposited", "${CURRENCY}Withdrawn"]
start = "end"
order_by = "metadata.tenant"
partitions = 4
weight = 0.5
allow = ["state", "log", "emit"]
lanes = 3
batch = 10
[plugins.zebra.retry]
attempts = 7
backoff = "1ms..2s"
max_parked = 5
[plugins.zebra.limits]
memory = "64KiB"
time = "1s"
cache = "1MiB"
emit_depth = 3
[plugins.zebra.config]
currency = "${CURRENCY}"
plain = "$${CURRENCY}"
limit = 10
rate = 0.25
strict = true
[plugins.ant]
module = "ant.wasm"
target = "redis"
`)
	want := &Config{
		Host: Host{Name: "app1", Weight: 2, LeaseTTL: 3 * time.Second, ShutdownTimeout: time.Minute, CacheDir: "/etc/eshost/cache", LogFormat: LogJSON, LogLevel: slog.LevelDebug,
			TLSCert: "/etc/eshost/cert.pem", TLSKey: "/etc/ssl/key.pem", Tokens: []Token{
				{Name: "ops", SHA256: sha256.Sum256([]byte(testEnv["TOKEN"])), Scopes: []string{ScopeAdmin, ScopeRead}},
				{Name: "app", SHA256: sha256.Sum256([]byte("0123456789abcdefghij")), Scopes: []string{ScopeRead}},
			}},
		Store: Store{URL: "postgres://app:hunter2@db/app", PollMax: 20 * time.Millisecond},
		Redis: Redis{URL: "rediss://app:hunter2@cache:6380/3", Prefix: "shop:eshost", Timeout: 250 * time.Millisecond, Changes: true},
		Plugins: []Plugin{{
			Name: "zebra", Module: "/srv/zebra.wasm", SHA256: strings.Repeat("ab", 32), OnChange: OnChangeRebuild, KeepOld: time.Hour, Events: []string{"Deposited", "EURWithdrawn"}, Start: Start{At: StartAtEnd},
			OrderBy: "metadata.tenant", Allow: []string{"emit", "log", "state"}, Lanes: 3, Batch: 10, Partitions: 4, Target: TargetStore, Weight: 0.5,
			Retry:  Retry{Attempts: 7, First: time.Millisecond, Longest: 2 * time.Second, MaxParked: 5},
			Limits: Limits{Memory: 64 << 10, Time: time.Second, Cache: 1 << 20, EmitDepth: 3},
			Config: map[string]string{"currency": "EUR", "plain": "${CURRENCY}", "limit": "10", "rate": "0.25", "strict": "true"},
		}, pluginDefaults("ant")},
	}
	want.Plugins[1].Module, want.Plugins[1].Target = "/etc/eshost/ant.wasm", TargetRedis
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
	if name, ok := cfg.Plugins[0].OrderBy.Metadata(); !ok || name != "tenant" {
		t.Errorf("ordering key %q", name)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]Start{
		`"beginning"`:                 {},
		`"end"`:                       {At: StartAtEnd},
		`42`:                          {At: StartAtPosition, Position: 42},
		`"42"`:                        {At: StartAtPosition, Position: 42},
		`2026-01-31T01:00:00+01:00`:   {At: StartAtTime, Time: moment},
		`"2026-01-31T01:00:00+01:00"`: {At: StartAtTime, Time: moment},
	} {
		cfg := parse(t, "[plugins.a]\nmodule = \"a.wasm\"\nstart = "+text)
		if got := cfg.Plugins[0].Start; got != want {
			t.Errorf("start = %s: got %+v, want %+v", text, got, want)
		}
	}
}

func TestStoreURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"sqlite:a.db":              "sqlite:/data/a.db",
		"sqlite://a.db":            "sqlite:/data/a.db",
		"sqlite:/var/a.db":         "sqlite:/var/a.db",
		"sqlite:///var/a.db":       "sqlite:/var/a.db",
		"postgres://u:p@h/d?x=y":   "postgres://u:p@h/d?x=y",
		"postgresql://u:p@h/d?x=y": "postgresql://u:p@h/d?x=y",
	} {
		if got, err := ResolveStoreURL(url, "/data"); err != nil || got != want {
			t.Errorf("%s: got %s, %v", url, got, err)
		}
	}
	for _, url := range []string{"", "sqlite", "sqlite:", "sqlite::memory:", "postgres:d", "a.db", "mysql://u:secret@h/d", "postgress://u:secret@h/d",
		"postgres://u:secret%zz@h/d", "postgres://u:secret@h/d?sslmode=banana", "postgres://u:secret@h:port/d", "postgres://u:secret@h:99999/d",
		"postgres://u:secret@h/d?pgbouncer=perhaps", "postgres://u:`: secret@h:99999/d", "postgres://h/d?password=secret&sslmode=banana"} {
		if got, err := ResolveStoreURL(url, "/data"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %s, %v", url, got, err)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	if _, err := Load(filepath.Join(t.TempDir(), FileName), testGetenv); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestMistakesAreBounded(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 10 * maxMistakes {
		fmt.Fprintf(&text, "key%d = 1\n", i)
	}
	_, err := Parse(FileName, []byte(text.String()), testGetenv)
	var bad *Error
	if !errors.As(err, &bad) || len(bad.Mistakes) != maxMistakes {
		t.Errorf("got %v", err)
	}
}

// TestSample holds the hosts.toml at the root to what the reader knows: it loads, it names every key,
// and what it says of defaults is true.
func TestSample(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", FileName)
	cfg, err := Load(file, testGetenv)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Plugins) == 0 {
		t.Error("the sample runs no plugin")
	}
	sample, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// An unknown key's message lists the known ones.
	_, err = Parse(FileName, []byte("[host]\n0000000000=1\n[[host.tokens]]\n0000000000=1\n[store]\n0000000000=1\n[redis]\n0000000000=1\n[plugins.a]\n0000000000=1\nretry={0000000000=1}\nlimits={0000000000=1}"), testGetenv)
	lists := regexp.MustCompile(`known here: (.*)`).FindAllStringSubmatch(err.Error(), -1)
	if len(lists) != 7 {
		t.Fatalf("got %v", err)
	}
	for _, list := range lists {
		for _, key := range strings.Split(list[1], ", ") {
			table := regexp.MustCompile(`(?m)^#? ?(\[plugins\.[a-z]+\.` + key + `\]|\[\[host\.` + key + `\]\])`)
			value := regexp.MustCompile(`(?m)^#? ?` + key + ` += `)
			if !table.Match(sample) && !value.Match(sample) {
				t.Errorf("the sample does not name %s", key)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.toml")
	for _, file := range append(files, filepath.Join("..", "..", FileName)) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("/etc/hosts.toml", data, testGetenv)
		if err != nil {
			checkMistakes(t, data, err)
			return
		}
		if cfg.Host.Name == "" || cfg.Store.PollMax < time.Millisecond {
			t.Errorf("accepted %+v", cfg)
		}
		for _, p := range cfg.Plugins {
			if !pluginName.MatchString(p.Name) || p.Module == "" || p.Lanes < 1 || p.Lanes > maxLanes || p.Batch < 1 ||
				p.Retry.First > p.Retry.Longest || p.Limits.Memory < wasmPage {
				t.Errorf("accepted %+v", p)
			}
		}
	})
}

func checkMistakes(t *testing.T, data []byte, err error) {
	var bad *Error
	if !errors.As(err, &bad) || len(bad.Mistakes) == 0 {
		t.Fatalf("got %v, want an *Error", err)
	}
	lines, last := 1+strings.Count(string(data), "\n"), 0
	for _, m := range bad.Mistakes {
		if m.Line < 1 || m.Line > lines || m.Line < last || m.Text == "" {
			t.Errorf("mistake %+v after line %d of %d", m, last, lines)
		}
		last = m.Line
	}
}

// TestLoadEach keeps mistakes in one plugin's section from the others, and only those.
func TestLoadEach(t *testing.T) {
	t.Parallel()
	const good = "[plugins.a]\nmodule = \"a.wasm\"\n"
	for name, c := range map[string]struct {
		file  string
		names string // of the plugins that can be used
		wrong string // names of those that cannot
		fails string
	}{
		"all good":           {file: good + "[plugins.b]\nmodule = \"b.wasm\"\n", names: "a b"},
		"one bad":            {file: good + "[plugins.b]\nmodule = 7\nlanes = 0\n[plugins.c]\nmodule = \"c.wasm\"\n", names: "a c", wrong: "b"},
		"no module":          {file: good + "[plugins.b]\nlanes = 1\n", names: "a", wrong: "b"},
		"unknown key":        {file: good + "[plugins.b]\nmodule = \"b.wasm\"\n[plugins.b.limits]\nmemmory = 1\n", names: "a", wrong: "b"},
		"not a table":        {file: "[plugins]\nb = 3\n" + good, names: "a", wrong: "b"},
		"an impossible name": {file: good + "[plugins.\"B!\"]\nmodule = \"b.wasm\"\n", fails: "a plugin's name"},
		"outside":            {file: good + "[host]\nlog = 3\n", fails: "host.log"},
		"not TOML":           {file: good + "[plugins.b\n", fails: "not TOML"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), FileName)
			if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, wrong, err := LoadEach(file, func(string) string { return "" })
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range cfg.Plugins {
				names = append(names, p.Name)
			}
			if got := strings.Join(names, " "); got != c.names {
				t.Errorf("good are %q, want %q", got, c.names)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(wrong)), " "); got != c.wrong {
				t.Errorf("wrong are %q, want %q", got, c.wrong)
			}
		})
	}
}

// TestLoadHost reads what a host listens on, whatever else is wrong.
func TestLoadHost(t *testing.T) {
	t.Parallel()
	const good = "[host]\nlisten = \"127.0.0.1:9\"\n"
	for name, c := range map[string]struct{ file, fails string }{
		"alone":            {file: good},
		"others are wrong": {file: good + "[store]\nurl = 3\n[plugins.\"B!\"]\nmodul = 1\n[hosts]\n"},
		"it is wrong":      {file: good + "log = 3\n", fails: "host.log"},
		"no table":         {file: "host = 3\n", fails: "host"},
		"not TOML":         {file: good + "[plugins.b\n", fails: "not TOML"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), FileName)
			if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := LoadHost(file, func(string) string { return "" })
			switch {
			case c.fails != "":
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("the error is %v", err)
				}
			case err != nil:
				t.Error(err)
			case h.Listen != "127.0.0.1:9":
				t.Errorf("it listens on %q", h.Listen)
			}
		})
	}
}
