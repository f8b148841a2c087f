package delivery

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"eshost/host/event"
)

// Metrics counts what the runners of one host do, by plugin.
type Metrics struct {
	handled   *prometheus.CounterVec
	failed    *prometheus.CounterVec
	retried   *prometheus.CounterVec
	conflicts *prometheus.CounterVec
	batch     *prometheus.HistogramVec
	handle    *prometheus.HistogramVec
	commit    *prometheus.HistogramVec
	documents *prometheus.CounterVec
	position  *prometheus.GaugeVec
	sequences *prometheus.GaugeVec
	waiting   *prometheus.GaugeVec

	mu       sync.Mutex
	standing map[string]map[int]count // by plugin and partition: those that runners of this host have the lease of
}

// count is where one partition stands.
type count struct {
	position                  event.Position
	retrying, parked, waiting int
}

// NewMetrics registers the metrics; a nil registerer leaves them unregistered.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	plugin := []string{"plugin"}
	m := &Metrics{
		standing:  make(map[string]map[int]count),
		handled:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "eshost_events_handled_total", Help: "Events whose handler ran and that are committed, failed ones included."}, plugin),
		failed:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "eshost_events_failed_total", Help: "Failed attempts to handle an event, those of batches that were not committed included."}, []string{"plugin", "kind"}),
		retried:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "eshost_sequence_retries_total", Help: "Attempts to go on with a failed sequence."}, plugin),
		conflicts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "eshost_lane_conflicts_total", Help: "Batches that ran again in one lane because lanes touched the same documents."}, plugin),
		batch:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "eshost_batch_events", Help: "Events in a batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 9)}, plugin),
		handle:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "eshost_batch_handle_seconds", Help: "Time to handle a batch.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)}, plugin),
		commit:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "eshost_batch_commit_seconds", Help: "Time to commit a batch.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)}, plugin),
		documents: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "eshost_documents_written_total", Help: "Documents written or deleted."}, plugin),
		position:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "eshost_checkpoint_position", Help: "The plugin's checkpoint; of several partitions of this host's the lowest."}, plugin),
		sequences: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "eshost_failed_sequences", Help: "Sequences that wait behind a failed event."}, []string{"plugin", "state"}),
		waiting:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "eshost_waiting_events", Help: "Events in failed sequences."}, plugin),
	}
	if reg != nil {
		reg.MustRegister(m.handled, m.failed, m.retried, m.conflicts, m.batch, m.handle, m.commit, m.documents, m.position, m.sequences, m.waiting)
	}
	return m
}

// Begin shows a plugin's counters as 0 before anything is counted: a first failure is an increase too.
func (m *Metrics) Begin(plugin string) {
	for _, c := range []*prometheus.CounterVec{m.handled, m.retried, m.conflicts, m.documents} {
		c.WithLabelValues(plugin)
	}
	for _, kind := range []event.FailureKind{event.FailReject, event.FailRetry, event.FailTrap, event.FailBudget, event.FailProtocol, event.FailLoop, event.FailPartition} {
		m.failed.WithLabelValues(plugin, string(kind))
	}
}

func (m *Metrics) observeBatch(plugin string, handled int, took time.Duration) {
	m.batch.WithLabelValues(plugin).Observe(float64(handled))
	m.handle.WithLabelValues(plugin).Observe(took.Seconds())
}

func (m *Metrics) observeCommit(plugin string, documents int, took time.Duration) {
	m.documents.WithLabelValues(plugin).Add(float64(documents))
	m.commit.WithLabelValues(plugin).Observe(took.Seconds())
}

// observeState shows where a partition stands. What is shown is the plugin's: all its partitions that this host delivers.
func (m *Metrics) observeState(plugin string, partition int, now count) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.standing[plugin] == nil {
		m.standing[plugin] = make(map[int]count)
	}
	m.standing[plugin][partition] = now
	m.showState(plugin)
}

// forgetState takes out a partition that this host delivers no more: it is another one's to show.
func (m *Metrics) forgetState(plugin string, partition int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.standing[plugin][partition]; !ok {
		return
	}
	delete(m.standing[plugin], partition)
	if len(m.standing[plugin]) > 0 {
		m.showState(plugin)
		return
	}
	delete(m.standing, plugin)
	m.position.DeleteLabelValues(plugin)
	m.sequences.DeletePartialMatch(prometheus.Labels{"plugin": plugin})
	m.waiting.DeleteLabelValues(plugin)
}

func (m *Metrics) showState(plugin string) {
	all := count{position: math.MaxInt64}
	for _, c := range m.standing[plugin] {
		all.position = min(all.position, c.position)
		all.retrying += c.retrying
		all.parked += c.parked
		all.waiting += c.waiting
	}
	m.position.WithLabelValues(plugin).Set(float64(all.position))
	m.sequences.WithLabelValues(plugin, "retrying").Set(float64(all.retrying))
	m.sequences.WithLabelValues(plugin, "parked").Set(float64(all.parked))
	m.waiting.WithLabelValues(plugin).Set(float64(all.waiting))
}
