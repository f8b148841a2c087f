package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"eshost/host"
	"eshost/host/config"
	"eshost/host/store"
)

// config reads hosts.toml, in which nothing may be wrong.
func (a *app) config() (*config.Config, error) {
	conf, err := config.Load(a.configPath(), a.getenv)
	return conf, a.explainMissing(err)
}

// sections reads hosts.toml as a running host does: plugins whose sections have mistakes are left out of conf, and wrong
// has what is wrong with them. People are told once.
func (a *app) sections() (conf *config.Config, wrong map[string]error, err error) {
	conf, wrong, err = config.LoadEach(a.configPath(), a.getenv)
	if err != nil {
		return nil, nil, a.explainMissing(err)
	}
	if a.started && !a.warned { // else the shell completes
		a.warned = true
		for _, name := range slices.Sorted(maps.Keys(wrong)) {
			writeLines(a.err, "eshost: warning:", wrong[name].Error())
		}
	}
	return conf, wrong, nil
}

// explainMissing says what to do where there is no hosts.toml.
func (a *app) explainMissing(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	named := cmp.Or(a.configFile, a.getenv("ESHOST_CONFIG"))
	if named == "" {
		return missing("run eshost in the folder that has it, or name it with --config, or name the database with --store",
			"there is no %s in this folder", config.FileName)
	}
	return missing("name a file that is there with --config or ESHOST_CONFIG", "there is no file %q", named)
}

// configPath is where hosts.toml is.
func (a *app) configPath() string {
	return cmp.Or(a.configFile, a.getenv("ESHOST_CONFIG"), config.FileName)
}

// target is the database a command works on.
type target struct {
	store.Store
	// conf is hosts.toml without the sections in wrong, or nil where --store named the database.
	conf *config.Config
	// wrong is why plugins' sections of hosts.toml cannot be used.
	wrong map[string]error
	// models reads what plugins keep in Redis; nil where conf is.
	models *host.ReadModels
}

// openStore opens the database that --store or hosts.toml names. Only append makes or migrates one: who
// only reads changes nothing.
func (a *app) openStore(ctx context.Context, create bool) (*target, error) {
	storeURL, conf, wrong, err := a.locateStore()
	if err != nil {
		return nil, err
	}
	if file, ok := strings.CutPrefix(storeURL, "sqlite:"); ok && !create {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, missing("eshost append or eshost run makes it", "there is no database %s", file)
		}
	}
	open := host.OpenExistingStore
	if create {
		open = host.OpenStore
	}
	s, err := open(ctx, storeURL, "cli")
	switch {
	case errors.Is(err, store.ErrNoSchema):
		return nil, missing("", "%w", err)
	case errors.Is(err, store.ErrOldSchema):
		return nil, badInput("", "%w", err)
	case err != nil:
		return nil, err
	}
	if conf == nil {
		return &target{Store: s}, nil
	}
	models, err := host.OpenReadModels(ctx, s, conf)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &target{models, conf, wrong, models}, nil
}

// locateStore returns the database's URL and, where that is hosts.toml's, what that file says.
func (a *app) locateStore() (url string, conf *config.Config, wrong map[string]error, err error) {
	if a.storeURL != "" {
		url, err = a.givenStore()
		return url, nil, nil, err
	}
	if conf, wrong, err = a.sections(); err != nil {
		return "", nil, nil, err
	}
	return conf.Store.URL, conf, wrong, nil
}

// givenStore is the URL that --store has.
func (a *app) givenStore() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the current folder: %w", err)
	}
	url, err := config.ResolveStoreURL(a.storeURL, folder)
	if err != nil {
		return "", badInput("such as --store sqlite:bank.db or --store postgres://app@localhost:5432/bank", "--store: %w", err)
	}
	return url, nil
}

// declares reports whether hosts.toml has the plugin, be it with mistakes.
func (t *target) declares(plugin string) bool {
	return t.section(plugin) != nil || t.wrong[plugin] != nil
}

// section is what hosts.toml says of the plugin, nil where it says nothing that can be used.
func (t *target) section(plugin string) *config.Plugin {
	if t.conf == nil {
		return nil
	}
	return t.conf.Plugin(plugin)
}

// plugin returns a plugin's live generation. One that is nowhere is wrong input; one that no host has
// started yet has nothing to show.
func (t *target) plugin(ctx context.Context, name string) (store.Generation, error) {
	g, err := t.FindPlugin(ctx, name)
	if err == nil && t.section(name) == nil {
		return g, t.checkElsewhere(ctx, g)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return g, err
	}
	if wrong := t.wrong[name]; wrong != nil {
		return g, wrong
	}
	if t.declares(name) {
		return g, failed("start it: eshost run", "plugin %q was never started on this database", name)
	}
	return g, t.unknownPlugin(ctx, name)
}

// checkElsewhere fails for a plugin whose read model is not in the database, where no hosts.toml says where it is.
func (t *target) checkElsewhere(ctx context.Context, g store.Generation) error {
	o, err := t.Origin(ctx, g.ID)
	if err == nil && o.Elsewhere {
		if wrong := t.wrong[g.Plugin]; wrong != nil {
			return wrong
		}
		err = missing("name the hosts.toml that declares it with --config", "the read model of plugin %q is not in the database", g.Plugin)
	}
	return err
}

func (t *target) unknownPlugin(ctx context.Context, name string) error {
	known, err := t.pluginNames(ctx)
	if err != nil {
		return err
	}
	hint := "this database has no plugins yet; declare one in hosts.toml, then: eshost run"
	if len(known) > 0 {
		hint = suggestion(name, known, "known plugins: "+strings.Join(known, ", "))
	}
	return badInput(hint, "there is no plugin %q", name)
}

// pluginNames lists the plugins that the database or hosts.toml knows.
func (t *target) pluginNames(ctx context.Context) ([]string, error) {
	stored, err := t.Plugins(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range stored {
		names = append(names, p.Plugin)
	}
	return t.withDeclared(names), nil
}

// withDeclared adds the plugins that only hosts.toml knows.
func (t *target) withDeclared(names []string) []string {
	if t.conf == nil {
		return names
	}
	declared := slices.Sorted(maps.Keys(t.wrong))
	for _, p := range t.conf.Plugins {
		declared = append(declared, p.Name)
	}
	stored := make(map[string]bool)
	for _, name := range names {
		stored[name] = true
	}
	for _, name := range declared {
		if !stored[name] {
			names = append(names, name)
		}
	}
	return names
}
