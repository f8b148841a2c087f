package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/store"
)

func (a *app) statusCommand() *cobra.Command {
	c := a.command(&cobra.Command{
		Use:   "status",
		Short: "Show how far each plugin is, and why whatever stands still does",
		Long: `status shows the log's watermark, and who holds it back if it is held; each plugin's checkpoint, its lag
(positions between checkpoint and watermark: at most that many events), its owner, and what waits for a
retry or a person. It reads the database: no host needs to run.

A plugin is running, paused, quarantined or backing off (with the reason), stopped (no live host owns it) or not started.`,
		Example: `  eshost status
  eshost status --json | jq '.plugins[] | select(.state != "running")'`,
		ValidArgsFunction: completeNothing,
	}, func(ctx context.Context, _ []string) error { return a.status(ctx) })
	a.jsonFlag(c)
	return c
}

func (a *app) status(ctx context.Context) error {
	t, err := a.openStore(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	report, err := t.report(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return writeJSON(a.out, report)
	}
	return report.write(a.out)
}

// statusReport is what status prints as JSON.
type statusReport struct {
	Store string `json:"store"`
	// Identity tells the database from others; read models in Redis name it.
	Identity string         `json:"identity"`
	Log      logReport      `json:"log"`
	Hosts    []hostReport   `json:"hosts"`
	Plugins  []pluginReport `json:"plugins"`
	// FileRefused is a hosts.toml that a host was given and does not go by.
	FileRefused *reloadReport `json:"hosts_toml_refused,omitempty"`
}

type logReport struct {
	Watermark event.Position `json:"watermark"`
	Head      event.Position `json:"head"`
	// HeldBy names the transactions that keep the watermark below the head.
	HeldBy []holderReport `json:"held_by"`
}

type holderReport struct {
	PID         int32   `json:"pid"` // 0 for a prepared transaction
	Application string  `json:"application"`
	User        string  `json:"user"`
	State       string  `json:"state"`
	AgeSeconds  float64 `json:"age_seconds"`
}

type hostReport struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Live      bool      `json:"live"`
	StartedAt time.Time `json:"started_at"`
}

// States of a plugin beside the store's own.
const (
	stateStopped    = "stopped"
	stateNotStarted = "not started"
)

type pluginReport struct {
	Name       string         `json:"name"`
	Declared   *bool          `json:"declared,omitempty"` // in hosts.toml, where it was read
	State      string         `json:"state"`
	Reason     string         `json:"reason,omitempty"`
	Since      *time.Time     `json:"since,omitempty"`
	Generation int            `json:"generation"`
	Checkpoint event.Position `json:"checkpoint"`
	Lag        event.Position `json:"lag"` // positions, not events
	// Target is where the read model is kept, if hosts.toml was read and has another place for it than the database.
	Target       string          `json:"target,omitempty"`
	Owner        *hostReport     `json:"owner,omitempty"`
	Digest       string          `json:"digest,omitempty"`
	UpdatedAt    *time.Time      `json:"updated_at,omitempty"`
	Retrying     int             `json:"retrying"` // sequences
	Parked       int             `json:"parked"`   // sequences
	Waiting      int             `json:"waiting"`  // events
	FirstFailure *sequenceReport `json:"first_failure,omitempty"`
	// Unknown is why it is not known what waits, which is 0 then: it is not in the database.
	Unknown string `json:"unknown,omitempty"`
	// Refused is the module, or the section of hosts.toml, that was put in the place of what runs and cannot be used.
	Refused *reloadReport `json:"refused,omitempty"`
	// Partitions are the plugin's, where it has several: their lowest checkpoint is the plugin's.
	Partitions []partitionReport `json:"partitions,omitempty"`
	// Generations are those that are built or kept beside the live one.
	Generations []*generationReport `json:"generations,omitempty"`
}

type partitionReport struct {
	Partition  int            `json:"partition"` // from 0
	State      string         `json:"state"`
	Reason     string         `json:"reason,omitempty"`
	Checkpoint event.Position `json:"checkpoint"`
	Lag        event.Position `json:"lag"` // positions, not events
	Owner      *hostReport    `json:"owner,omitempty"`
	Retrying   int            `json:"retrying"` // sequences
	Parked     int            `json:"parked"`   // sequences
	Waiting    int            `json:"waiting"`  // events
}

type sequenceReport struct {
	Key         string         `json:"key"`
	State       string         `json:"state"`
	Position    event.Position `json:"position"`
	Attempts    int            `json:"attempts"`
	NextAttempt *time.Time     `json:"next_attempt,omitempty"`
	Kind        string         `json:"kind"`
	Error       string         `json:"error"`
	Stack       string         `json:"stack,omitempty"`
	Digest      string         `json:"digest"`
	Since       time.Time      `json:"since"`
	Waiting     int            `json:"waiting"`
}

// report reads the whole status.
func (t *target) report(ctx context.Context) (*statusReport, error) {
	tail, state, err := settle(ctx, t.Store, settlePatience)
	if err != nil {
		return nil, err
	}
	tail.Close()
	hosts, err := t.Hosts(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the hosts: %w", err)
	}
	plugins, err := t.Plugins(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the plugins: %w", err)
	}
	var unknown map[string]string
	if t.models != nil {
		unknown = t.models.CountFailures(ctx, plugins)
	}
	identity, err := t.Identity(ctx)
	if err != nil {
		return nil, err
	}
	r := &statusReport{
		Store:    t.Describe(),
		Identity: identity,
		Log:      logReport{Watermark: state.Watermark, Head: state.Head, HeldBy: reportHolders(state.Holders)},
		Hosts:    []hostReport{},
		Plugins:  []pluginReport{},
	}
	for _, h := range hosts {
		r.Hosts = append(r.Hosts, *reportHost(&h))
	}
	var names []string
	for _, p := range plugins {
		names = append(names, p.Plugin)
		report := t.reportPlugin(&p, hosts, state.Watermark)
		report.Unknown = unknown[p.Plugin]
		r.Plugins = append(r.Plugins, report)
	}
	for _, name := range t.withDeclared(names)[len(names):] {
		declared := true
		reason := whyNotStarted(hosts)
		if wrong := t.wrong[name]; wrong != nil {
			reason = strings.ReplaceAll(wrong.Error(), "\n", "; ")
		}
		r.Plugins = append(r.Plugins, pluginReport{Name: name, Declared: &declared, State: stateNotStarted, Reason: reason, Lag: state.Watermark})
	}
	slices.SortFunc(r.Plugins, func(a, b pluginReport) int { return strings.Compare(a.Name, b.Name) })
	if err := r.addRefused(ctx, t); err != nil {
		return nil, err
	}
	return r, r.addGenerations(ctx, t)
}

// addRefused says what hosts were given and do not run: the newest entry of a history says whether that is still so.
func (r *statusReport) addRefused(ctx context.Context, t *target) error {
	for i := range r.Plugins {
		p := &r.Plugins[i]
		newest, err := t.Reloads(ctx, p.Name, 1)
		if err != nil {
			return fmt.Errorf("read the history of plugin %s: %w", p.Name, err)
		}
		if len(newest) == 1 && newest[0].Refused != "" {
			p.Refused = reportReload(&newest[0])
			if p.State == stateNotStarted {
				p.Reason = fmt.Sprintf("host %s refused its section of hosts.toml at %s: %s", p.Refused.Host, p.Refused.At.Format(time.RFC3339), p.Refused.Refused)
			}
		}
	}
	newest, err := t.Reloads(ctx, store.EveryPlugin, 1)
	if err != nil {
		return fmt.Errorf("read the history of hosts.toml: %w", err)
	}
	if len(newest) == 1 && newest[0].Refused != "" {
		r.FileRefused = reportReload(&newest[0])
	}
	return nil
}

func reportHolders(holders []store.Holder) []holderReport {
	r := []holderReport{}
	for _, h := range holders {
		r = append(r, holderReport{h.PID, h.Application, h.User, h.State, h.Age.Seconds()})
	}
	return r
}

func reportHost(h *store.Host) *hostReport {
	if h == nil {
		return nil
	}
	return &hostReport{ID: h.ID, Name: h.Name, Live: h.Live, StartedAt: h.StartedAt}
}

func (t *target) reportPlugin(p *store.PluginStatus, hosts []store.Host, watermark event.Position) pluginReport {
	r := pluginReport{
		Name:         p.Plugin,
		State:        string(p.Condition.State),
		Reason:       p.Condition.Reason,
		Since:        moment(p.Condition.Since),
		Generation:   p.Number,
		Checkpoint:   p.Position,
		Lag:          max(0, watermark-p.Position),
		Owner:        reportHost(p.Owner),
		Digest:       p.Digest,
		UpdatedAt:    moment(p.UpdatedAt),
		Retrying:     p.Retrying,
		Parked:       p.Parked,
		Waiting:      p.Waiting,
		FirstFailure: reportSequence(p.FirstFailure),
	}
	if t.conf != nil {
		declared := t.declares(p.Plugin)
		r.Declared = &declared
	}
	if section := t.section(p.Plugin); section != nil && section.Target != config.TargetStore {
		r.Target = string(section.Target)
	}
	for i := range p.Partitions {
		part := &p.Partitions[i]
		state, reason := string(part.Condition.State), part.Condition.Reason
		if !part.Owned() {
			state, reason = stateStopped, whyStopped(part, hosts)
		}
		if len(p.Partitions) > 1 {
			r.Partitions = append(r.Partitions, partitionReport{Partition: part.Partition, State: state, Reason: reason, Checkpoint: part.Position,
				Lag: max(0, watermark-part.Position), Owner: reportHost(part.Owner), Retrying: part.Retrying, Parked: part.Parked, Waiting: part.Waiting})
		}
		if state == string(store.Running) || r.State == stateStopped {
			continue
		}
		if r.State, r.Reason = state, reason; len(p.Partitions) > 1 {
			r.Reason = fmt.Sprintf("partition %d: %s", part.Partition, reason)
		}
	}
	return r
}

// whyStopped says why nothing moves. Invariant 9: nothing waits in silence.
func whyStopped(p *store.PartitionStatus, hosts []store.Host) string {
	why := "no host runs it"
	if p.Owner != nil {
		why = fmt.Sprintf("host %q stopped without giving it back", p.Owner.Name)
	}
	if live := liveHosts(hosts); live != "" {
		why += fmt.Sprintf("; %s takes it over if its hosts.toml has it: its log and its /v1/status say what it waits for", live)
	} else {
		why += "; start one that takes it over: eshost run"
	}
	if p.Condition.State != store.Running && p.Condition.Reason != "" {
		why += fmt.Sprintf("; when it stopped it was %s: %s", p.Condition.State, p.Condition.Reason)
	}
	return why
}

// whyNotStarted is about a plugin that hosts.toml has and the database has not.
func whyNotStarted(hosts []store.Host) string {
	if live := liveHosts(hosts); live != "" {
		return fmt.Sprintf("%s is starting it, if it was started with this hosts.toml: its log and its /v1/status say what it waits for, such as for the log's events to be final", live)
	}
	return "no host has run it on this database; start one: eshost run"
}

// liveHosts names the hosts that are live, or is empty.
func liveHosts(hosts []store.Host) string {
	var names []string
	for _, h := range hosts {
		if h.Live {
			names = append(names, fmt.Sprintf("%q", h.Name))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "host " + strings.Join(names, " or ")
}

func reportSequence(s *store.Sequence) *sequenceReport {
	if s == nil {
		return nil
	}
	return &sequenceReport{
		Key:         s.Key,
		State:       string(s.State),
		Position:    s.Position,
		Attempts:    s.Attempts,
		NextAttempt: moment(s.NextAttempt),
		Kind:        string(s.Kind),
		Error:       s.Error,
		Stack:       s.Stack,
		Digest:      s.Digest,
		Since:       s.Since,
		Waiting:     s.Waiting,
	}
}

// moment leaves a time out where there is none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
