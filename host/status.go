package host

import (
	"maps"
	"slices"
	"time"

	"eshost/host/event"
	"eshost/host/internal/admin"
	"eshost/host/internal/delivery"
	"eshost/host/internal/tail"
)

// Status is the running host's own view of itself.
type Status = admin.Status

// longestPoll is how long one look at the log may take before the host is not ready.
const longestPoll = 5 * time.Second

// Status returns what the host does now. Invariant 9: whatever stands still says why.
func (h *Host) Status() Status {
	t := h.tail.Status()
	s := Status{
		Host:    h.self.Name,
		ID:      h.self.ID,
		Store:   h.store.Describe(),
		Log:     admin.Log{Watermark: int64(t.Watermark), Head: int64(t.Head)},
		Redis:   h.redisStatus(),
		Plugins: []admin.Plugin{},
	}
	if !t.HeldSince.IsZero() {
		s.Log.HeldSeconds = time.Since(t.HeldSince).Seconds()
	}
	for _, holder := range t.Holders {
		s.Log.Holders = append(s.Log.Holders, admin.Holder{PID: holder.PID, Application: holder.Application,
			User: holder.User, State: holder.State, AgeSeconds: holder.Age.Seconds()})
	}
	if !t.Polled.IsZero() {
		silent := time.Since(t.Polled)
		s.Log.SilentSeconds, s.Log.Overdue = silent.Seconds(), silent > h.conf.Store.PollMax+longestPoll
	}
	if t.Err != nil {
		s.Log.Error = t.Err.Error()
	}
	for _, p := range h.list() {
		st := p.status()
		view := admin.Plugin{
			Name:         p.conf.Name,
			State:        string(st.State),
			Reason:       st.Reason,
			Module:       p.conf.Module,
			Digest:       p.digest(),
			Refused:      p.refusal(),
			Checkpoint:   int64(st.Position),
			LagPositions: max(0, int64(t.Watermark-st.Position)),
			Handled:      st.Handled,
			Failed:       st.Failed,
			Retrying:     st.Retrying,
			Parked:       st.Parked,
			Waiting:      st.Waiting,
			Partitions:   p.partitions(t.Watermark),
		}
		if held := p.held(); view.Reason == "" {
			view.Reason = held
		} else if held != "" {
			view.Reason += "; " + held
		}
		if p.inRedis() {
			view.Target = string(p.conf.Target)
			if view.Reason == "" {
				view.Reason = p.modelProgress()
			}
		}
		if st.Epoch != 0 { // its checkpoint is known
			behind := p.behindBy(h.tail)
			view.LagEvents = &behind
		}
		s.Plugins = append(s.Plugins, view)
	}
	h.addRefused(&s)
	return s
}

// partitions is what this host does with each of a plugin's partitions; nothing where there is one.
func (p *hosted) partitions(watermark event.Position) []admin.Partition {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.units) < 2 {
		return nil
	}
	list := make([]admin.Partition, len(p.units))
	for i, u := range p.units {
		st := u.status()
		list[i] = admin.Partition{Partition: u.gen.Partition, State: string(st.State), Reason: st.Reason}
		if st.Epoch != 0 {
			list[i].Checkpoint = int64(st.Position)
			list[i].LagPositions = max(0, int64(watermark-st.Position))
		}
	}
	return list
}

// behindBy counts the final events that the plugin's partitions here have not handled.
func (p *hosted) behindBy(t *tail.Tail) int64 {
	var sum int64
	for _, u := range p.parts() {
		p.mu.Lock()
		st := u.status()
		p.mu.Unlock()
		if st.Epoch != 0 && st.State != delivery.Waiting {
			sum += t.Behind(st.Position, u.filter())
		}
	}
	return sum
}

// addRefused adds the plugins that hosts.toml declares now and this host does not have.
func (h *Host) addRefused(s *Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.FileRefused = h.refusedFile
	for _, name := range slices.Sorted(maps.Keys(h.refused)) {
		if !slices.ContainsFunc(s.Plugins, func(p admin.Plugin) bool { return p.Name == name }) {
			s.Plugins = append(s.Plugins, admin.Plugin{Name: name, State: "refused", Reason: h.refused[name]})
		}
	}
}
