package cli

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"eshost/host"
	"eshost/host/store"
)

// rebuilding is one call of rebuild.
type rebuilding struct {
	asking
	module            string
	detach            bool
	rollback, dropOld bool
	generation        int
	changed           func(flag string) bool
}

func (a *app) rebuildCommand() *cobra.Command {
	var r rebuilding
	c := a.command(&cobra.Command{
		Use:   "rebuild PLUGIN",
		Short: "Build a plugin's read model anew beside the live one, go back, or drop the old one",
		Long: `rebuild has the plugin's host build a new generation of the read model from the first event (or from the plugin's
declared start), with the module of hosts.toml or the one of --module. The live generation keeps serving and following
meanwhile. When the new one has caught up it becomes the live one at once, for all readers in one transaction. Events
that handlers emit for what was handled before are not emitted again. Events that somebody skipped are handled again, and
data that somebody put in the place of an event's stays.

rebuild follows that until the new generation is live, or until it is interrupted, which does not stop the build; nor
does a restart of the host. With --detach it returns as soon as the build has begun; eshost status shows how far it is.

The old generation is kept for keep_old (a week unless hosts.toml says otherwise): --rollback makes it the live one
again, from where it stopped, with the module that made it; another --rollback goes forward again. --drop-old drops
what is kept. With --generation it drops that one, also one that is being built.

A module of --module is stored in the database and stays the plugin's until the module in hosts.toml changes.
eshost diff shows beforehand what would be different.`,
		Example: `  eshost rebuild balances
  eshost rebuild balances --module balances-v2.wasm --why "ticket 4711"
  eshost rebuild balances --rollback
  eshost rebuild balances --drop-old`,
		ValidArgsFunction: a.completePlugin(false),
	}, func(ctx context.Context, args []string) error { return a.rebuild(ctx, args[0], &r) })
	f := c.Flags()
	f.StringVar(&r.module, "module", "", "build with this module instead of the declared one")
	f.BoolVar(&r.detach, "detach", false, "do not wait for the new generation to be live")
	f.BoolVar(&r.rollback, "rollback", false, "make the generation before the live one again")
	f.BoolVar(&r.dropOld, "drop-old", false, "drop the generations that are kept")
	f.IntVar(&r.generation, "generation", 0, "number of the generation to go back to, or to drop (default: the last one, or all)")
	r.flags(c, "why, for the record")
	a.jsonFlag(c)
	if err := c.MarkFlagFilename("module", "wasm"); err != nil {
		panic(err) // the flag is defined above
	}
	r.changed = f.Changed
	return c
}

func (r *rebuilding) check() error {
	switch {
	case r.rollback && r.dropOld:
		return badInput("one after the other", "--rollback and --drop-old do not go together")
	case r.generation < 0, r.changed("generation") && r.generation == 0:
		return badInput("eshost status --json shows their numbers", "--generation must be the number of a generation, is %d", r.generation)
	case r.generation != 0 && !r.rollback && !r.dropOld:
		return badInput("add --rollback or --drop-old", "--generation says which one to go back to or to drop")
	case (r.rollback || r.dropOld) && r.changed("module"):
		return badInput("a generation goes on with the module that made it", "--module is for building a generation")
	case (r.rollback || r.dropOld) && r.detach:
		return badInput("leave it out", "--detach is for building a generation")
	case r.changed("module") && r.module == "":
		return badInput("such as --module balances-v2.wasm", "--module is empty")
	}
	return nil
}

func (a *app) rebuild(ctx context.Context, plugin string, r *rebuilding) error {
	if err := r.check(); err != nil {
		return err
	}
	req := store.Request{Plugin: plugin, Action: store.AskRebuild, Generation: r.generation}
	switch {
	case r.rollback:
		req.Action = store.AskRollback
		return a.ask(ctx, req, &r.asking)
	case r.dropOld:
		req.Action = store.AskDrop
		return a.ask(ctx, req, &r.asking)
	}
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	if _, err := t.plugin(ctx, plugin); err != nil {
		return err
	}
	if r.module != "" {
		if req.Digest, err = t.giveModule(ctx, plugin, r.module); err != nil {
			return err
		}
	}
	if req.Who, req.Why = cmp.Or(r.who, a.osUser()), r.why; req.Who == "" {
		return badInput("such as --who ada", "cannot find out who asks: name yourself with --who")
	}
	asked, err := host.Ask(ctx, t, req)
	if err != nil {
		return a.whyNotAsked(ctx, t, &req, err)
	}
	if req, err = a.awaitBegin(ctx, t, asked, r); err != nil {
		return err
	}
	if t.models != nil {
		if _, elsewhere, err := t.models.LookAtReadModel(ctx, plugin); err != nil || elsewhere {
			return a.followInPlace(ctx, t, plugin, req.Answer, r, err)
		}
	}
	return a.followBuild(ctx, t, req, r)
}

// followInPlace shows how far a read model is that is built anew where it is, until it is ready.
func (a *app) followInPlace(ctx context.Context, t *target, plugin, answer string, r *rebuilding, err error) error {
	began := time.Now()
	line := newProgress(a.err, 0)
	defer line.clear()
	for err == nil && !r.detach {
		var m host.ReadModel
		if m, _, err = t.models.LookAtReadModel(ctx, plugin); err != nil || m.Ready {
			break
		}
		if line.w != nil {
			line.draw(func() string { return plugin + ": " + m.Words })
		}
		if pause(ctx, followLook) != nil {
			return fail(exitInterrupted, "see how far it is: eshost status", "interrupted; the host goes on building the read model of plugin %q", plugin)
		}
	}
	line.clear()
	switch {
	case err != nil:
		return fmt.Errorf("look how far the read model of plugin %q is: %w", plugin, err)
	case a.json:
		return writeJSON(a.out, struct {
			Plugin  string  `json:"plugin"`
			Answer  string  `json:"answer"`
			Seconds float64 `json:"seconds"`
		}{plugin, answer, time.Since(began).Seconds()})
	case r.detach:
		_, err = fmt.Fprintf(a.out, "%s: %s\n", plugin, answer)
	default:
		_, err = fmt.Fprintf(a.out, "%s: its read model is built\n", plugin)
	}
	return err
}

// giveModule stores a module in the database, from where the plugin's host takes it.
func (t *target) giveModule(ctx context.Context, plugin, file string) (string, error) {
	if err := checkModuleFile(file, false); err != nil {
		return "", err
	}
	var memory int64
	if p := t.section(plugin); p != nil {
		memory = p.Limits.Memory
	}
	if _, err := host.CheckModule(ctx, file, memory); err != nil {
		return "", err
	}
	digest, err := host.StoreModule(ctx, t, file)
	if err != nil {
		return "", fmt.Errorf("give the module to the plugin's host: %w", err)
	}
	return digest, nil
}

// awaitBegin waits until the plugin's host has begun, or has refused.
func (a *app) awaitBegin(ctx context.Context, t *target, req host.Asked, r *rebuilding) (store.Request, error) {
	waiting, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	answered, err := host.Await(waiting, t, req)
	if err != nil {
		return answered, err
	}
	log := "it stays asked for and is begun when a host takes it up; see what becomes of it: eshost parked log " + req.Plugin
	switch {
	case answered.State == store.Refused:
		return answered, failed("", "plugin %q is not rebuilt: %s", req.Plugin, answered.Answer)
	case answered.State == store.Done:
		return answered, nil
	case ctx.Err() != nil:
		return answered, fail(exitInterrupted, log, "interrupted before a host has begun to rebuild plugin %q", req.Plugin)
	}
	owner, err := t.ownerOf(ctx, req.Plugin)
	if err != nil {
		return answered, err
	}
	if owner == "" {
		return answered, failed(log, "no host runs plugin %q, and none took it over within %s", req.Plugin, r.wait)
	}
	return answered, failed(log, "host %q has not begun to rebuild plugin %q within %s", owner, req.Plugin, r.wait)
}

// rebuildReport is what rebuild prints as JSON.
type rebuildReport struct {
	Plugin string `json:"plugin"`
	*generationReport
	Seconds float64 `json:"seconds"`
}

// followBuild shows how far the generation is, until it is live.
func (a *app) followBuild(ctx context.Context, t *target, req store.Request, r *rebuilding) error {
	began := time.Now()
	looking := context.WithoutCancel(ctx) // an interrupt ends it between two looks
	f := follower{app: a, plugin: req.Plugin, line: newProgress(a.err, 0), owned: began, said: began}
	defer f.line.clear()
	for {
		g, err := t.generation(looking, req.Plugin, f.number)
		if err != nil {
			return err
		}
		f.number = g.Number
		watermark, err := t.watermark(looking)
		if err != nil {
			return err
		}
		b := reportGeneration(g, watermark)
		f.pace.note(b, g.Position)
		if r.detach || g.State != store.Building {
			f.line.clear()
			return a.builtOrNot(req.Plugin, g, b, r, time.Since(began))
		}
		f.tell(b)
		if pause(ctx, followLook) != nil {
			f.line.clear()
			return fail(exitInterrupted, fmt.Sprintf("see how far it is: eshost status\ngive it up: eshost rebuild %s --drop-old --generation %d", req.Plugin, g.Number),
				"interrupted; the host goes on building generation %d of plugin %q", g.Number, req.Plugin)
		}
	}
}

// builtOrNot ends the following: the generation is live, or is not built any more.
func (a *app) builtOrNot(plugin string, g *store.GenerationStatus, b *generationReport, r *rebuilding, took time.Duration) error {
	if g.State != store.Live && !(r.detach && g.State == store.Building) {
		return failed("see what became of it: eshost parked log "+plugin, "generation %d of plugin %q is %s", g.Number, plugin, g.State)
	}
	if a.json {
		return writeJSON(a.out, rebuildReport{plugin, b, took.Seconds()})
	}
	if g.State == store.Building {
		fmt.Fprintf(a.out, "%s: generation %d is being built; eshost status shows how far it is\n", plugin, g.Number)
		return nil
	}
	fmt.Fprintf(a.out, "%s: generation %d is live, at position %d\n", plugin, g.Number, g.Position)
	if g.Parked > 0 {
		fmt.Fprintf(a.err, "eshost: %s parked in it\nhint: eshost parked list %s, or go back with: eshost rebuild %s --rollback\n", plural(g.Parked, "sequence"), plugin, plugin)
	}
	return nil
}

const (
	followLook = 200 * time.Millisecond
	sayEvery   = 5 * time.Second // where there is no terminal
	// unowned is how long no host may have the build before that is worth a word: one that restarts or takes over is quick.
	unowned = 3 * time.Second
)

// follower tells a person how a build gets on.
type follower struct {
	app    *app
	plugin string
	number int // of the generation, 0 before the first look
	line   *progress
	pace   buildPace
	hold   string    // what was said last
	owned  time.Time // when a host last had it
	said   time.Time
}

// tell draws a line on a terminal, or prints one now and then. What holds the build up is printed as it changes.
func (f *follower) tell(b *generationReport) {
	if b.live {
		f.owned = time.Now()
	}
	hold := b.Reason
	if time.Since(f.owned) > unowned {
		hold = "no host builds it now; it goes on when one runs the plugin: eshost status"
	}
	if hold != "" && hold != f.hold {
		f.line.clear()
		fmt.Fprintf(f.app.err, "eshost: generation %d waits: %s\n", b.Generation, printable(hold))
	}
	f.hold = hold
	switch {
	case f.line.w != nil:
		f.line.draw(b.progress)
	case time.Since(f.said) >= sayEvery:
		f.said = time.Now()
		fmt.Fprintf(f.app.err, "%s: %s\n", f.plugin, b.progress())
	}
}

// generation returns the one with that number, or the newest for 0.
func (t *target) generation(ctx context.Context, plugin string, number int) (*store.GenerationStatus, error) {
	all, err := t.Generations(ctx, plugin)
	if err != nil {
		return nil, fmt.Errorf("read the generations: %w", err)
	}
	for i := range all {
		if number == 0 || all[i].Number == number {
			return &all[i], nil
		}
	}
	return nil, failed("see what became of it: eshost parked log "+plugin, "generation %d of plugin %q was dropped", number, plugin)
}
