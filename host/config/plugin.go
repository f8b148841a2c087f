package config

import (
	"fmt"
	"slices"
	"time"

	"eshost/abi"
)

// NewPlugin is a plugin that declares nothing but its module: everything else has hosts.toml's defaults.
func NewPlugin(name, module string) Plugin {
	p := pluginDefaults(name)
	p.Module = module
	return p
}

// ParseTime reads what limits.time may be, such as "250ms".
func ParseTime(text string) (time.Duration, error) {
	r := handlingTime()
	d, err := r.parse(text)
	if err != nil {
		return 0, fmt.Errorf("must be %s, is %q", r.want, text)
	}
	return d, nil
}

// handlingTime is what limits.time may be.
func handlingTime() rule[time.Duration] { return duration(time.Millisecond, 10*time.Minute, "250ms") }

// Emits reports whether the plugin may append events.
func (p *Plugin) Emits() bool { return slices.Contains(p.Allow, abi.GrantEmit) }
