package plugin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"eshost/abi"
)

// Limits bound what one plugin's instances may use.
type Limits struct {
	// Memory is the most linear memory an instance may have, in bytes, rounded down to pages of 64 KiB.
	// Defaults to 32 MiB.
	Memory uint64
	// Time is how long one event may take, waiting for the database not counted. Defaults to 250ms.
	Time time.Duration
	// InitTime is how long a new instance may take until it is ready. Defaults to 3s.
	InitTime time.Duration
	// EmitDepth is how many emitted events may follow from one another, each by a handler of the one before: it ends
	// plugins that feed each other. Defaults to 16.
	EmitDepth int
}

const pageSize = 64 << 10

func (l Limits) withDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = 32 << 20
	}
	if l.Time == 0 {
		l.Time = 250 * time.Millisecond
	}
	if l.InitTime == 0 {
		l.InitTime = 3 * time.Second
	}
	if l.EmitDepth == 0 {
		l.EmitDepth = 16
	}
	return l
}

// Spec is how a plugin is declared.
type Spec struct {
	Name string
	// Grants are what the plugin is allowed: abi.GrantState, abi.GrantEmit, abi.GrantLog.
	Grants []string
	// Config is what config_get answers from.
	Config map[string]string
	Limits Limits
}

// Grants lists everything a plugin can be allowed.
func Grants() []string { return []string{abi.GrantState, abi.GrantEmit, abi.GrantLog} }

func (s *Spec) check() error {
	for _, g := range s.Grants {
		if !slices.Contains(Grants(), g) {
			return refuse(ErrSpec, "allow is a list of "+strings.Join(Grants(), ", "), "there is nothing called %q to allow", g)
		}
	}
	switch l := s.Limits; {
	case l.Memory < pageSize || l.Memory > 4<<30:
		return refuse(ErrSpec, "set limits.memory between 64KiB and 4GiB", "the memory limit of %d bytes is impossible", l.Memory)
	case l.Time <= 0 || l.InitTime <= 0:
		return refuse(ErrSpec, "set limits.time to something like 250ms", "a time limit must be above zero")
	case l.EmitDepth < 1:
		return refuse(ErrSpec, "set limits.emit_depth to something like 16", "the emit depth of %d is impossible", l.EmitDepth)
	}
	return nil
}

// Info describes a module without running it.
type Info struct {
	Digest string // SHA-256 of the module's bytes, in hex
	Size   int    // of the module, in bytes
	// Imports are module.function, Exports function names; both in order.
	Imports, Exports []string
	// Grants are what the module's imports need, Needs says which of them needs which.
	Grants []string
	Needs  map[string]string
	// MinMemory and MaxMemory are what linear memory begins with and may grow to, in bytes.
	MinMemory, MaxMemory uint64
	// Manifest is nil where the module has none.
	Manifest *Manifest
}

func (e *Engine) describe(c *compiled, wasm []byte, manifest *Manifest) Info {
	info := Info{Digest: c.digest(), Size: len(wasm), Manifest: manifest, Needs: make(map[string]string)}
	grants := make(map[string]bool)
	for _, f := range c.program.code.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == e.opts.Meter.Module {
			continue
		}
		info.Imports = append(info.Imports, module+"."+name)
		if g := e.served[module][name].grant; g != "" {
			grants[g] = true
			info.Needs[module+"."+name] = g
		}
	}
	slices.Sort(info.Imports)
	info.Imports = slices.Compact(info.Imports)
	for name := range c.program.code.ExportedFunctions() {
		info.Exports = append(info.Exports, printable(name, maxName))
	}
	slices.Sort(info.Exports)
	info.Grants = slices.Sorted(maps.Keys(grants))
	memory := c.program.code.ExportedMemories()[abi.ExportMemory]
	info.MinMemory = uint64(memory.Min()) * pageSize
	if most, bounded := memory.Max(); bounded {
		info.MaxMemory = uint64(most) * pageSize
	}
	return info
}

// Module is one plugin's module, ready to make instances. Its methods may be called from any goroutine.
type Module struct {
	engine *Engine
	spec   Spec
	code   *compiled
	log    *guestLog
	closed bool // guarded by engine.mu
}

// Load validates, meters and compiles a module; the same bytes under the same memory limit are compiled once. The error
// is an *Error for whatever is wrong with the module or its settings.
func (e *Engine) Load(ctx context.Context, wasm []byte, spec Spec) (*Module, error) {
	spec.Limits = spec.Limits.withDefaults()
	spec.Grants, spec.Config = slices.Clone(spec.Grants), maps.Clone(spec.Config)
	if err := spec.check(); err != nil {
		return nil, about("load", spec.Name, err)
	}
	code, err := e.acquire(ctx, wasm, uint32(spec.Limits.Memory/pageSize))
	if err != nil {
		return nil, about("load", spec.Name, err)
	}
	if err := e.checkGrants(code, &spec); err != nil {
		e.release(code)
		return nil, about("load", spec.Name, err)
	}
	return &Module{engine: e, spec: spec, code: code, log: newGuestLog(e.opts.Logger, spec.Name, e.opts.LogRate)}, nil
}

func (e *Engine) checkGrants(c *compiled, spec *Spec) error {
	for _, name := range c.info.Imports {
		module, function, _ := strings.Cut(name, ".")
		need := e.served[module][function].grant
		if need == "" || slices.Contains(spec.Grants, need) {
			continue
		}
		return refuse(ErrGrant, fmt.Sprintf("in hosts.toml, under [plugins.%s], write: allow = %s", spec.Name, tomlList(append(spec.Grants, c.info.Grants...))),
			"the module imports %s, and the plugin is not allowed %q", name, need)
	}
	return nil
}

// tomlList writes the grants the way hosts.toml has them, in the order of Grants.
func tomlList(grants []string) string {
	var quoted []string
	for _, g := range Grants() {
		if slices.Contains(grants, g) {
			quoted = append(quoted, `"`+g+`"`)
		}
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Digest is the SHA-256 of the bytes that were loaded, in hex.
func (m *Module) Digest() string { return m.code.info.Digest }

// Info describes the module. It is shared: do not change it.
func (m *Module) Info() *Info { return &m.code.info }

// Close gives the module up. Its open instances go on working, new ones cannot be made.
func (m *Module) Close(context.Context) error {
	if m.engine.retire(m) {
		m.log.close()
	}
	return nil
}
