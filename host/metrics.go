package host

import (
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/tail"
)

// metrics is what /metrics shows. Labels are plugin names and fixed words, so that there are never many series.
type metrics struct {
	h         *Host
	delivered *prometheus.Registry // of delivery.Metrics
	own       *prometheus.Registry
	delivery  *delivery.Metrics
	reloads   *prometheus.CounterVec
}

func newMetrics(h *Host) *metrics {
	m := &metrics{
		h:         h,
		delivered: prometheus.NewRegistry(),
		own:       prometheus.NewRegistry(),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "eshost_reloads_total",
			Help: "Plugins, and hosts.toml as a whole, that were brought in anew while the host ran, by what became of them."}, []string{"result"}),
	}
	m.delivery = delivery.NewMetrics(m.delivered)
	for _, result := range []string{ReloadReplaced, ReloadRebuilding, ReloadChanged, ReloadAdded, ReloadRemoved, ReloadRefused} {
		m.reloads.WithLabelValues(result)
	}
	m.own.MustRegister(m.reloads, live{h}, buildInfo(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// reloaded counts what a reload came to.
func (m *metrics) reloaded(all []ReloadOutcome) {
	for _, o := range all {
		if o.Result != ReloadUnchanged {
			m.reloads.WithLabelValues(o.Result).Inc()
		}
	}
}

// Gather collects all metrics.
func (m *metrics) Gather() ([]*dto.MetricFamily, error) {
	return prometheus.Gatherers{prometheus.GathererFunc(m.gatherDelivered), m.own}.Gather()
}

// gatherDelivered leaves out the plugins that this host does not have any more, or that another one runs: what they once
// were here would be mistaken for what they are.
func (m *metrics) gatherDelivered() ([]*dto.MetricFamily, error) {
	families, err := m.delivered.Gather()
	here := make(map[string]bool)
	for _, p := range m.h.list() {
		here[p.conf.Name] = !p.waiting()
	}
	for _, f := range families {
		f.Metric = slices.DeleteFunc(f.Metric, func(s *dto.Metric) bool {
			return slices.ContainsFunc(s.Label, func(l *dto.LabelPair) bool { return l.GetName() == "plugin" && !here[l.GetValue()] })
		})
	}
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return len(f.Metric) == 0 }), err
}

// buildInfo says which program this is.
func buildInfo() prometheus.Collector {
	version, revision := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "eshost_build_info", Help: "Which eshost this is; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": runtime.Version()}})
	g.Set(1)
	return g
}

// live is what the host knows of itself at the time it is asked: nothing is counted for it in between.
type live struct{ h *Host }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	watermarkPosition = describe("eshost_watermark_position", "Every event at or below this position is final.")
	headPosition      = describe("eshost_log_head_position", "The highest position that was seen in the log; above the watermark events may still be missing.")
	watermarkHeld     = describe("eshost_watermark_held_seconds", "How long the watermark has stood still below the log's head, because a writer's transaction is open; 0 when it has not.")
	pollAge           = describe("eshost_log_poll_age_seconds", "Time since the log's end was last read.")
	polls             = describe("eshost_log_polls_total", "Looks at the log's end, failed ones included.")
	pollFailing       = describe("eshost_log_poll_failing", "1 if the last look at the log's end failed, else 0.")
	storeStatements   = describe("eshost_store_statements_total", "SQL statements sent to the database, BEGIN and COMMIT included.")

	pluginsByState = describe("eshost_plugins", "Plugins of this host by state; waiting ones are run by another host.", "state")
	pluginState    = describe("eshost_plugin_state", "1 for the state that the plugin is in. A plugin that another host runs has no series here.", "plugin", "state")
	unowned        = describe("eshost_partitions_unowned", "Partitions of plugins that some live host has and none runs, in the whole database; a plugin that is not split is one.")
	pluginRefused  = describe("eshost_plugin_refused", "1 if the plugin's newest module or section of hosts.toml is refused and what was before goes on, else 0.", "plugin")
	lagEvents      = describe("eshost_plugin_lag_events", "Final events that the plugin wants and has not handled or set aside. Exact for the newest events, which are kept in memory; before them each position counts as one, so it is never too low.", "plugin")
	lagPositions   = describe("eshost_plugin_lag_positions", "Positions from the plugin's checkpoint to the watermark. Positions may have holes and hold events that the plugin does not want.", "plugin")
	lagSeconds     = describe("eshost_plugin_lag_seconds", "How long ago at most the read model held everything that was in the log. Of what was behind when the host was started it knows the time since then only.", "plugin")
	fuel           = describe("eshost_guest_fuel_total", "Fuel burned by the plugin's instances, those of a build beside the live generation included. The same work burns the same everywhere.", "plugin")
	memory         = describe("eshost_guest_memory_bytes", "Linear memory of the plugin's open instances.", "plugin")
	instances      = describe("eshost_guest_instances", "Open instances of the plugin: the pool that its lanes have.", "plugin")
	started        = describe("eshost_guest_instances_started_total", "Instances started. Many in a short time crash, or are replaced because their memory is full.", "plugin")
	buildPosition  = describe("eshost_build_checkpoint_position", "The checkpoint of a generation that is built beside the live one; no series if there is none.", "plugin")
)

func (live) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{watermarkPosition, headPosition, watermarkHeld, pollAge, polls, pollFailing, storeStatements,
		pluginsByState, pluginState, unowned, pluginRefused, lagEvents, lagPositions, lagSeconds, fuel, memory, instances, started, buildPosition} {
		ch <- d
	}
	for _, d := range redisMetrics {
		ch <- d
	}
}

func (l live) Collect(ch chan<- prometheus.Metric) {
	now := l.h.tail.Status()
	l.collectLog(ch, now)
	l.collectRedis(ch)
	states := make(map[delivery.RunnerState]int)
	for _, s := range []delivery.RunnerState{delivery.Starting, delivery.Waiting, delivery.Running, delivery.Paused, delivery.Quarantined, delivery.BackingOff} {
		states[s] = 0
	}
	for _, p := range l.h.list() {
		st := p.status()
		if st.State == delivery.Stopped {
			st.State = delivery.Starting // the next runner is about to
		}
		states[st.State]++
		if st.State != delivery.Waiting {
			l.collectPlugin(ch, p, st, now)
		}
	}
	for state, n := range states {
		gauge(ch, pluginsByState, float64(n), string(state))
	}
	gauge(ch, unowned, float64(l.h.unowned.Load()))
	l.h.mu.Lock()
	refused := slices.Collect(maps.Keys(l.h.refused))
	l.h.mu.Unlock()
	for _, name := range refused {
		if l.h.find(name) == nil {
			gauge(ch, pluginRefused, 1, name)
		}
	}
}

func (l live) collectLog(ch chan<- prometheus.Metric, now tail.Status) {
	held := 0.0
	if !now.HeldSince.IsZero() {
		held = time.Since(now.HeldSince).Seconds()
	}
	gauge(ch, watermarkHeld, held)
	counter(ch, polls, now.Polls)
	gauge(ch, pollFailing, flag(now.Err != nil))
	if !now.Polled.IsZero() {
		gauge(ch, watermarkPosition, float64(now.Watermark))
		gauge(ch, headPosition, float64(now.Head))
		gauge(ch, pollAge, time.Since(now.Polled).Seconds())
	}
	if s, ok := l.h.store.(interface{ Statements() uint64 }); ok {
		counter(ch, storeStatements, s.Statements())
	}
}

func (l live) collectPlugin(ch chan<- prometheus.Metric, p *hosted, st delivery.Status, now tail.Status) {
	name := p.conf.Name
	gauge(ch, pluginState, 1, name, string(st.State))
	l.h.mu.Lock()
	_, section := l.h.refused[name]
	l.h.mu.Unlock()
	gauge(ch, pluginRefused, flag(section || p.refusal() != nil), name)
	if st.Epoch != 0 && !now.Polled.IsZero() { // its checkpoint is known
		gauge(ch, lagEvents, float64(p.behindBy(l.h.tail)), name)
		gauge(ch, lagPositions, float64(max(0, now.Watermark-st.Position)), name)
		gauge(ch, lagSeconds, l.h.ages.of(st.Position, now).Seconds(), name)
	}
	use := p.pool.sum()
	counter(ch, fuel, use.fuel, name)
	counter(ch, started, use.started, name)
	gauge(ch, memory, float64(use.memory), name)
	gauge(ch, instances, float64(use.open), name)
	if at, ok := p.building(); ok {
		gauge(ch, buildPosition, float64(at), name)
	}
}

// building returns the checkpoint of the generation that is built beside the live one.
func (p *hosted) building() (event.Position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.build == nil {
		return 0, false
	}
	return p.build.status().Position, true
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(ch chan<- prometheus.Metric, d *prometheus.Desc, v uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func flag(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
