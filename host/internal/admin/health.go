package admin

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func (s *server) healthz(w http.ResponseWriter, _ *http.Request) error { return ok(w) }

// ok says so in a word.
func ok(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // the client has gone
	return nil
}

func (s *server) readyz(w http.ResponseWriter, _ *http.Request) error {
	if why := notReady(s.o.Host.Status()); why != "" {
		return &problem{status: http.StatusServiceUnavailable, kind: "not-ready", title: "The host is not ready", detail: why, hint: "see /v1/status and the host's log"}
	}
	return ok(w)
}

func (s *server) status(w http.ResponseWriter, r *http.Request) error {
	if err := query(r).err; err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(s.o.Host.Status()) // the client has gone
	return nil
}

func (s *server) metrics(w http.ResponseWriter, r *http.Request) error {
	promhttp.HandlerFor(s.o.Metrics, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}

// notReady says why the host cannot do its work now, or nothing. A plugin that stands after its start is somebody's
// business but no reason to take the host, its other plugins and its appends out of service.
func notReady(s Status) string {
	if s.Log.Error != "" {
		return "the log cannot be read: " + s.Log.Error
	}
	if s.Log.Overdue {
		return fmt.Sprintf("the log was last read %.0f s ago", s.Log.SilentSeconds)
	}
	for _, p := range s.Plugins {
		if p.State == "starting" {
			return fmt.Sprintf("plugin %s is starting: %s", p.Name, p.Reason)
		}
	}
	return ""
}
