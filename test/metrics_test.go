package test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	names "github.com/prometheus/common/model"

	"eshost/host"
	"eshost/test/redistest"
)

// scrape is what /metrics of a host said once.
type scrape struct {
	text     []byte
	families map[string]*dto.MetricFamily
}

func scrapeOf(listener string) (*scrape, error) {
	res, err := http.Get(listener + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET /metrics: %s, %w", res.Status, err)
	}
	parser := expfmt.NewTextParser(names.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	return &scrape{text, families}, err
}

// value adds up the series of a metric that have some labels, written name="value". A histogram counts its observations.
func (s *scrape) value(name string, labels ...string) (sum float64, series int) {
	for _, m := range s.families[name].GetMetric() {
		var have []string
		for _, l := range m.Label {
			have = append(have, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
		}
		if !slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(have, l) }) {
			series++
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum, series
}

// labels are the names of a metric's labels.
func (s *scrape) labels(name string) []string {
	found := make(map[string]bool)
	for _, m := range s.families[name].GetMetric() {
		for _, l := range m.Label {
			found[l.GetName()] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// hasPlugin reports whether any series is of a plugin.
func (s *scrape) hasPlugin(name string) bool {
	return bytes.Contains(s.text, fmt.Appendf(nil, "plugin=%q", name))
}

// awaitScrape waits until a host's metrics are as they must be.
func awaitScrape(t *testing.T, listener, what string, check func(s *scrape) error) *scrape {
	t.Helper()
	var s *scrape
	eventually(t, what, func() (err error) {
		if s, err = scrapeOf(listener); err == nil {
			err = check(s)
		}
		return err
	})
	return s
}

// busy starts a host that handles, fails, retries, parks, is given a module that it refuses and one that it takes.
func busy(t *testing.T, storeURL string) (p *project, h *process, url string) {
	t.Helper()
	p = newProject(t, storeURL, "first",
		plugin{"balances", "module.wasm", `events = ["AccountOpened", "Deposited", "Withdrawn"]`},
		plugin{"fails", "fails.wasm", "events = [\"Crash\"]\n[plugins.fails.retry]\nattempts = 3\nbackoff = \"1ms..1ms\"\n"})
	p.setRedis(redistest.Start(t).URL())
	p.put("module.wasm", read(t, balancesModule(t, "rust")))
	p.put("fails.wasm", badModule(t, "behave"))
	s := openStore(t, storeURL)
	appendCrashes(t, s, 3)
	h = p.host()
	url = h.ready()
	p.must("append", absolute(t, filepath.Join(balances, "testdata", "events.ndjson")))
	finished(t, s, "balances", "fails")
	p.put("module.wasm", badModule(t, "start/start_trap"))
	awaitScrape(t, url, "a module is refused", func(s *scrape) error { return s.wants("eshost_plugin_refused", 1, `plugin="balances"`) })
	as := read(t, balancesModule(t, "assemblyscript"))
	p.put("module.wasm", as)
	eventually(t, "another one takes over", func() error {
		sc, err := scrapeOf(url)
		if err == nil {
			err = sc.wants("eshost_reloads_total", 1, `result="replaced"`)
		}
		return err
	})
	return p, h, url
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *scrape) wants(name string, want float64, labels ...string) error {
	if got, series := s.value(name, labels...); got != want || series == 0 {
		return fmt.Errorf("%s%v is %v of %d series, want %v", name, labels, got, series, want)
	}
	return nil
}

// waitsForBalances wants a host that waits for its only plugin: its series are with the host that runs it.
func waitsForBalances(s *scrape) error {
	if s.hasPlugin("balances") {
		return fmt.Errorf("it has series of the plugin:\n%s", s.text)
	}
	return s.wants("eshost_plugins", 1, `state="waiting"`)
}

// TestMetrics scrapes a host that has handled, failed, parked, refused and reloaded, then takes its plugins away.
func TestMetrics(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p, first, url := busy(t, storeURL)
		const ofBalances, ofFails = `plugin="balances"`, `plugin="fails"`
		s := awaitScrape(t, url, "the metrics say what happened", func(s *scrape) error {
			for _, want := range []struct {
				name   string
				value  float64
				labels []string
			}{
				{"eshost_plugin_lag_events", 0, []string{ofBalances}},
				{"eshost_plugin_lag_positions", 0, []string{ofBalances}},
				{"eshost_plugin_state", 1, []string{ofBalances, `state="running"`}},
				{"eshost_plugins", 2, []string{`state="running"`}},
				{"eshost_plugins", 0, []string{`state="waiting"`}},
				{"eshost_plugin_refused", 0, []string{ofBalances}},
				{"eshost_events_failed_total", 9, []string{ofFails, `kind="trap"`}},
				{"eshost_sequence_retries_total", 6, []string{ofFails}},
				{"eshost_failed_sequences", 3, []string{ofFails, `state="parked"`}},
				{"eshost_failed_sequences", 0, []string{ofFails, `state="retrying"`}},
				{"eshost_waiting_events", 3, []string{ofFails}},
				{"eshost_reloads_total", 1, []string{`result="refused"`}},
				{"eshost_reloads_total", 1, []string{`result="replaced"`}},
				{"eshost_log_poll_failing", 0, nil},
				{"eshost_watermark_held_seconds", 0, nil},
				{"eshost_build_info", 1, nil},
			} {
				if err := s.wants(want.name, want.value, want.labels...); err != nil {
					return err
				}
			}
			return nil
		})
		for name, labels := range map[string][]string{
			"eshost_events_handled_total":          {ofBalances},
			"eshost_batch_events":                  {ofBalances},
			"eshost_batch_handle_seconds":          {ofBalances},
			"eshost_batch_commit_seconds":          {ofBalances},
			"eshost_documents_written_total":       {ofBalances},
			"eshost_guest_fuel_total":              {ofBalances},
			"eshost_guest_memory_bytes":            {ofFails},
			"eshost_guest_instances":               {ofFails},
			"eshost_guest_instances_started_total": {ofBalances},
			"eshost_store_statements_total":        nil,
			"eshost_watermark_position":            nil,
			"eshost_log_head_position":             nil,
			"eshost_log_polls_total":               nil,
			"go_goroutines":                        nil,
			"process_start_time_seconds":           nil,
		} {
			if v, _ := s.value(name, labels...); v <= 0 {
				t.Errorf("%s%v is %v", name, labels, v)
			}
		}
		if age, series := s.value("eshost_plugin_lag_seconds", ofBalances); series != 1 || age < 0 || age > patience.Seconds() {
			t.Errorf("the read model that holds everything is %v s old, in %d series", age, series)
		}
		lintMetrics(t, s)

		other := newProject(t, storeURL, "second", plugin{"balances", balancesModule(t, "rust"), `events = ["AccountOpened", "Deposited", "Withdrawn"]`})
		other.set("[host]", "weight = 0.01") // so little that it gets nothing beside the first
		second := other.host()
		secondURL := second.ready()
		awaitScrape(t, secondURL, "the second host waits and has no series of the plugin", waitsForBalances)
		toml := string(read(t, filepath.Join(p.dir, "hosts.toml")))
		p.put("hosts.toml", []byte(toml[:strings.Index(toml, "[plugins.fails]")]))
		awaitScrape(t, url, "a plugin that is removed loses its series", func(s *scrape) error {
			if s.hasPlugin("fails") {
				return fmt.Errorf("it has some:\n%s", s.text)
			}
			return s.wants("eshost_reloads_total", 1, `result="removed"`)
		})
		first.stop()
		awaitScrape(t, secondURL, "the second host takes over", func(s *scrape) error {
			return s.wants("eshost_plugin_lag_events", 0, ofBalances)
		})
		second.stop()
	})
}

// TestMetricsOfALostLease has a plugin's series follow its lease, from a host that stood still to one that took over.
func TestMetricsOfALostLease(t *testing.T) {
	t.Parallel()
	storeURL := newDatabase(t, "sqlite")
	s := openStore(t, storeURL)
	balances := plugin{"balances", balancesModule(t, "rust"), ""}
	first := newProject(t, storeURL, "first", balances).host()
	firstURL := first.ready()
	mine := func(s *scrape) error { return s.wants("eshost_plugins", 1, `state="running"`) }
	awaitScrape(t, firstURL, "the first host runs the plugin", mine)
	second := newProject(t, storeURL, "second", balances).host()
	secondURL := second.ready()
	freeze(t, first, s)
	awaitScrape(t, secondURL, "the second host takes over", mine)
	first.signal(syscall.SIGCONT)
	awaitScrape(t, firstURL, "the first host waits and has no series of it any more", waitsForBalances)
	second.stop()
	first.stop()
}

// lintMetrics holds names, units, help and labels to Prometheus' rules, and labels to fixed words and plugin names.
func lintMetrics(t *testing.T, s *scrape) {
	t.Helper()
	problems, err := promlint.New(bytes.NewReader(s.text)).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	word := regexp.MustCompile(`^[a-z ]+$`)
	for name, f := range s.families {
		if !strings.HasPrefix(name, "eshost_") {
			continue
		}
		if !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s: its help is no sentence: %q", name, f.GetHelp())
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				switch {
				case l.GetName() == "plugin" && (l.GetValue() == "balances" || l.GetValue() == "fails"):
				case slices.Contains([]string{"state", "kind", "result"}, l.GetName()) && word.MatchString(l.GetValue()):
				case name == "eshost_build_info":
				default:
					t.Errorf("%s has the label %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
}

// TestScrapesBesideWork scrapes a host of this process again and again while it handles and its module is replaced: the
// race detector looks on.
func TestScrapesBesideWork(t *testing.T) {
	t.Parallel()
	storeURL := newDatabase(t, "sqlite")
	p := newProject(t, storeURL, "h", plugin{"balances", "module.wasm", `events = ["AccountOpened", "Deposited", "Withdrawn"]`})
	modules := [][]byte{read(t, balancesModule(t, "rust")), read(t, balancesModule(t, "assemblyscript"))}
	p.put("module.wasm", modules[0])
	s := openStore(t, storeURL)
	stopFeed := feed(t, s, newSource("", newSeed(t)))
	listener := make(chan string, 1)
	defer runHost(t, p.config(), host.Options{Ready: func(listen string) { listener <- "http://" + listen }})()
	url := <-listener
	for i := range 3 {
		p.put("module.wasm", modules[(i+1)%2])
		awaitScrape(t, url, "the reload is counted", func(s *scrape) error { return s.wants("eshost_reloads_total", float64(i+1), `result="replaced"`) })
	}
	stopFeed()
	settled(t, s, "balances")
}
