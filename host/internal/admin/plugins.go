package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// PluginView is a plugin as the store knows it, whichever host it belongs to.
type PluginView struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// Since is when that began.
	Since      *time.Time     `json:"since,omitempty"`
	Generation int            `json:"generation"`
	Checkpoint event.Position `json:"checkpoint"`
	// LagPositions is how far that is below the watermark. Positions may have holes.
	LagPositions event.Position `json:"lag_positions"`
	// LagEvents is how many events that is, where this host runs the plugin: exact for recent ones, else never too low.
	LagEvents *int64 `json:"lag_events,omitempty"`
	// AgeSeconds is how long ago, at most, the checkpoint was the end of the log.
	AgeSeconds float64 `json:"age_seconds"`
	// Digest is of the module that runs, where this host runs the plugin, else of the one that made the last commit.
	Digest    string        `json:"digest,omitempty"`
	Owner     *OwnerView    `json:"owner,omitempty"`
	UpdatedAt *time.Time    `json:"updated_at,omitempty"`
	Retrying  int           `json:"retrying_sequences"`
	Parked    int           `json:"parked_sequences"`
	Waiting   int           `json:"waiting_events"`
	Failure   *SequenceView `json:"first_failure,omitempty"`
	// Unknown is why it is not known what waits, which is 0 then, and which modules it had: it is not in the database.
	Unknown string   `json:"unknown,omitempty"`
	Refused *Refused `json:"refused,omitempty"`
	// Target is where the read model is kept, if not in the database, as far as this host knows.
	Target string `json:"target,omitempty"`
	// Partitions are the plugin's, where it has several; the owner above is the first one's.
	Partitions []PartitionView `json:"partitions,omitempty"`

	rows []int64 // of the partitions in the store
}

// PartitionView is one partition of a plugin.
type PartitionView struct {
	Partition    int            `json:"partition"` // from 0
	State        string         `json:"state"`
	Reason       string         `json:"reason,omitempty"`
	Checkpoint   event.Position `json:"checkpoint"`
	LagPositions event.Position `json:"lag_positions"`
	Owner        *OwnerView     `json:"owner,omitempty"`
	Retrying     int            `json:"retrying_sequences"`
	Parked       int            `json:"parked_sequences"`
	Waiting      int            `json:"waiting_events"`
}

// OwnerView is the host that runs a plugin.
type OwnerView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Live bool   `json:"live"`
}

// SequenceView is a failing or parked sequence.
type SequenceView struct {
	Key         string         `json:"key"`
	State       string         `json:"state"`
	Position    event.Position `json:"position"`
	Attempts    int            `json:"attempts"`
	NextAttempt *time.Time     `json:"next_attempt,omitempty"`
	Kind        string         `json:"kind"`
	Error       string         `json:"error"`
	Stack       string         `json:"stack,omitempty"`
	Digest      string         `json:"digest,omitempty"`
	Since       *time.Time     `json:"since,omitempty"`
	Waiting     int            `json:"waiting"`
}

// SpanView says which module made which positions.
type SpanView struct {
	Partition *int           `json:"partition,omitempty"` // where the plugin has several
	Digest    string         `json:"digest"`
	From      event.Position `json:"from"` // exclusive
	To        event.Position `json:"to"`
	Since     *time.Time     `json:"since,omitempty"`
}

// ReloadView is a module that took over, or was refused.
type ReloadView struct {
	Digest   string         `json:"digest,omitempty"`
	Position event.Position `json:"position"`
	Refused  string         `json:"refused,omitempty"`
	Host     string         `json:"host"`
	At       *time.Time     `json:"at,omitempty"`
}

const (
	stateStopped = "stopped"
	// reloadsShown is how much of the history of its modules a plugin's view has.
	reloadsShown = 50
)

func (s *server) plugins(w http.ResponseWriter, r *http.Request) error {
	if err := query(r).err; err != nil {
		return err
	}
	views, err := s.views(r.Context())
	if err != nil {
		return err
	}
	watermark, head := s.o.Host.Log()
	writeJSON(w, http.StatusOK, "application/json", map[string]any{"plugins": views, "watermark": watermark, "head": head})
	return nil
}

func (s *server) plugin(w http.ResponseWriter, r *http.Request) error {
	if err := query(r).err; err != nil {
		return err
	}
	name := r.PathValue("plugin")
	views, err := s.views(r.Context())
	if err != nil {
		return err
	}
	for _, v := range views {
		if v.Name == name {
			return s.detail(w, r, v)
		}
	}
	return notFound("GET /v1/plugins lists those there are", "there is no plugin %q", shorten(name))
}

// detail adds what only one plugin's view has.
func (s *server) detail(w http.ResponseWriter, r *http.Request, v PluginView) error {
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	spans, reloads := []SpanView{}, []ReloadView{}
	rows := v.rows
	if v.Unknown != "" {
		rows = nil
	}
	for i, row := range rows {
		list, err := s.o.Store.Spans(ctx, row)
		if err != nil {
			return fmt.Errorf("read the modules of %s: %w", v.Name, err)
		}
		for _, sp := range list {
			span := SpanView{Digest: sp.Digest, From: sp.From, To: sp.To, Since: moment(sp.Since)}
			if len(v.rows) > 1 {
				span.Partition = &i
			}
			spans = append(spans, span)
		}
	}
	history, err := s.o.Store.Reloads(ctx, v.Name, reloadsShown)
	if err != nil {
		return fmt.Errorf("read the reloads of %s: %w", v.Name, err)
	}
	for _, re := range history {
		reloads = append(reloads, ReloadView{Digest: re.Digest, Position: re.Position, Refused: re.Refused, Host: re.Host, At: moment(re.At)})
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		PluginView
		Modules []SpanView   `json:"modules"`
		Reloads []ReloadView `json:"reloads"`
	}{v, spans, reloads})
	return nil
}

// views are all plugins of the store, and those of this host that the store does not know yet.
func (s *server) views(ctx context.Context) ([]PluginView, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	plugins, err := s.o.Store.Plugins(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the plugins: %w", err)
	}
	unknown := s.o.Store.CountFailures(ctx, plugins)
	own := map[string]Plugin{}
	self := s.o.Host.Status()
	for _, p := range self.Plugins {
		own[p.Name] = p
	}
	watermark, _ := s.o.Host.Log()
	views := make([]PluginView, 0, len(plugins))
	for i := range plugins {
		p := &plugins[i]
		v := s.view(p, watermark)
		v.Unknown = unknown[p.Plugin]
		if here, ok := own[p.Plugin]; ok {
			v.Refused, v.Target = here.Refused, here.Target
			// The host itself knows sooner than the store, what it runs as a whole.
			if len(p.Partitions) == 1 && (p.Owner != nil && p.Owner.ID == self.ID || p.FirstFree() != nil) {
				v.State, v.Reason = here.State, here.Reason
			}
			if p.Owner != nil && p.Owner.ID == self.ID {
				v.LagEvents = here.LagEvents
				v.Digest = cmp.Or(here.Digest, v.Digest)
			}
			delete(own, p.Plugin)
		}
		views = append(views, v)
	}
	for _, here := range self.Plugins {
		if _, left := own[here.Name]; left {
			views = append(views, PluginView{Name: here.Name, State: here.State, Reason: here.Reason, LagPositions: watermark, Refused: here.Refused})
		}
	}
	return views, nil
}

func (s *server) view(p *store.PluginStatus, watermark event.Position) PluginView {
	v := PluginView{
		Name:         p.Plugin,
		Since:        moment(p.Condition.Since),
		Generation:   p.Number,
		Checkpoint:   p.Position,
		LagPositions: max(0, watermark-p.Position),
		AgeSeconds:   s.o.Host.Age(p.Position).Seconds(),
		Digest:       p.Digest,
		UpdatedAt:    moment(p.UpdatedAt),
		Retrying:     p.Retrying,
		Parked:       p.Parked,
		Waiting:      p.Waiting,
	}
	v.State, v.Reason = condition(p)
	v.Owner = ownerView(p.Owner)
	for i := range p.Partitions {
		v.rows = append(v.rows, p.Partitions[i].ID)
	}
	if len(p.Partitions) > 1 {
		for i := range p.Partitions {
			v.Partitions = append(v.Partitions, partitionView(&p.Partitions[i], watermark))
		}
	}
	if f := p.FirstFailure; f != nil {
		view := sequenceView(f)
		v.Failure = &view
	}
	return v
}

func ownerView(h *store.Host) *OwnerView {
	if h == nil {
		return nil
	}
	return &OwnerView{ID: h.ID, Name: h.Name, Live: h.Live}
}

func partitionView(p *store.PartitionStatus, watermark event.Position) PartitionView {
	v := PartitionView{Partition: p.Partition, Checkpoint: p.Position, LagPositions: max(0, watermark-p.Position),
		Owner: ownerView(p.Owner), Retrying: p.Retrying, Parked: p.Parked, Waiting: p.Waiting}
	v.State, v.Reason = conditionOf(p)
	return v
}

func sequenceView(q *store.Sequence) SequenceView {
	return SequenceView{Key: q.Key, State: string(q.State), Position: q.Position, Attempts: q.Attempts, NextAttempt: moment(q.NextAttempt),
		Kind: string(q.Kind), Error: q.Error, Stack: q.Stack, Digest: q.Digest, Since: moment(q.Since), Waiting: q.Waiting}
}

// condition is whether a plugin moves and, if not, why: of its partitions the first that does not. Invariant 9: nothing
// waits in silence.
func condition(p *store.PluginStatus) (state, reason string) {
	for i := range p.Partitions {
		part := &p.Partitions[i]
		if state, reason = conditionOf(part); state != string(store.Running) {
			if len(p.Partitions) > 1 {
				reason = fmt.Sprintf("partition %d: %s", part.Partition, reason)
			}
			break
		}
	}
	return state, reason
}

func conditionOf(p *store.PartitionStatus) (state, reason string) {
	if p.Owned() {
		return string(p.Condition.State), p.Condition.Reason
	}
	reason = "no host runs it"
	if p.Owner != nil {
		reason = fmt.Sprintf("host %q stopped without giving it back", p.Owner.Name)
	}
	if p.Condition.State != store.Running && p.Condition.Reason != "" {
		reason += fmt.Sprintf("; when it stopped it was %s: %s", p.Condition.State, p.Condition.Reason)
	}
	return stateStopped, reason
}

// standsStill reports whether a plugin in a state moves only after somebody has done something.
func standsStill(state string) bool {
	return state == string(store.Paused) || state == string(store.Quarantined)
}

// moment leaves a time out where there is none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
