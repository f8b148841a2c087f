package host

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"eshost/host/config"
	"eshost/host/store"
)

// ReloadOutcome says what became of one plugin, or of hosts.toml, in a reload.
type ReloadOutcome struct {
	Plugin string `json:"plugin,omitempty"` // empty for the file itself
	Result string `json:"result"`           // one of the words below
	Digest string `json:"digest,omitempty"` // of the plugin's module
	Reason string `json:"reason,omitempty"` // why it was refused
}

// What a reload comes to.
const (
	ReloadUnchanged  = "unchanged"
	ReloadReplaced   = "replaced"   // by a new module
	ReloadRebuilding = "rebuilding" // a new module builds the read model anew, beside the live one
	ReloadChanged    = "changed"    // by its section of hosts.toml
	ReloadAdded      = "added"
	ReloadRemoved    = "removed"
	ReloadRefused    = "refused" // what was before goes on
)

// reloader brings changed modules and a changed hosts.toml in while the host runs. One goroutine does it all.
type reloader struct {
	h     *Host
	file  string              // hosts.toml; empty means that only the modules are watched
	files map[string]*watched // by path
	redis config.Redis        // as hosts.toml has it now; the host goes by the one it was started with
	// pending are the sections of hosts.toml that are refused, by plugin. They are tried again as soon as anything changes.
	pending map[string]config.Plugin

	hurried bool // somebody asked for this reload: what there is now is judged as it is

	fs      *fsnotify.Watcher // nil where the operating system cannot tell of changes
	folders map[string]bool   // that fs watches
}

func newReloader(h *Host) *reloader {
	r := &reloader{h: h, file: h.o.ConfigFile, redis: h.conf.Redis, files: make(map[string]*watched),
		pending: make(map[string]config.Plugin), folders: make(map[string]bool)}
	for _, p := range h.list() {
		r.note(p.conf.Module, p.stamp)
	}
	if r.file != "" {
		r.note(r.file, nil) // read again at once: it may have changed since the host was opened
	}
	return r
}

// note says how a file looked when it was read.
func (r *reloader) note(path string, info os.FileInfo) {
	r.files[path] = &watched{info: info, read: info, since: time.Now()}
}

// watch has a file that is about to be read watched from now on.
func (r *reloader) watch(path string) *watched {
	if r.files[path] == nil {
		r.note(path, stat(path))
	}
	return r.files[path]
}

// run watches until ctx ends.
func (r *reloader) run(ctx context.Context) {
	var events chan fsnotify.Event
	var lost chan error
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		r.h.log.Info("changed files are found by looking at them every second", "reason", err)
	} else {
		defer func() { _ = fs.Close() }() // it only watched
		r.fs, events, lost = fs, fs.Events, fs.Errors
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var pause time.Duration
		select {
		case <-ctx.Done():
			return
		case answer := <-r.h.reloads:
			r.giveUpFailed(ctx)
			answer <- r.asked(ctx)
			pause = lookEvery
		case <-lost: // too many changes at once
			pause = lookAgain
		case e := <-events:
			if r.files[e.Name] == nil {
				continue // a neighbour's
			}
			pause = lookAgain
		case <-timer.C:
			r.giveUpFailed(ctx)
			r.watchFolders()
			pause = r.look(ctx)
		}
		timer.Reset(pause)
	}
}

// watchFolders has fs watch the files' folders: a file that is replaced by a rename is another one to it.
func (r *reloader) watchFolders() {
	if r.fs == nil {
		return
	}
	for path := range r.files {
		if folder := filepath.Dir(path); !r.folders[folder] && r.fs.Add(folder) == nil {
			r.folders[folder] = true
		}
	}
}

// look reads what has changed and stays as it is now, and returns when to look again.
func (r *reloader) look(ctx context.Context) time.Duration {
	changing, half, changed := false, false, false
	for path, w := range r.files {
		w.see(stat(path))
		switch {
		case w.info == nil || !w.half && sameFile(w.info, w.read):
		case !w.still(quiet):
			changing = true
		case w.half && !w.still(settled):
			half = true
		default:
			changed = true
		}
	}
	if changed && !changing { // everything has come to rest
		r.reload(ctx)
	}
	if changing || half {
		return lookAgain
	}
	return lookEvery
}

// asked reloads what has changed, without waiting for anything to come to rest.
func (r *reloader) asked(ctx context.Context) []ReloadOutcome {
	for path, w := range r.files {
		if info := stat(path); info != nil {
			w.see(info)
		}
	}
	r.hurried = true
	defer func() { r.hurried = false }()
	return r.standing(r.reload(ctx))
}

// sure reports whether a file is all there, as far as time can tell: it is not that somebody is still writing it.
func (r *reloader) sure(w *watched) bool { return r.hurried || w.still(settled) }

// standing adds what was refused before and has not changed since: whoever asks wants to know.
func (r *reloader) standing(all []ReloadOutcome) []ReloadOutcome {
	h := r.h
	for i := range all {
		if p := h.find(all[i].Plugin); p != nil && all[i].Result == ReloadUnchanged {
			if refused := p.refusal(); refused != nil {
				all[i] = ReloadOutcome{Plugin: all[i].Plugin, Result: ReloadRefused, Digest: refused.Digest, Reason: refused.Reason}
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	add := func(plugin, reason string) {
		same := func(o ReloadOutcome) bool { return o.Plugin == plugin && o.Result == ReloadRefused }
		if reason != "" && !slices.ContainsFunc(all, same) {
			all = append(all, ReloadOutcome{Plugin: plugin, Result: ReloadRefused, Reason: reason})
		}
	}
	add("", h.refusedFile)
	for _, name := range slices.Sorted(maps.Keys(h.refused)) {
		add(name, h.refused[name])
	}
	return all
}

// reload brings in hosts.toml and the modules as they are now.
func (r *reloader) reload(ctx context.Context) []ReloadOutcome {
	for _, w := range r.files {
		w.half = w.half && !r.sure(w)
	}
	var all []ReloadOutcome
	if w := r.files[r.file]; w != nil && !w.half && !sameFile(w.info, w.read) {
		all = r.applyFile(ctx, w)
	} else {
		all = r.applyPending(ctx)
	}
	done := make(map[string]bool)
	for _, o := range all {
		done[o.Plugin] = true
	}
	for name := range r.pending { // its module is judged by the section that is declared now
		done[name] = true
	}
	for _, p := range r.h.list() {
		if ctx.Err() == nil && !done[p.conf.Name] {
			all = append(all, r.module(ctx, p))
		}
	}
	for _, w := range r.files {
		if !w.half {
			w.read = w.info
		}
	}
	r.h.metrics.reloaded(all)
	return all
}

// module brings in a plugin's module if its file has changed.
func (r *reloader) module(ctx context.Context, p *hosted) ReloadOutcome {
	w := r.files[p.conf.Module]
	unchanged := ReloadOutcome{Plugin: p.conf.Name, Result: ReloadUnchanged, Digest: p.digest()}
	if w.info == nil || w.half || sameFile(w.info, p.stamp) {
		return unchanged
	}
	before := p.stamp
	p.stamp = w.info
	o, half := p.tryModule(ctx, r.h, r.sure(w))
	if half {
		p.stamp, w.half = before, true
		return unchanged
	}
	if still := p.refusal(); still != nil && o.Result != ReloadRefused && o.Result != ReloadUnchanged {
		// The section is refused as before: the newest entry of the history says so.
		r.h.record(ctx, p, ReloadOutcome{Plugin: p.conf.Name, Digest: o.Digest, Reason: still.Reason})
	}
	return o
}

// Reload brings in hosts.toml and the modules as they are now, if they have changed, and says what became of each
// plugin. Run must be running. What cannot be used is refused; what was before goes on.
func (h *Host) Reload(ctx context.Context) ([]ReloadOutcome, error) {
	answer := make(chan []ReloadOutcome, 1)
	select {
	case h.reloads <- answer:
	case <-ctx.Done():
		return nil, fmt.Errorf("reload: %w", ctx.Err())
	}
	select {
	case all := <-answer:
		return all, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("reload: %w", ctx.Err())
	}
}

// reloadFor carries out a request to reload, once, if it is this host's.
func (h *Host) reloadFor(ctx context.Context, r store.Request) {
	if r.Key != h.self.ID {
		if r.Age > reloadPatience {
			h.answer(ctx, store.Answer{Request: r.ID, State: store.Refused, Text: "that host is gone"})
		}
		return
	}
	h.mu.Lock()
	begun := h.reloading[r.ID]
	h.reloading[r.ID] = true
	h.mu.Unlock()
	if begun {
		return
	}
	h.group.Go(func() error {
		outcomes, err := h.Reload(ctx)
		text, _ := json.Marshal(outcomes) // plain structs
		a := store.Answer{Request: r.ID, State: store.Done, Text: string(text)}
		if err != nil {
			a.State, a.Text = store.Refused, err.Error()
		}
		h.answer(ctx, a)
		return nil
	})
}

// reloadPatience is how long a host may take to answer before another one does it: it may have died.
const reloadPatience = 5 * time.Minute

// HostReload is what became of a reload in one host.
type HostReload struct {
	Host     string          `json:"host"`
	Outcomes []ReloadOutcome `json:"outcomes,omitempty"`
	// Error is why the host has not done it: it did not answer in time, or stops.
	Error string `json:"error,omitempty"`
}

// ReloadHosts has every live host of a store reload, and waits for their answers as long as ctx allows. who is for the
// record.
func ReloadHosts(ctx context.Context, s store.State, who string) ([]HostReload, error) {
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the hosts: %w", err)
	}
	var all []HostReload
	var ids []int64 // of the requests, in the same order
	for _, h := range hosts {
		if !h.Live {
			continue
		}
		id, err := s.Ask(ctx, store.Request{Plugin: store.EveryPlugin, Action: store.AskReload, Key: h.ID, Who: who})
		if err != nil {
			return nil, fmt.Errorf("ask host %q to reload: %w", h.Name, err)
		}
		ids = append(ids, id)
		all = append(all, HostReload{Host: h.Name})
	}
	for i := range all {
		r, err := await(ctx, s, ids[i])
		switch {
		case err != nil:
			return nil, err
		case r.State == store.Pending:
			all[i].Error = "has not answered in time"
		case r.State == store.Refused:
			all[i].Error = r.Answer
		default:
			if err := json.Unmarshal([]byte(r.Answer), &all[i].Outcomes); err != nil {
				return nil, fmt.Errorf("read the answer of host %q: %w", all[i].Host, err)
			}
		}
	}
	return all, nil
}
