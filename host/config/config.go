// Package config reads hosts.toml. A file is either right as a whole or refused with every mistake it
// has: the line, the key, and what would be right. Nothing is parsed and then ignored.
package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"eshost/abi"
	"eshost/host/event"
)

// FileName is what the file is called at the root of a project.
const FileName = "hosts.toml"

// Config is a hosts.toml. Paths in it are complete: relative ones were relative to the file's folder.
type Config struct {
	Host      Host
	Store     Store
	Redis     Redis
	Telemetry Telemetry
	// Plugins is in the order of the file.
	Plugins []Plugin
}

// Plugin returns the plugin of that name, or nil.
func (c *Config) Plugin(name string) *Plugin {
	for i := range c.Plugins {
		if c.Plugins[i].Name == name {
			return &c.Plugins[i]
		}
	}
	return nil
}

// Host is the [host] section: this process.
type Host struct {
	// Name tells hosts on one store apart for people. Defaults to the machine's name.
	Name string
	// Listen is the address that the HTTP listener binds; empty means that there is none, which the file
	// says as "off" or "". One that other machines reach needs a token. Defaults to 127.0.0.1:7070.
	Listen string
	// Tokens let clients of the listener in: where there are any, everybody needs one. Defaults to none.
	Tokens []Token
	// TLSCert and TLSKey are PEM files; the listener speaks TLS if they are set. Default to none.
	TLSCert, TLSKey string
	// Weight is this host's share of the plugins beside the other hosts' weights. Defaults to 1.
	Weight float64
	// LeaseTTL is how long a host that stops renewing its leases keeps its plugins, by the database's clock: long
	// enough for a pause of the machine or the database, short enough to wait for after a crash. Defaults to 10s.
	LeaseTTL time.Duration
	// ShutdownTimeout bounds how long a stopping host finishes and commits what is in flight.
	// Defaults to 10s.
	ShutdownTimeout time.Duration
	// CacheDir keeps compiled modules from one start to the next; empty means that nothing is kept.
	// Defaults to eshost in the user's cache folder.
	CacheDir string
	// LogFormat is how log lines are written, LogText or LogJSON. Defaults to LogText.
	LogFormat string
	// LogLevel is the least severe level that is logged. Defaults to info.
	LogLevel slog.Level
}

// Log formats.
const (
	LogText = "text"
	LogJSON = "json"
)

// Store is the [store] section: the database.
type Store struct {
	// URL is sqlite:PATH or postgres://…. Defaults to sqlite:eshost.db.
	URL string
	// PollMax is the longest pause of an idle host between two looks for events that others wrote.
	// Defaults to 100ms.
	PollMax time.Duration
}

// Plugin is one [plugins.NAME] section: one subscriber.
type Plugin struct {
	Name string
	// Module is the path of the .wasm file. It has no default.
	Module string
	// SHA256 pins the module: another one is refused. 64 hex digits. Defaults to any.
	SHA256 string
	// Events lists the event types the plugin gets; empty means all. Defaults to all.
	Events []string
	// Start is where a plugin begins that the store does not know yet. Defaults to the beginning.
	Start Start
	// OrderBy says which events must be handled one after another. Defaults to OrderByStream.
	OrderBy OrderBy
	// Partitions splits the plugin by ordering key, so that several hosts run it at the same time. Defaults to 1.
	Partitions int
	// Target is where the read model is kept: TargetStore or TargetRedis. Defaults to TargetStore.
	Target Target
	// Weight is how much of a host the plugin, or each of its partitions, takes beside other plugins. Defaults to 1.
	Weight float64
	// Allow lists the grants the module gets. Defaults to state and log.
	Allow []string
	// Lanes is how many instances handle a batch side by side. Defaults to the number of CPUs.
	Lanes int
	// Batch is the most events in one commit. Defaults to DefaultBatch.
	Batch  int
	Retry  Retry
	Limits Limits
	// OnChange says what a new module does: OnChangeContinue or OnChangeRebuild. Defaults to OnChangeContinue.
	OnChange OnChange
	// KeepOld is how long a generation is kept that a rebuild has replaced. Defaults to 168h.
	KeepOld time.Duration
	// Config is what the module reads with config_get: numbers and booleans as text. Defaults to nothing.
	Config map[string]string
}

// Target says where a plugin's read model is kept.
type Target string

const (
	// TargetStore keeps it in the database.
	TargetStore Target = "store"
	// TargetRedis keeps it in the Redis of [redis], and builds it anew whenever Redis has lost it.
	TargetRedis Target = "redis"
)

// OnChange says what happens to a plugin's read model when its module changes.
type OnChange string

const (
	// OnChangeContinue has the new module go on where the one before stopped.
	OnChangeContinue OnChange = "continue"
	// OnChangeRebuild has the new module build the read model from the first event beside the live one.
	OnChangeRebuild OnChange = "rebuild"
)

// Retry is [plugins.NAME.retry]: what happens to an event whose handler fails.
type Retry struct {
	// Attempts is how often an event is tried before its sequence is parked. Defaults to 5.
	Attempts int
	// First is the pause after the first attempt; each further pause is twice the last, up to Longest.
	// The file writes both as backoff = "FIRST..LONGEST". Default to 100ms and 30s.
	First   time.Duration
	Longest time.Duration
	// MaxParked is how many events may wait in failing sequences: at this number the plugin pauses.
	// Defaults to 10000.
	MaxParked int
}

// Limits is [plugins.NAME.limits]: what the plugin may use.
type Limits struct {
	// Memory is the most linear memory of one instance, in bytes. Defaults to 32MiB.
	Memory int64
	// Time is the longest that handling one event may take. Defaults to 250ms.
	Time time.Duration
	// Cache bounds the host's cache of the plugin's documents, in bytes. Defaults to 32MiB.
	Cache int64
	// EmitDepth is how many emitted events may follow from one another: it ends plugins that feed each
	// other. Defaults to 16.
	EmitDepth int
}

// DefaultBatch is the most events in one commit where hosts.toml does not say.
const DefaultBatch = 20_000

// OrderBy names the ordering key of events: OrderByStream, OrderByAll, or "metadata." and a name.
type OrderBy string

const (
	// OrderByStream keeps the order in each stream.
	OrderByStream OrderBy = "stream"
	// OrderByAll keeps the order of the whole log: one lane.
	OrderByAll OrderBy = "all"

	orderByMetadata = "metadata."
)

// Metadata returns the name of the metadata member that is the ordering key, if one is.
func (o OrderBy) Metadata() (name string, ok bool) {
	return strings.CutPrefix(string(o), orderByMetadata)
}

// Start is where a new plugin begins.
type Start struct {
	At StartAt
	// Position is the first position the plugin is given, with StartAtPosition.
	Position event.Position
	// Time bounds the first event the plugin is given from below, with StartAtTime.
	Time time.Time
}

// StartAt is a kind of Start.
type StartAt int

const (
	// StartAtBeginning gives the plugin the whole log.
	StartAtBeginning StartAt = iota
	// StartAtEnd gives the plugin what is appended from now on.
	StartAtEnd
	// StartAtPosition gives the plugin the log from a position on, that position included.
	StartAtPosition
	// StartAtTime gives the plugin the log from the first event recorded at a time or later.
	StartAtTime
)

func defaults(dir string) Config {
	return Config{
		Host: Host{
			Name:            hostName(),
			Listen:          "127.0.0.1:7070",
			Weight:          1,
			LeaseTTL:        10 * time.Second,
			ShutdownTimeout: 10 * time.Second,
			CacheDir:        cacheDir(),
			LogFormat:       LogText,
			LogLevel:        slog.LevelInfo,
		},
		Store: Store{
			URL:     sqliteScheme + filepath.Join(dir, "eshost.db"),
			PollMax: 100 * time.Millisecond,
		},
		Redis: Redis{Prefix: "eshost", Timeout: time.Second},
	}
}

func pluginDefaults(name string) Plugin {
	return Plugin{
		Name:    name,
		OrderBy: OrderByStream,
		Weight:  1,
		Allow:   []string{abi.GrantState, abi.GrantLog},
		Lanes:   min(runtime.GOMAXPROCS(0), maxLanes),
		Batch:   DefaultBatch,

		Partitions: 1,
		Target:     TargetStore,
		OnChange:   OnChangeContinue,
		KeepOld:    7 * 24 * time.Hour,
		Retry: Retry{
			Attempts:  5,
			First:     100 * time.Millisecond,
			Longest:   30 * time.Second,
			MaxParked: 10_000,
		},
		Limits: Limits{
			Memory: 32 << 20,
			Time:   250 * time.Millisecond,
			Cache:  32 << 20,

			EmitDepth: 16,
		},
		Config: map[string]string{},
	}
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "eshost"
	}
	return name
}

func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "eshost")
}
