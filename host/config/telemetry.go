package config

import (
	"errors"
	"net/url"
)

// Telemetry is the [telemetry] section: who is told what this host does.
type Telemetry struct {
	// OTLP is the base URL of an OpenTelemetry collector that takes OTLP over HTTP: each batch is sent to
	// it as a span. Empty means that there are no traces. Defaults to none.
	OTLP string
}

func readTelemetry(root *table, to *Telemetry) {
	t, ok := root.table("telemetry")
	if !ok {
		return
	}
	to.OTLP = read(t, "otlp", to.OTLP, collector())
	t.close()
}

// collector is the base URL of a collector. It may hold a secret, so it is never shown.
func collector() rule[string] {
	return rule[string]{"", func(v any) (string, error) {
		s, _ := v.(string)
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return "", errors.New(`must be the URL of a collector such as "http://127.0.0.1:4318"; /v1/traces is added to it`)
		}
		return s, nil
	}}
}
