package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

const (
	maxFileBytes = 1 << 20
	maxLanes     = 64
	maxBatch     = 100_000
	wasmPage     = 64 << 10
)

// MaxPartitions is the most partitions a plugin has.
const MaxPartitions = 256

var pluginName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Load reads a hosts.toml. It fails with an *Error that lists every mistake, or with the error of
// reading the file. getenv is os.Getenv, or a test's.
func Load(file string, getenv func(string) string) (*Config, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, data, getenv)
}

// LoadEach is Load for a host that runs already, and for those who ask about it: a plugin's section with mistakes is left out and named in wrong, with
// its *Error. It fails as Load does if something else in the file is wrong.
func LoadEach(file string, getenv func(string) string) (cfg *Config, wrong map[string]error, err error) {
	data, err := readFile(file)
	if err != nil {
		return nil, nil, err
	}
	cfg, mistakes, err := decode(file, data, getenv)
	if err != nil {
		return nil, nil, err
	}
	wrong, rest := byPlugin(mistakes)
	if len(rest) > 0 || len(mistakes) == maxMistakes {
		return nil, nil, &Error{mistakes}
	}
	cfg.Plugins = slices.DeleteFunc(cfg.Plugins, func(p Plugin) bool { return wrong[p.Name] != nil })
	return cfg, wrong, nil
}

// LoadHost reads the [host] section of a hosts.toml alone. It fails as Load does if that has mistakes, or if the file is
// no TOML.
func LoadHost(file string, getenv func(string) string) (*Host, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	cfg, mistakes, err := decode(file, data, getenv)
	if err != nil {
		return nil, err
	}
	mistakes = slices.DeleteFunc(mistakes, func(m Mistake) bool { return m.Key != "host" && !strings.HasPrefix(m.Key, "host.") })
	if len(mistakes) > 0 {
		return nil, &Error{mistakes}
	}
	return &cfg.Host, nil
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return data, nil
}

// Parse is Load for a file that was read already.
func Parse(file string, data []byte, getenv func(string) string) (*Config, error) {
	cfg, mistakes, err := decode(file, data, getenv)
	if err != nil {
		return nil, err
	}
	if len(mistakes) > 0 {
		return nil, &Error{mistakes}
	}
	return cfg, nil
}

// decode returns what a file says and what is wrong with it. It fails for a file that is not even TOML.
func decode(file string, data []byte, getenv func(string) string) (*Config, []Mistake, error) {
	if len(data) > maxFileBytes {
		return nil, nil, &Error{[]Mistake{{File: file, Line: 1, Text: fmt.Sprintf("is larger than %d bytes", maxFileBytes)}}}
	}
	folder := filepath.Dir(file)
	if abs, err := filepath.Abs(folder); err == nil {
		folder = abs
	}
	doc := &document{file: file, text: string(data), getenv: getenv}
	root := &table{doc: doc}
	meta, err := toml.Decode(string(data), &root.values)
	if err != nil {
		return nil, nil, syntaxError(file, err)
	}
	doc.meta = meta

	cfg := defaults(folder)
	readHost(root, folder, &cfg.Host)
	readStore(root, folder, &cfg.Store)
	readTelemetry(root, &cfg.Telemetry)
	readRedis(root, &cfg.Redis)
	cfg.Plugins = readPlugins(root, folder, cfg.Redis.URL != "")
	root.close()
	sortMistakes(doc.mistakes)
	return &cfg, doc.mistakes, nil
}

func syntaxError(file string, err error) error {
	var at toml.ParseError
	if !errors.As(err, &at) {
		return fmt.Errorf("read config %s: %w", file, err)
	}
	m := Mistake{File: file, Line: max(at.Position.Line, 1), Text: "not TOML: " + at.Message}
	return &Error{[]Mistake{m}}
}

func readHost(root *table, folder string, h *Host) {
	t, ok := root.table("host")
	if !ok {
		return
	}
	h.Name = read(t, "name", h.Name, text("a name of 1 to 255 bytes", func(s string) bool { return s != "" && len(s) <= 255 }))
	readListener(t, folder, h)
	h.Weight = read(t, "weight", h.Weight, weight())
	h.LeaseTTL = read(t, "lease_ttl", h.LeaseTTL, duration(2*time.Second, 10*time.Minute, "10s"))
	h.ShutdownTimeout = read(t, "shutdown_timeout", h.ShutdownTimeout, duration(100*time.Millisecond, time.Hour, "10s"))
	h.CacheDir = read(t, "cache_dir", h.CacheDir, orOff(path(folder, `the path of a folder, or "off"`)))
	h.LogFormat = read(t, "log", h.LogFormat, oneOf(LogText, LogJSON))
	h.LogLevel = read(t, "log_level", h.LogLevel, logLevel())
	t.close()
}

func readStore(root *table, folder string, s *Store) {
	t, ok := root.table("store")
	if !ok {
		return
	}
	s.URL = read(t, "url", s.URL, storeURL(folder))
	s.PollMax = read(t, "poll_max", s.PollMax, duration(time.Millisecond, time.Minute, "100ms"))
	t.close()
}

func readPlugins(root *table, folder string, redis bool) []Plugin {
	t, ok := root.table("plugins")
	if !ok {
		return nil
	}
	var plugins []Plugin
	for _, name := range t.order() {
		if !pluginName.MatchString(name) {
			t.mistake(name, "a plugin's name has 1 to 63 characters of a-z, 0-9, _ and -, and begins with a letter or digit")
			continue
		}
		if sub, ok := t.table(name); ok {
			plugins = append(plugins, readPlugin(t, sub, name, folder, redis))
		}
	}
	return plugins
}

func readPlugin(parent, t *table, name, folder string, redis bool) Plugin {
	p := pluginDefaults(name)
	if _, ok := t.values["module"]; !ok {
		parent.mistake(name, `has no module, the one key without a default; add module = "path/to/module.wasm"`)
	}
	p.Module = read(t, "module", "", path(folder, "the path of a .wasm file"))
	p.SHA256 = read(t, "sha256", "", digest())
	p.Events = read(t, "events", nil, eventTypes())
	p.Start = read(t, "start", p.Start, start())
	p.OrderBy = read(t, "order_by", p.OrderBy, orderBy())
	p.Partitions = read(t, "partitions", p.Partitions, whole(1, MaxPartitions))
	if p.Partitions > 1 && p.OrderBy == OrderByAll {
		t.mistake("partitions", `has no use with order_by = "all": all events have one ordering key, and would be in one partition`)
	}
	p.Weight = read(t, "weight", p.Weight, weight())
	p.Allow = read(t, "allow", p.Allow, grants())
	p.Lanes = read(t, "lanes", p.Lanes, whole(1, maxLanes))
	p.Batch = read(t, "batch", p.Batch, whole(1, maxBatch))
	p.OnChange = OnChange(read(t, "on_change", string(p.OnChange), oneOf(string(OnChangeContinue), string(OnChangeRebuild))))
	p.Target = readTarget(t, &p, redis)
	p.KeepOld = read(t, "keep_old", p.KeepOld, duration(0, 10*365*24*time.Hour, "168h"))
	readRetry(t, &p.Retry)
	readLimits(t, &p.Limits)
	readPluginConfig(t, p.Config)
	t.close()
	return p
}

// readTarget reads where the read model is kept, after all that decides whether it can be there.
func readTarget(t *table, p *Plugin, redis bool) Target {
	target := Target(read(t, "target", string(p.Target), oneOf(string(TargetStore), string(TargetRedis))))
	if target != TargetRedis {
		return target
	}
	switch {
	case !redis:
		t.mistake("target", `needs a Redis: add a section [redis] with url = "redis://127.0.0.1:6379/0"`)
	case p.Emits():
		t.mistake("target", `cannot be "redis" for a plugin that may emit: events would not be appended in one transaction with what is written to Redis`)
	case p.Partitions > 1:
		t.mistake("target", `cannot be "redis" with partitions: one script commits all of a read model, on one host at a time`)
	case p.OnChange == OnChangeRebuild:
		t.mistake("target", `cannot be "redis" with on_change = "rebuild": Redis has no second read model to build beside the live one; after a change of the module run eshost rebuild`)
	}
	return target
}

func readRetry(parent *table, r *Retry) {
	t, ok := parent.table("retry")
	if !ok {
		return
	}
	r.Attempts = read(t, "attempts", r.Attempts, whole(1, 1000))
	pauses := read(t, "backoff", [2]time.Duration{r.First, r.Longest}, backoff())
	r.First, r.Longest = pauses[0], pauses[1]
	r.MaxParked = read(t, "max_parked", r.MaxParked, whole(1, 10_000_000))
	t.close()
}

func readLimits(parent *table, l *Limits) {
	t, ok := parent.table("limits")
	if !ok {
		return
	}
	l.Memory = read(t, "memory", l.Memory, memory())
	l.Time = read(t, "time", l.Time, handlingTime())
	l.Cache = read(t, "cache", l.Cache, size(64<<10, 64<<30))
	l.EmitDepth = read(t, "emit_depth", l.EmitDepth, whole(1, 1000))
	t.close()
}

func readPluginConfig(parent *table, config map[string]string) {
	t, ok := parent.table("config")
	if !ok {
		return
	}
	for _, key := range t.order() {
		config[key] = read(t, key, "", scalar())
	}
}
