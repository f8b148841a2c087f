package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rules is a file of alert rules.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// dashboard is what matters of Grafana's format.
type dashboard struct {
	Title, UID string
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct{ Expr, LegendFormat string }
	}
}

// TestAlertsAndDashboard holds every metric, label and label's value that a rule or a panel names against a host that
// did everything.
func TestAlertsAndDashboard(t *testing.T) {
	t.Parallel()
	_, h, url := busy(t, newDatabase(t, "sqlite"))
	s := awaitScrape(t, url, "sequences are parked", func(s *scrape) error { return s.wants("eshost_failed_sequences", 3, `state="parked"`) })
	h.stop()

	var prometheus struct {
		Global        map[string]string
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	decodeYAML(t, filepath.Join(deploy, "prometheus", "prometheus.yml"), &prometheus)
	if len(prometheus.RuleFiles) != 1 || len(prometheus.ScrapeConfigs) != 1 || prometheus.ScrapeConfigs[0].JobName != "eshost" {
		t.Errorf("prometheus.yml is %+v", prometheus)
	}
	for _, name := range prometheus.RuleFiles {
		var r rules
		decodeYAML(t, filepath.Join(deploy, "prometheus", name), &r)
		seen := map[string]bool{}
		for _, g := range r.Groups {
			for _, rule := range g.Rules {
				if seen[rule.Alert] || rule.Alert == "" || rule.For == "" || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
					t.Errorf("%s lacks something, or is there twice", rule.Alert)
				}
				seen[rule.Alert] = true
				labels := checkQuery(t, s, rule.Alert, rule.Expr)
				for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(fmt.Sprint(rule.Annotations), -1) {
					if !slices.Contains(labels, m[1]) {
						t.Errorf("%s: its text has the label %s, its expression %v", rule.Alert, m[1], labels)
					}
				}
			}
		}
		if len(seen) == 0 {
			t.Errorf("%s has no rules", name)
		}
	}
	checkDashboard(t, s)
}

func checkDashboard(t *testing.T, s *scrape) {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal(read(t, filepath.Join(deploy, "grafana", "eshost.json")), &d); err != nil {
		t.Fatal(err)
	}
	for _, v := range d.Templating.List {
		if m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Query); m != nil {
			if labels := checkQuery(t, s, "variable "+v.Name, m[1]); !slices.Contains(labels, m[2]) {
				t.Errorf("variable %s: there is no label %s", v.Name, m[2])
			}
		}
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %d %q lacks something, or is there twice", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if cells[at] != "" || at[0] >= 24 {
					t.Fatalf("panel %q lies on %q", p.Title, cells[at])
				}
				cells[at] = p.Title
			}
		}
		for _, target := range p.Targets {
			labels := checkQuery(t, s, "panel "+p.Title, target.Expr)
			for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(labels, m[1]) {
					t.Errorf("panel %s: its legend has the label %s, its expression %v", p.Title, m[1], labels)
				}
			}
		}
	}
	if len(cells) == 0 {
		t.Error("the dashboard is empty")
	}
}

var (
	selector    = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^}]*)\}`)
	matcher     = regexp.MustCompile(`^\s*(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*$`)
	grouping    = regexp.MustCompile(`\b(by|without|on|ignoring)\s*\(([^)]*)\)`)
	window      = regexp.MustCompile(`\[[^\]]*\]`)
	identifier  = regexp.MustCompile(`\b[a-zA-Z_:][a-zA-Z0-9_:]*\b`)
	functions   = []string{"sum", "max", "min", "avg", "count", "rate", "increase", "histogram_quantile", "by", "or", "and", "unless"}
	ofTheScrape = []string{"instance", "job"}
)

// checkQuery checks what a query names, and returns the labels that its result may have.
func checkQuery(t *testing.T, s *scrape, where, query string) []string {
	t.Helper()
	known := slices.Clone(ofTheScrape)
	for _, name := range identifier.FindAllString(grouping.ReplaceAllString(window.ReplaceAllString(selector.ReplaceAllString(query, " $1 "), ""), ""), -1) {
		if slices.Contains(functions, name) {
			continue
		}
		labels, ok := s.metric(name)
		if !ok {
			t.Errorf("%s: there is no metric %s", where, name)
		}
		known = append(known, labels...)
	}
	for _, m := range selector.FindAllStringSubmatch(query, -1) {
		labels, _ := s.metric(m[1])
		for _, part := range strings.Split(m[2], ",") {
			is := matcher.FindStringSubmatch(part)
			if is == nil {
				t.Errorf("%s: %s is no matcher", where, part)
				continue
			}
			if !slices.Contains(append(labels, ofTheScrape...), is[1]) {
				t.Errorf("%s: metric %s has no label %s", where, m[1], is[1])
			}
			if slices.Contains(ofTheScrape, is[1]) || strings.HasPrefix(is[3], "$") {
				continue
			}
			for _, value := range strings.Split(is[3], "|") {
				if !s.hasValue(is[1], value) {
					t.Errorf("%s: label %s is never %q", where, is[1], value)
				}
			}
		}
	}
	grouped := grouping.FindAllStringSubmatch(query, -1)
	if len(grouped) == 0 {
		return known
	}
	var kept []string
	for _, g := range grouped {
		for _, label := range strings.Split(g[2], ",") {
			label = strings.TrimSpace(label)
			if !slices.Contains(known, label) {
				t.Errorf("%s: nothing has the label %s", where, label)
			}
			kept = append(kept, label)
		}
	}
	return kept
}

// metric returns the labels of a metric, or of a series of a histogram.
func (s *scrape) metric(name string) (labels []string, ok bool) {
	if name == "up" { // Prometheus' own
		return nil, true
	}
	if s.families[name] != nil && s.families[name].GetType().String() != "HISTOGRAM" {
		return s.labels(name), true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base, cut := strings.CutSuffix(name, suffix)
		if f := s.families[base]; cut && f != nil && f.GetType().String() == "HISTOGRAM" {
			if suffix == "_bucket" {
				return append(s.labels(base), "le"), true
			}
			return s.labels(base), true
		}
	}
	return nil, false
}

// hasValue reports whether any series has a label with a value.
func (s *scrape) hasValue(label, value string) bool {
	return bytes.Contains(s.text, fmt.Appendf(nil, "%s=%q", label, value))
}
