package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

// contentPolicy lets the page use what this listener serves and nothing else, and nobody frame it.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard is what every request passes before it reaches its handler.
func (s *server) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &problem{status: http.StatusForbidden, kind: "cross-origin", title: "Another site may not do that",
			detail: "the request changes something and comes from another site's page", hint: "send it from a program, or from this host's own page"})
	}))
	checked := origin.Handler(next)
	return s.logged(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recover(w, r)
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if s.o.Loopback && !loopbackName(r.Host) {
			s.fail(w, r, &problem{status: http.StatusForbidden, kind: "wrong-host", title: "That is not this host's name",
				detail: "this listener answers on its loopback address only", hint: "use http://127.0.0.1 or localhost with the listener's port"})
			return
		}
		checked.ServeHTTP(w, r)
	}))
}

// loopbackName keeps pages of other sites from reading what is here through a visitor's browser: a name
// that was rebound to the loopback address is not one of ours.
func loopbackName(name string) bool {
	host, _, err := net.SplitHostPort(name)
	if err != nil {
		host = name
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// recover answers for a handler that panicked. The client never sees why.
func (s *server) recover(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	s.log.Error("a request's handler panicked", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if rec, ok := w.(*recorder); ok && rec.status != 0 {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	asProblem(errors.New("panic")).write(w)
}

// recorder keeps what the log says of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	token  string // name of the token
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController what it controls.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// logged logs each request with what the answer was. The query is left out: keys and filters are data.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if !s.log.Enabled(r.Context(), slog.LevelDebug) {
				return
			}
			args := []any{"method", r.Method, "path", r.URL.Path, "status", rec.status, "bytes", rec.bytes, "took", time.Since(began), "client", r.RemoteAddr}
			if rec.token != "" {
				args = append(args, "token", rec.token)
			}
			s.log.Debug("answered a request", args...)
		}()
		next.ServeHTTP(rec, r)
	})
}
