package docs

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"eshost/test/pgtest"
)

const operations = "docs/operations.md"

var (
	metricName = regexp.MustCompile(`\beshost_[a-z]+(?:_[a-z]+)+\b`)
	metricMade = regexp.MustCompile(`"(eshost_[a-z_]+)"`)
	alertMade  = regexp.MustCompile(`(?m)^ +- alert: (\w+)$`)
	alertRow   = regexp.MustCompile("(?m)^\\| `(Eshost\\w+)` \\|")
)

// TestEveryAlertIsExplained holds the guide's table to the rules that are shipped, one row each and in their order.
func TestEveryAlertIsExplained(t *testing.T) {
	t.Parallel()
	rules := submatches(alertMade, read(t, "deploy/prometheus/alerts.yml"))
	rows := submatches(alertRow, read(t, operations))
	if len(rules) == 0 || !slices.Equal(rules, rows) {
		t.Errorf("the rules are\n%s\nand the guide explains\n%s", strings.Join(rules, "\n"), strings.Join(rows, "\n"))
	}
}

// TestEveryMetricIsExplained holds the guide to the metrics that hosts have, both ways.
func TestEveryMetricIsExplained(t *testing.T) {
	t.Parallel()
	made := map[string]bool{}
	for _, name := range files(t) {
		if !strings.HasPrefix(name, "host/") || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if text := read(t, name); strings.Contains(text, "client_golang/prometheus") {
			for _, metric := range submatches(metricMade, text) {
				made[metric] = true
			}
		}
	}
	if len(made) < 20 {
		t.Fatalf("found only %d metrics", len(made))
	}
	guide := read(t, operations)
	for _, name := range metricName.FindAllString(guide, -1) {
		if !made[name] && !made[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("the guide names %s, which no host has", name)
		}
	}
	for name := range made {
		if !strings.Contains(guide, "`"+name+"`") {
			t.Errorf("the guide does not name %s", name)
		}
	}
}

// TestOperationsSQL runs the guide's SQL in a database of its own.
func TestOperationsSQL(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	here := strings.NewReplacer("ROLE app IN DATABASE app", "ROLE CURRENT_USER IN DATABASE "+pgx.Identifier{conn.Config().Database}.Sanitize())
	ran := 0
	for _, b := range blocks(t, operations) {
		if b.language != "sql" {
			continue
		}
		ran++
		if _, err := conn.PgConn().Exec(t.Context(), here.Replace(b.text)).ReadAll(); err != nil {
			t.Errorf("%s:%d: %v\n%s", operations, b.line, err, b.text)
		}
	}
	if ran == 0 {
		t.Error("the guide has no SQL")
	}
}

// quoted are the messages of hosts that the guide shows, up to what differs.
var quoted = regexp.MustCompile("`([^`\n|]*(?:went back|cannot be used|refuses|is no Redis|accepts connections|wants a password|is still|is full|is a replica|is a node|has closed|Redis is)[^`\n|]*)`")

// TestQuotedMessagesExist looks for what the guide quotes in the sources.
func TestQuotedMessagesExist(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	for _, name := range files(t) {
		if strings.HasPrefix(name, "host/") && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			sources.WriteString(read(t, name))
		}
	}
	found := submatches(quoted, read(t, operations))
	if len(found) < 10 {
		t.Fatalf("the guide quotes only %d messages", len(found))
	}
	varies := regexp.MustCompile(`…|"|: |\b\d+m?s\b|\b\d+\b`)
	for _, message := range found {
		for _, piece := range varies.Split(message, -1) {
			piece = strings.Trim(piece, " ;:")
			if strings.Count(piece, " ") > 1 && !strings.Contains(sources.String(), piece) {
				t.Errorf("no source says %q, of the guide's %q", piece, message)
			}
		}
	}
}

func submatches(pattern *regexp.Regexp, text string) []string {
	var all []string
	for _, found := range pattern.FindAllStringSubmatch(text, -1) {
		all = append(all, found[1])
	}
	return all
}

// TestFailoverPicture holds the picture to be one that a browser and a screen reader can show.
func TestFailoverPicture(t *testing.T) {
	t.Parallel()
	picture, err := os.ReadFile(root + "/docs/failover.svg")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<title", "<desc", "prefers-color-scheme: dark", "viewBox"} {
		if !strings.Contains(string(picture), want) {
			t.Errorf("the picture has no %s", want)
		}
	}
}
