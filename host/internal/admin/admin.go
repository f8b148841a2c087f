// Package admin serves what operators and their tools look at while a host runs: health, metrics and
// the host's own view of its plugins. It changes nothing.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Host is what the listener shows.
type Host struct {
	// Status returns what the host does now.
	Status func() Status
	// Metrics are served on /metrics.
	Metrics prometheus.Gatherer
}

// Status is a host's own view of itself, as /v1/status shows it.
type Status struct {
	Host    string   `json:"host"`
	ID      string   `json:"id"`
	Store   string   `json:"store"`
	Log     Log      `json:"log"`
	Plugins []Plugin `json:"plugins"`
	// FileRefused is why hosts.toml, as it is now, is not what this host goes by.
	FileRefused string `json:"hosts_toml_refused,omitempty"`
}

// Log is what the host knows of the event log.
type Log struct {
	Watermark int64 `json:"watermark"`
	Head      int64 `json:"head"`
	// HeldSeconds is how long the watermark has stayed below the head.
	HeldSeconds float64  `json:"held_seconds,omitempty"`
	Holders     []Holder `json:"holders,omitempty"`
	// SilentSeconds is how long ago the log was last read.
	SilentSeconds float64 `json:"silent_seconds"`
	// Error is why the log cannot be read now.
	Error string `json:"error,omitempty"`
}

// Holder is a transaction that holds the watermark.
type Holder struct {
	PID         int32   `json:"pid,omitempty"`
	Application string  `json:"application"`
	User        string  `json:"user,omitempty"`
	State       string  `json:"state,omitempty"`
	AgeSeconds  float64 `json:"age_seconds"`
}

// Plugin is what the host knows of one plugin.
type Plugin struct {
	Name       string `json:"name"`
	State      string `json:"state"`
	Reason     string `json:"reason,omitempty"`
	Module     string `json:"module"`
	Digest     string `json:"digest"`
	Checkpoint int64  `json:"checkpoint"`
	// LagPositions is how far the checkpoint is below the watermark. Positions may have holes.
	LagPositions int64  `json:"lag_positions"`
	Handled      uint64 `json:"handled"`
	Failed       uint64 `json:"failed"`
	Retrying     int    `json:"retrying_sequences"`
	Parked       int    `json:"parked_sequences"`
	Waiting      int    `json:"waiting_events"`
	// Refused is the module, or the section of hosts.toml, that was put in the place of this one and cannot be used.
	Refused *Refused `json:"refused,omitempty"`
}

// Refused is a module that this host does not run.
type Refused struct {
	Digest string    `json:"digest,omitempty"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Serve answers requests until ctx ends. It owns the listener.
func Serve(ctx context.Context, l net.Listener, h Host) error {
	srv := &http.Server{
		Handler:           handler(h),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(bye); err != nil {
		_ = srv.Close() // whoever is still connected only reads
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

func handler(h Host) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := notReady(h.Status()); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(h.Status()) // the client has gone
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.Metrics, promhttp.HandlerOpts{}))
	return guard(mux)
}

// longestSilence is how long a poll may take before the host is not ready, in seconds.
const longestSilence = 5

// guard keeps pages of other sites from reading what is here through a visitor's browser: a name that
// was rebound to the loopback address is not one of ours.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this listener answers on its loopback address only", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// notReady says why the host cannot do its work now, or nothing. Paused and waiting plugins are
// somebody's business but no reason to take the host out of service.
func notReady(s Status) string {
	if s.Log.Error != "" {
		return "the log cannot be read: " + s.Log.Error
	}
	if s.Log.SilentSeconds > longestSilence {
		return fmt.Sprintf("the log was last read %.0f s ago", s.Log.SilentSeconds)
	}
	for _, p := range s.Plugins {
		if p.State == "starting" || p.State == "backing off" {
			return fmt.Sprintf("plugin %s is %s: %s", p.Name, p.State, p.Reason)
		}
	}
	return ""
}
